package spanmetrics_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
	"github.com/yagura-dev/yagura/query/spanmetrics"
	"github.com/yagura-dev/yagura/query/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a generator between the real stores.
type rig struct {
	*spanmetrics.Generator
	t       testing.TB
	clock   *clocktesting.FakeClock
	rows    *columnar.Store
	samples *metrics.Store
	reg     *prometheus.Registry
	broken  bool // the store of spans refuses everything
}

// Append stands before the store of spans, to fail when told.
func (r *rig) Append(ctx context.Context, b columnar.Batch) (bool, error) {
	if r.broken {
		return false, errors.New("no")
	}
	return r.rows.Append(ctx, b)
}

func newRig(t testing.TB, change ...func(*spanmetrics.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)), reg: prometheus.NewRegistry()}
	mc := metrics.DefaultConfig()
	mc.MinFreeBytes = 0
	var err error
	r.samples, err = metrics.Open(t.TempDir(), metrics.Options{Config: mc, Now: r.clock.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.samples.Close()) })
	r.rows, err = columnar.Open(t.TempDir(), columnar.Options{Config: columnar.Config{MinFreeDisk: -1}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.rows.Close()) })
	cfg := spanmetrics.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	r.Generator, err = spanmetrics.New(spanmetrics.Options{Config: cfg, Rows: r, Samples: r.samples, Registerer: r.reg, Clock: r.clock})
	require.NoError(t, err)
	return r
}

// span is one of a test: its trace, its own id and its parent's are numbers.
type span struct {
	service, name     string
	trace, id, parent byte
	kind              traces.Kind
	failed            bool
	duration          time.Duration
	age               time.Duration
	attributes        map[string]string
}

func (r *rig) batch(spans ...span) columnar.Batch {
	b := columnar.Batch{Table: columnar.Spans}
	for _, s := range spans {
		out := traces.Span{
			TraceID: traces.TraceID{15: s.trace}, Name: s.name, Kind: s.kind,
			Start: r.clock.Now().Add(-s.age - s.duration).UnixNano(), End: r.clock.Now().Add(-s.age).UnixNano(),
		}
		out.SpanID[7], out.ParentSpanID[7] = s.id, s.parent
		if s.failed {
			out.StatusCode = traces.StatusError
		}
		for k, v := range s.attributes {
			out.Attributes = append(out.Attributes, traces.Attribute{Key: k, Text: v})
		}
		ls := labels.FromStrings("service_name", s.service, "namespace", "prod", "pod", s.service+"-0")
		b.Streams = append(b.Streams, columnar.Stream{Labels: ls, Rows: []columnar.Row{out.Row()}})
	}
	return b
}

// store stores spans as a batch without a name.
func (r *rig) store(spans ...span) {
	r.t.Helper()
	duplicate, err := r.Generator.Append(context.Background(), r.batch(spans...))
	require.NoError(r.t, err)
	require.False(r.t, duplicate)
}

// pass lets time go by and flushes.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock.Step(d)
	require.NoError(r.t, r.Flush(context.Background()))
}

// values are the samples of the series that the matchers select, by their labels.
func (r *rig) values(name string, pairs ...string) map[string][]float64 {
	r.t.Helper()
	q, err := r.samples.Queryable().Querier(0, math.MaxInt64)
	require.NoError(r.t, err)
	defer q.Close()
	ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", name)}
	for i := 0; i < len(pairs); i += 2 {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, pairs[i], pairs[i+1]))
	}
	out := map[string][]float64{}
	set := q.Select(context.Background(), true, nil, ms...)
	for set.Next() {
		key := set.At().Labels().DropReserved(func(n string) bool { return n == "__name__" }).String()
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			_, v := it.At()
			out[key] = append(out[key], v)
		}
		require.NoError(r.t, it.Err())
	}
	require.NoError(r.t, set.Err())
	return out
}

// own is the sum of one of the generator's own metrics, whose labels hold the pairs.
func (r *rig) own(name string, pairs ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	require.NoError(r.t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(pairs); i += 2 {
				if have[pairs[i]] != pairs[i+1] {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func spanID(n byte) string { return string(binaryHex(n)) }

func binaryHex(n byte) []byte {
	var id traces.SpanID
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return []byte(id.String())
}
