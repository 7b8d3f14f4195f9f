package ingest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// Every place in which OTLP can hold a value must be in the tables: a place that
// is not could nest without a bound.
func TestNestingIsFoundEverywhere(t *testing.T) {
	deep := func(levels int) map[string]any {
		var v any = "x"
		for i := range levels {
			if i%2 == 0 {
				v = []any{v}
			} else {
				v = map[string]any{"k": v}
			}
		}
		return map[string]any{"deep": v}
	}
	logs := func(put func(plog.ResourceLogs, plog.ScopeLogs, plog.LogRecord, map[string]any) error) func(int) ([]byte, *message, error) {
		return func(n int) ([]byte, *message, error) {
			ld := plog.NewLogs()
			rl := ld.ResourceLogs().AppendEmpty()
			sl := rl.ScopeLogs().AppendEmpty()
			if err := put(rl, sl, sl.LogRecords().AppendEmpty(), deep(n)); err != nil {
				return nil, nil, err
			}
			b, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
			return b, logsRequest, err
		}
	}
	spans := func(put func(ptrace.Span, map[string]any) error) func(int) ([]byte, *message, error) {
		return func(n int) ([]byte, *message, error) {
			td := ptrace.NewTraces()
			if err := put(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty(), deep(n)); err != nil {
				return nil, nil, err
			}
			b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
			return b, tracesRequest, err
		}
	}
	metrics := func(put func(pmetric.Metric, map[string]any) error) func(int) ([]byte, *message, error) {
		return func(n int) ([]byte, *message, error) {
			md := pmetric.NewMetrics()
			if err := put(md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty(), deep(n)); err != nil {
				return nil, nil, err
			}
			b, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
			return b, metricsRequest, err
		}
	}
	for name, build := range map[string]func(int) ([]byte, *message, error){
		"resource": logs(func(rl plog.ResourceLogs, _ plog.ScopeLogs, _ plog.LogRecord, m map[string]any) error {
			return rl.Resource().Attributes().FromRaw(m)
		}),
		"scope": logs(func(_ plog.ResourceLogs, sl plog.ScopeLogs, _ plog.LogRecord, m map[string]any) error {
			return sl.Scope().Attributes().FromRaw(m)
		}),
		"record": logs(func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord, m map[string]any) error {
			return r.Attributes().FromRaw(m)
		}),
		"body": logs(func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord, m map[string]any) error {
			return r.Body().FromRaw(m["deep"])
		}),

		"span":       spans(func(s ptrace.Span, m map[string]any) error { return s.Attributes().FromRaw(m) }),
		"span event": spans(func(s ptrace.Span, m map[string]any) error { return s.Events().AppendEmpty().Attributes().FromRaw(m) }),
		"span link":  spans(func(s ptrace.Span, m map[string]any) error { return s.Links().AppendEmpty().Attributes().FromRaw(m) }),

		"metric metadata": metrics(func(x pmetric.Metric, m map[string]any) error { return x.Metadata().FromRaw(m) }),
		"gauge": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptyGauge().DataPoints().AppendEmpty().Attributes().FromRaw(m)
		}),
		"sum": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptySum().DataPoints().AppendEmpty().Attributes().FromRaw(m)
		}),
		"sum exemplar": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptySum().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().FromRaw(m)
		}),
		"histogram": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptyHistogram().DataPoints().AppendEmpty().Attributes().FromRaw(m)
		}),
		"histogram exemplar": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptyHistogram().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().FromRaw(m)
		}),
		"exponential": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptyExponentialHistogram().DataPoints().AppendEmpty().Attributes().FromRaw(m)
		}),
		"exponential exemplar": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptyExponentialHistogram().DataPoints().AppendEmpty().Exemplars().AppendEmpty().FilteredAttributes().FromRaw(m)
		}),
		"summary": metrics(func(x pmetric.Metric, m map[string]any) error {
			return x.SetEmptySummary().DataPoints().AppendEmpty().Attributes().FromRaw(m)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			b, root, err := build(maxNesting)
			require.NoError(t, err)
			_, err = measure(b, root)
			require.NoError(t, err)
			b, root, err = build(maxNesting + 1)
			require.NoError(t, err)
			_, err = measure(b, root)
			require.ErrorIs(t, err, errNesting)
		})
	}
}

func TestMeasureCountsWhatTakesMemory(t *testing.T) {
	repeat := func(b string, n int) []byte { return []byte(strings.Repeat(b, n)) }
	wrap := func(field byte, inner []byte) []byte {
		return append([]byte{field<<3 | 2, byte(len(inner))}, inner...)
	}
	for name, c := range map[string]struct {
		b    []byte
		root *message
		want int
	}{
		"empty records":      {wrap(1, wrap(2, repeat("\x12\x00", 40))), logsRequest, 42},
		"empty resources":    {repeat("\x0a\x00", 1000), tracesRequest, 1000},
		"empty series, 1.0":  {repeat("\x0a\x00", 1000), &writeRequestV1, 1000},
		"empty series, 2.0":  {repeat("\x2a\x00", 1000), &writeRequestV2, 1000},
		"empty symbols":      {repeat("\x22\x00", 1000), &writeRequestV2, 1000},
		"not protobuf":       {[]byte("\xff\xff\xff\xff"), logsRequest, 0},
		"a field we skip":    {repeat("\x7a\x00", 1000), logsRequest, 0},
		"a number we skip":   {repeat("\x08\x01", 1000), logsRequest, 0},
		"a length that lies": {[]byte{0x0a, 0x7f, 0}, logsRequest, 0},
	} {
		got, err := measure(c.b, c.root)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	for in, want := range map[string]int{
		`{}`:                    1,
		`[{},{"a":[]}]`:         4,
		`{"a":"{[\"{["}`:        1,
		`{"a":"\\"}{`:           2,
		`"unterminated {`:       0,
		`{"streams":[{"a":1}]}`: 3,
	} {
		require.Equal(t, want, measureJSON([]byte(in)), in)
	}
}
