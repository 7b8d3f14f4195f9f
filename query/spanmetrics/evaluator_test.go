package spanmetrics_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/spanmetrics"
)

// TestIncreaseGoesOnOverRestarts counts calls of two processes after each other.
func TestIncreaseGoesOnOverRestarts(t *testing.T) {
	r := newRig(t)
	call := func(trace byte) {
		r.store(client("a", trace, 1), server("b", trace, 2, 1))
		r.pass(10 * time.Second)
	}
	began := r.clock.Now()
	call(1)
	call(2)
	restarted := r.clock.Now()
	r.clock.Step(time.Second)
	var err error
	r.Generator, err = spanmetrics.New(spanmetrics.Options{Config: spanmetrics.DefaultConfig(), Rows: r, Samples: r.samples, Clock: r.clock})
	require.NoError(t, err)
	call(3)

	e := spanmetrics.NewEvaluator(r.samples.Engine(), r.samples.Queryable())
	for start, want := range map[time.Time]float64{began: 3, began.Add(10 * time.Second): 2, restarted: 1} {
		got, err := e.Increase(context.Background(), "traces_service_graph_request_total", start, r.clock.Now())
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, want, got[0].Points[0].Value)
	}
	got, err := e.Increase(context.Background(), "traces_service_graph_request_total", r.clock.Now(), r.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = e.QueryRange(context.Background(), "sum(", began, began, time.Second)
	require.Error(t, err)
}
