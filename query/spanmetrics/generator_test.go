package spanmetrics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/traces"
)

const (
	calls    = "traces_span_metrics_calls_total"
	duration = "traces_span_metrics_duration_milliseconds"
)

func get(kind traces.Kind, d time.Duration) span {
	return span{service: "shop", name: "GET /", trace: 1, id: 1, kind: kind, duration: d}
}

func TestCallsAndDurations(t *testing.T) {
	r := newRig(t)
	failed := get(traces.KindServer, 3*time.Second)
	failed.failed = true
	r.store(get(traces.KindServer, 2*time.Millisecond), get(traces.KindServer, 3*time.Millisecond), get(traces.KindInternal, 0), failed)
	r.pass(10 * time.Second)
	r.store(get(traces.KindServer, time.Minute))
	r.pass(10 * time.Second)
	r.pass(10 * time.Second)

	labelsOf := func(kind, status string) string {
		return fmt.Sprintf(`{namespace="prod", pod="shop-0", service_name="shop", span_kind="SPAN_KIND_%s", span_name="GET /", status_code="STATUS_CODE_%s"}`, kind, status)
	}
	require.Equal(t, map[string][]float64{
		labelsOf("SERVER", "UNSET"):   {0, 2, 3, 3}, // a zero first, so that no rate misses the first calls
		labelsOf("SERVER", "ERROR"):   {0, 1, 1, 1},
		labelsOf("INTERNAL", "UNSET"): {0, 1, 1, 1},
	}, r.values(calls))
	server := []string{"span_kind", "SPAN_KIND_SERVER", "status_code", "STATUS_CODE_UNSET"}
	for le, want := range map[string][]float64{"2.0": {0, 1, 1, 1}, "4.0": {0, 2, 2, 2}, "15000.0": {0, 2, 2, 2}, "+Inf": {0, 2, 3, 3}} {
		for _, got := range r.values(duration+"_bucket", append(server, "le", le)...) {
			require.Equal(t, want, got, le)
		}
	}
	for _, got := range r.values(duration+"_sum", server...) {
		require.Equal(t, []float64{0, 5, 60_005, 60_005}, got)
	}
	for _, got := range r.values(duration+"_count", server...) {
		require.Equal(t, []float64{0, 2, 3, 3}, got)
	}
	require.EqualValues(t, 5, r.own("yagura_spanmetrics_spans_total", "outcome", "counted"))
	require.Zero(t, r.own("yagura_spanmetrics_refused_samples_total"))
}

// TestStreamsThatDifferInOtherLabels has streams whose metrics carry the same labels:
// they are counted together, as they are written.
func TestStreamsThatDifferInOtherLabels(t *testing.T) {
	r := newRig(t, func(c *spanmetrics.Config) { c.Labels = []string{"namespace"} })
	stream := func(spans int, pairs ...string) columnar.Stream {
		one := r.batch(get(traces.KindServer, time.Millisecond)).Streams[0].Rows[0]
		s := columnar.Stream{Labels: labels.FromStrings(pairs...)}
		for range spans {
			s.Rows = append(s.Rows, one)
		}
		return s
	}
	for range 2 {
		for _, streams := range [][]columnar.Stream{
			{stream(1, "service_name", "shop", "namespace", "prod", "pod", "a"), stream(2, "service_name", "shop", "namespace", "prod", "pod", "b")},
			{stream(4, "service_name", "shop", "namespace", "prod")},
			{stream(8, "service_name", "shop", "namespace", "test", "pod", "a")},
			{stream(16, "namespace", "prod"), stream(32, "service_name", "unknown_service", "namespace", "prod")},
		} {
			_, err := r.Generator.Append(t.Context(), columnar.Batch{Table: columnar.Spans, Streams: streams})
			require.NoError(t, err)
		}
		r.pass(10 * time.Second)
	}
	key := func(service, namespace string) string {
		return fmt.Sprintf(`{namespace=%q, service_name=%q, span_kind="SPAN_KIND_SERVER", span_name="GET /", status_code="STATUS_CODE_UNSET"}`, namespace, service)
	}
	require.Equal(t, map[string][]float64{
		key("shop", "prod"):            {0, 7, 14},
		key("shop", "test"):            {0, 8, 16},
		key("unknown_service", "prod"): {0, 48, 96},
	}, r.values(calls))
	require.EqualValues(t, 3, r.own("yagura_spanmetrics_series"))
}

