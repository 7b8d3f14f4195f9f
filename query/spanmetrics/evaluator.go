package spanmetrics

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/query/traces"
)

// Evaluator answers package traces from the metrics store.
type Evaluator struct {
	engine    *promql.Engine
	queryable storage.Queryable
}

var _ traces.Evaluator = (*Evaluator)(nil)

// NewEvaluator returns an evaluator of PromQL over the samples of q.
func NewEvaluator(engine *promql.Engine, q storage.Queryable) *Evaluator {
	return &Evaluator{engine: engine, queryable: q}
}

// QueryRange implements traces.Evaluator.
func (e *Evaluator) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]traces.Series, error) {
	query, err := e.engine.NewRangeQuery(ctx, e.queryable, promql.NewPrometheusQueryOpts(false, 0, nil), expr, start, end, step)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", expr, err)
	}
	defer query.Close()
	matrix, err := query.Exec(ctx).Matrix()
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", expr, err)
	}
	out := make([]traces.Series, len(matrix))
	for i, s := range matrix {
		out[i] = traces.Series{Labels: s.Metric, Points: make([]traces.Point, len(s.Floats))}
		for j, p := range s.Floats {
			out[i].Points[j] = traces.Point{Time: time.UnixMilli(p.T), Value: p.F}
		}
	}
	return out, nil
}
