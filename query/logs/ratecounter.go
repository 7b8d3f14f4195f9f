package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/querier/plan"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// rate_counter of the linked version mixes nanoseconds with milliseconds, so that
// it never extrapolates to the edges of its window. Queries that use it are
// evaluated by the loop of this file, in which every node is LogQL's own but that
// one, which follows the rate function of Prometheus.

func usesRateCounter(expr syntax.Expr) (found bool) {
	expr.Walk(func(e syntax.Expr) bool {
		if r, ok := e.(*syntax.RangeAggregationExpr); ok && r.Operation == syntax.OpRangeTypeRateCounter {
			found = true
		}
		return !found
	})
	return found
}

func (f evaluatorFactory) rateCounter(ctx context.Context, e *syntax.RangeAggregationExpr, p logql.Params) (logql.StepEvaluator, error) {
	offset := e.Left.Offset
	it, err := f.querier.SelectSamples(ctx, logql.SelectSampleParams{SampleQueryRequest: &logproto.SampleQueryRequest{
		Start: p.Start().Add(-e.Left.Interval).Add(-offset),
		// A range excludes its start and includes its end; a selection the other way.
		End:  p.End().Add(-offset).Add(time.Nanosecond),
		Plan: &plan.QueryPlan{AST: e},
	}})
	if err != nil {
		return nil, err
	}
	step := p.Step().Nanoseconds()
	if step == 0 {
		step = 1
	}
	return &rateCounterEvaluator{
		ctx: ctx,
		it:  iter.NewPeekingSampleIterator(it), width: e.Left.Interval, offset: offset.Nanoseconds(),
		step: step, end: p.End().UnixNano(), current: p.Start().UnixNano() - step,
		windows: map[string]*counterWindow{},
	}, nil
}

// rateCounterEvaluator slides a window over the samples of each series.
type rateCounterEvaluator struct {
	ctx                        context.Context
	it                         iter.PeekingSampleIterator
	width                      time.Duration
	offset, step, end, current int64 // nanoseconds
	windows                    map[string]*counterWindow
	err                        error
}

// counterWindow holds the samples of a series in the window; T is in nanoseconds.
type counterWindow struct {
	metric  labels.Labels
	samples []promql.FPoint
}

// Next implements logql.StepEvaluator.
func (r *rateCounterEvaluator) Next() (bool, int64, logql.StepResult) {
	r.current += r.step
	if r.err != nil || r.current > r.end {
		return false, 0, logql.SampleVector{}
	}
	to := r.current - r.offset
	from := to - r.width.Nanoseconds()
	if r.err = r.slide(from, to); r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		return false, 0, logql.SampleVector{}
	}
	ts := r.current / int64(time.Millisecond)
	vec := make(promql.Vector, 0, len(r.windows))
	for _, w := range r.windows {
		if w.metric.Has(logqlmodel.ErrorLabel) && w.metric.Get(logqlmodel.PreserveErrorLabel) != "true" {
			r.err = logqlmodel.NewPipelineErr(w.metric)
			return false, 0, logql.SampleVector{}
		}
		vec = append(vec, promql.Sample{Metric: w.metric, T: ts, F: counterRate(w.samples, from, to)})
	}
	return true, ts, logql.SampleVector(vec)
}

// slide moves the windows to (from, to].
func (r *rateCounterEvaluator) slide(from, to int64) error {
	for name, w := range r.windows {
		if keep := slices.IndexFunc(w.samples, func(p promql.FPoint) bool { return p.T > from }); keep < 0 {
			delete(r.windows, name)
		} else {
			w.samples = w.samples[keep:]
		}
	}
	for lbls, s, ok := r.it.Peek(); ok && s.Timestamp <= to; lbls, s, ok = r.it.Peek() {
		if s.Timestamp > from {
			w := r.windows[lbls]
			if w == nil {
				metric, err := syntax.ParseLabels(lbls)
				if err != nil {
					return fmt.Errorf("labels of a sample: %w", err)
				}
				w = &counterWindow{metric: metric}
				r.windows[strings.Clone(lbls)] = w
			}
			w.samples = append(w.samples, promql.FPoint{T: s.Timestamp, F: s.Value})
		}
		r.it.Next()
	}
	return r.it.Err()
}

// counterRate is the increase per second of a counter over the window (from, to],
// in nanoseconds: what it increased by between its samples, resets made up for,
// extrapolated to the window's edges. An edge that is further than 1.1 times the
// average distance of the samples is not reached: then only half that distance is
// added; and a counter is never extrapolated below zero. Fewer than two samples
// have no rate, which is 0.
func counterRate(samples []promql.FPoint, from, to int64) float64 {
	if len(samples) < 2 {
		return 0
	}
	first, last := samples[0], samples[len(samples)-1]
	increase := last.F - first.F
	previous := first.F
	for _, s := range samples[1:] {
		if s.F < previous {
			increase += previous
		}
		previous = s.F
	}
	sampled := time.Duration(last.T - first.T).Seconds()
	if sampled == 0 {
		return 0
	}
	toStart := time.Duration(first.T - from).Seconds()
	toEnd := time.Duration(to - last.T).Seconds()
	average := sampled / float64(len(samples)-1)
	if toStart >= average*1.1 {
		toStart = average / 2
	}
	if toEnd >= average*1.1 {
		toEnd = average / 2
	}
	if increase > 0 && first.F >= 0 {
		toStart = min(toStart, sampled*(first.F/increase))
	}
	return increase * (sampled + toStart + toEnd) / sampled / time.Duration(to-from).Seconds()
}

// Close implements logql.StepEvaluator.
func (r *rateCounterEvaluator) Close() error { return r.it.Close() }

// Error implements logql.StepEvaluator.
func (r *rateCounterEvaluator) Error() error {
	if r.err != nil {
		return r.err
	}
	return r.it.Err()
}

// Explain implements logql.StepEvaluator.
func (r *rateCounterEvaluator) Explain(parent logql.Node) { parent.Child("rate_counter") }