func TestOnlyWhatWasStoredIsCounted(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	b := r.batch(get(traces.KindServer, time.Millisecond))
	b.ID = columnar.BatchID{Collector: "c", Stream: "traces", Sequence: 1}
	r.broken = true
	_, err := r.Generator.Append(ctx, b)
	require.Error(t, err)
	r.broken = false
	for i := range 3 {
		duplicate, err := r.Generator.Append(ctx, b)
		require.NoError(t, err)
		require.Equal(t, i > 0, duplicate)
	}
	b.Table, b.ID.Sequence = columnar.Logs, 2
	_, err = r.Generator.Append(ctx, b)
	require.NoError(t, err)
	late := get(traces.KindServer, time.Millisecond)
	late.age = time.Hour
	r.store(late)
	r.pass(time.Second)
	for _, got := range r.values(calls) {
		require.Equal(t, []float64{0, 1}, got)
	}
	require.EqualValues(t, 1, r.own("yagura_spanmetrics_spans_total", "outcome", "too_old"))
}

func TestExemplarsPointAtSpans(t *testing.T) {
	r := newRig(t)
	slow := get(traces.KindServer, 3*time.Second)
	slow.trace, slow.id = 7, 9
	r.store(get(traces.KindServer, time.Millisecond), slow)
	r.pass(10 * time.Second)
	r.pass(10 * time.Second) // without a new span there is none
	q, err := r.samples.Queryable().(interface {
		ExemplarQuerier(context.Context) (storage.ExemplarQuerier, error)
	}).ExemplarQuerier(context.Background())
	require.NoError(t, err)
	found, err := q.Select(0, math.MaxInt64, []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, duration+"_bucket"),
		labels.MustNewMatcher(labels.MatchEqual, "le", "5000.0"),
	})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Len(t, found[0].Exemplars, 1)
	e := found[0].Exemplars[0]
	require.Equal(t, traces.TraceID{15: 7}.String(), e.Labels.Get("trace_id"))
	require.Equal(t, spanID(9), e.Labels.Get("span_id"))
	require.EqualValues(t, 3000, e.Value)
}

func TestCardinalityIsBounded(t *testing.T) {
	r := newRig(t, func(c *spanmetrics.Config) { c.MaxSeries, c.MaxEdges = 3, 2 })
	for i := range byte(10) {
		s := get(traces.KindServer, time.Millisecond)
		s.name = fmt.Sprint("GET /", i)
		s.service = fmt.Sprint("shop-", i)
		r.store(s)
	}
	r.pass(time.Second)
	got := r.values(calls)
	require.Len(t, got, 4)
	require.Equal(t, []float64{0, 7}, got[`{otel_metric_overflow="true"}`])
	require.EqualValues(t, 7, r.own("yagura_spanmetrics_spans_total", "outcome", "overflow"))
	require.Equal(t, []float64{0, 8}, r.values("traces_service_graph_request_total")[`{otel_metric_overflow="true"}`])
	require.EqualValues(t, 8, r.own("yagura_spanmetrics_overflow_calls_total"))
}

func TestIdleSeriesEndAndBeginAgain(t *testing.T) {
	r := newRig(t, func(c *spanmetrics.Config) { c.Idle = model.Duration(time.Minute) })
	r.store(get(traces.KindInternal, 0))
	r.pass(30 * time.Second)
	r.pass(31 * time.Second)
	r.pass(30 * time.Second)
	require.Zero(t, r.own("yagura_spanmetrics_series"))
	r.store(get(traces.KindInternal, 0))
	r.pass(30 * time.Second)
	for _, got := range r.values(calls) {
		require.Len(t, got, 5)
		require.Equal(t, []float64{0, 1}, got[:2])
		require.True(t, value.IsStaleNaN(got[2]))
		require.Equal(t, []float64{0, 1}, got[3:])
	}
}

func TestHostileNames(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"", "\xff", string(make([]byte, 1000))} {
		s := get(traces.KindServer, -time.Second)
		s.name = name
		r.store(s)
	}
	r.pass(time.Second)
	require.Len(t, r.values(calls), 3)
	require.Zero(t, r.own("yagura_spanmetrics_refused_samples_total"))
}

func TestRunWritesEveryIntervalAndAtTheEnd(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	require.Eventually(t, r.clock.HasWaiters, 10*time.Second, time.Millisecond)
	r.store(get(traces.KindInternal, 0))
	r.clock.Step(10 * time.Second)
	require.Eventually(t, func() bool { return len(r.values(calls)) == 1 }, 10*time.Second, time.Millisecond)
	r.store(get(traces.KindInternal, 0))
	r.clock.Step(time.Second)
	cancel()
	require.NoError(t, <-ended)
	for _, got := range r.values(calls) {
		require.Equal(t, []float64{0, 1, 2}, got)
	}
}

