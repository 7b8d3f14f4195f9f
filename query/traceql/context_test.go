package traceql_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/traceql"
)

// ending ends the context once it was asked for a number of fields.
type ending struct {
	testSpan
	left *int
	end  context.CancelFunc
}

func (e ending) Values(f *traceql.Field, dst []traceql.Value) []traceql.Value {
	if *e.left--; *e.left == 0 {
		e.end()
	}
	return e.testSpan.Values(f, dst)
}

// TestEvaluateEndsWithItsContext ends the context within one trace.
func TestEvaluateEndsWithItsContext(t *testing.T) {
	for _, query := range []string{
		"{ .a = 1 }", "{ } | by(.a)", "{ } | max(.a) > 1", "{ .a = 1 } >> { .a = 1 }", "{ .a = 1 } | { .a = 1 }", "({ .a = 1 } | by(.a)) || { .a = 1 }",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		left := 10
		spans := make([]traceql.Span, 100_000)
		for i := range spans {
			spans[i] = traceql.Span{ID: [8]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}, Values: ending{testSpan{}, &left, cancel}}
		}
		trace := traceql.NewTrace(spans)
		q, err := traceql.Parse(query)
		require.NoError(t, err)
		_, err = q.Pipeline.Evaluate(ctx, trace)
		require.ErrorIs(t, err, context.Canceled, query)
		require.Greater(t, left, -5000, query)
		left = 10
		_, err = q.Pipeline.Evaluate(ctx, trace)
		require.ErrorIs(t, err, context.Canceled, query)
		require.Equal(t, 10, left, query)
	}
}

func TestSeriesEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, query := range []string{"{ } | rate()", "{ } | rate() | topk(1)", "{ } | compare({ false })"} {
		q, err := traceql.Parse(query)
		require.NoError(t, err)
		agg := traceql.NewAggregator(q.Metrics, traceql.NewInterval(0, 10, 10), traceql.Bounds{Series: 10, Samples: 10})
		require.NoError(t, agg.Observe(5, testSpan{"span.n": number(1)}))
		_, err = agg.Series(ctx)
		require.ErrorIs(t, err, context.Canceled, query)
	}
}
