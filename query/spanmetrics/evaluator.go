package spanmetrics

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

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

// lookback is how far before a range the last sample before it is looked for: a few
// times the interval at which metrics are written.
const lookback = 5 * time.Minute

// Increase implements traces.Evaluator. A series begins with a zero, or it goes on
// from the last sample before the range.
func (e *Evaluator) Increase(ctx context.Context, metric string, start, end time.Time) ([]traces.Series, error) {
	from, to := start.UnixMilli(), end.UnixMilli()
	q, err := e.queryable.Querier(start.Add(-lookback).UnixMilli(), to)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", metric, err)
	}
	defer q.Close()
	var out []traces.Series
	var it chunkenc.Iterator
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric))
	for set.Next() {
		it = set.At().Iterator(it)
		if grown := increase(it, from); it.Err() != nil {
			return nil, fmt.Errorf("read %s: %w", metric, it.Err())
		} else if grown > 0 {
			out = append(out, traces.Series{Labels: set.At().Labels(), Points: []traces.Point{{Time: end, Value: grown}}})
		}
	}
	if err := set.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", metric, err)
	}
	return out, nil
}

// increase adds up by how much a counter grew after from. One that is less than
// before has begun anew.
func increase(it chunkenc.Iterator, from int64) (sum float64) {
	last, known := 0.0, false
	for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
		if vt != chunkenc.ValFloat {
			continue
		}
		t, v := it.At()
		if value.IsStaleNaN(v) {
			continue
		}
		if known && t > from {
			if v < last {
				last = 0
			}
			sum += v - last
		}
		last, known = v, true
	}
	return sum
}