func TestConfigNamesTheField(t *testing.T) {
	require.NoError(t, spanmetrics.DefaultConfig().Validate())
	c := spanmetrics.DefaultConfig()
	c.Interval, c.Buckets, c.Labels = 0, nil, []string{"span_name"}
	for _, want := range []string{"interval", "buckets", "labels"} {
		require.ErrorContains(t, c.Validate(), want)
	}
}

// TestJaegersMonitorTab asks over HTTP for what was derived.
func TestJaegersMonitorTab(t *testing.T) {
	r := newRig(t)
	e := echo.New()
	serve := func(prefix string, cfg traces.Config) {
		api, err := traces.NewAPI(r.rows, cfg, slog.New(slog.DiscardHandler), nil,
			traces.WithMetrics(spanmetrics.NewEvaluator(r.samples.Engine(), r.samples.Queryable())))
		require.NoError(t, err)
		api.Register(e.Group(prefix))
	}
	serve("/jaeger", traces.DefaultConfig())
	ask := func(path string, into any) {
		t.Helper()
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, rec.Code, rec.Body)
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), into), rec.Body)
	}
	for i := range byte(60) { // a call a second, each tenth failing
		client := span{service: "web", name: "call", trace: i + 1, id: 1, kind: traces.KindClient, duration: 20 * time.Millisecond}
		server := span{service: "shop", name: "GET /", trace: i + 1, id: 2, parent: 1, kind: traces.KindServer, duration: 9 * time.Millisecond, failed: i%10 == 0}
		r.store(client, server)
		r.pass(time.Second)
	}
	end := fmt.Sprint(r.clock.Now().UnixMilli())
	type family struct {
		Name, Type, Help string
		Metrics          []struct {
			Labels []struct{ Name, Value string }
			Points []struct {
				GaugeValue struct{ DoubleValue float64 }
				Timestamp  time.Time
			} `json:"metricPoints"`
		}
	}
	last := func(f family) float64 {
		t.Helper()
		require.Len(t, f.Metrics, 1)
		require.Equal(t, "GAUGE", f.Type)
		points := f.Metrics[0].Points
		require.NotEmpty(t, points)
		require.WithinDuration(t, r.clock.Now(), points[len(points)-1].Timestamp, time.Second)
		return points[len(points)-1].GaugeValue.DoubleValue
	}
	window := "&lookback=20000&step=5000&ratePer=50000&endTs=" + end
	var f family
	ask("/jaeger/api/metrics/calls?service=shop&groupByOperation=true"+window, &f)
	require.Equal(t, "service_operation_call_rate", f.Name)
	require.InDelta(t, 1, last(f), 0.1)
	require.Equal(t, []struct{ Name, Value string }{{"service_name", "shop"}, {"operation", "GET /"}}, f.Metrics[0].Labels)
	f = family{}
	ask("/jaeger/api/metrics/errors?service=shop&service=nobody"+window, &f)
	require.Equal(t, "service_error_rate", f.Name)
	require.InDelta(t, 0.1, last(f), 0.02)
	f = family{}
	ask("/jaeger/api/metrics/errors?service=web&spanKind=client"+window, &f)
	require.Zero(t, last(f))
	f = family{}
	ask("/jaeger/api/metrics/latencies?service=shop&quantile=0.95"+window, &f)
	require.Equal(t, "service_latencies", f.Name)
	require.InDelta(t, 10, last(f), 0.3)

	var deps struct {
		Data   []traces.Dependency
		Errors []struct{ Msg string }
	}
	ask("/jaeger/api/dependencies?lookback=3600000&endTs="+end, &deps)
	require.Equal(t, []traces.Dependency{{Parent: "web", Child: "shop", CallCount: 60}}, deps.Data)
	ask("/jaeger/api/dependencies?service=nobody&endTs="+end, &deps)
	require.Empty(t, deps.Data)
	ask("/jaeger/api/dependencies?lookback=15100&endTs="+end, &deps) // calls that began since
	require.Equal(t, []traces.Dependency{{Parent: "web", Child: "shop", CallCount: 15}}, deps.Data)
	require.Empty(t, deps.Errors)

	// Of more spans than may be held the metrics answer, and the answer says so.
	cfg := traces.DefaultConfig()
	cfg.MaxSpans = 20
	serve("/small/jaeger", cfg)
	ask("/small/jaeger/api/dependencies?lookback=3600000&endTs="+end, &deps)
	require.Equal(t, []traces.Dependency{{Parent: "web", Child: "shop", CallCount: 60}}, deps.Data)
	require.Len(t, deps.Errors, 1)
	require.Contains(t, deps.Errors[0].Msg, "maxSpans")
}
