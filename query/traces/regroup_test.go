package traces_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/traces"
)

// TestNothingIsLostInTheStore sends spans of every shape from OTLP through blocks on
// disk back to OTLP.
func TestNothingIsLostInTheStore(t *testing.T) {
	store := openStore(t)
	r := rand.New(rand.NewPCG(5, 5))
	const n = 100
	sent := map[traces.TraceID]ptrace.Traces{}
	for range n {
		td := randomTraces(r)
		// Services apart, so that a block holds spans with fields that others lack.
		td.ResourceSpans().At(0).Resource().Attributes().PutStr("service.name", []string{"a", "b"}[r.IntN(2)])
		other := randomTraces(r).ResourceSpans().At(0)
		other.CopyTo(td.ResourceSpans().AppendEmpty())
		for _, rs := range td.ResourceSpans().All() {
			rs.ScopeSpans().At(0).Spans().At(0).SetTraceID(td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).TraceID())
		}
		appendTraces(t, store, td)
		sent[traces.TraceID(td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).TraceID())] = td
	}
	require.NoError(t, store.Flush(t.Context()))
	q, err := traces.NewQuerier(store, traces.DefaultConfig(), nil, nil)
	require.NoError(t, err)
	for id, want := range sent {
		got, err := q.Trace(t.Context(), id, time.Time{}, time.Time{})
		require.NoError(t, err)
		back, err := got.OTLP()
		require.NoError(t, err)
		require.Equal(t, want.SpanCount(), back.SpanCount())
		require.Empty(t, cmp.Diff(allSpans(want), allSpans(back),
			cmpopts.EquateNaNs(),
			cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(traces.Span{}, "Labels"),
			cmpopts.SortSlices(func(a, b traces.Attribute) bool { return a.Key < b.Key }),
			cmpopts.SortSlices(func(a, b traces.Span) bool { return a.SpanID.String() < b.SpanID.String() }),
		))
	}
}

func TestEqualResourcesStandTogether(t *testing.T) {
	store := openStore(t)
	td := ptrace.NewTraces()
	newSpan(td, "a", 1, 1, "one", now, time.Millisecond)
	newSpan(td, "b", 1, 2, "two", now, time.Millisecond)
	newSpan(td, "a", 1, 3, "three", now, time.Millisecond)
	td.ResourceSpans().At(2).ScopeSpans().At(0).Scope().SetVersion("1.0")
	newSpan(td, "a", 1, 4, "four", now, time.Millisecond)
	appendTraces(t, store, td)
	q, err := traces.NewQuerier(store, traces.DefaultConfig(), nil, nil)
	require.NoError(t, err)
	got, err := q.Trace(t.Context(), traces.TraceID{0: 0xab, 15: 1}, time.Time{}, time.Time{})
	require.NoError(t, err)
	back, err := got.OTLP()
	require.NoError(t, err)
	require.Equal(t, 2, back.ResourceSpans().Len())
	a := back.ResourceSpans().At(0)
	require.Equal(t, 2, a.ScopeSpans().Len())
	require.Equal(t, 2, a.ScopeSpans().At(0).Spans().Len())
}
