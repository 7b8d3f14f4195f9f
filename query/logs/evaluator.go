package logs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/logqlmodel/metadata"
	"github.com/grafana/loki/v3/pkg/logqlmodel/stats"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Metric queries whose range aggregations can be pushed down are evaluated by the
// loop of this file instead of LogQL's: every node of the expression is LogQL's
// own evaluator but those leaves, for which LogQL would pull one sample at a time
// through an iterator, parse its labels and keep it in a map by their text.

// evaluatesItself reports whether a query takes the loop of this file. LogQL
// rewrites queries with line_format in ways of its own before it evaluates them.
func (q *querier) evaluatesItself(expr syntax.Expr) bool {
	sample, ok := expr.(syntax.SampleExpr)
	if !ok {
		return false
	}
	if _, ok := expr.(syntax.VariantsExpr); ok {
		return false
	}
	if usesRateCounter(sample) {
		return true
	}
	leaves, lineFormat := false, false
	sample.Walk(func(e syntax.Expr) bool {
		switch e.(type) {
		case *syntax.RangeAggregationExpr:
			leaves = true
		case *syntax.LineFmtExpr:
			lineFormat = true
		}
		return true
	})
	return leaves && !lineFormat && !q.plain
}

// evalMetrics evaluates a metric query.
func evalMetrics(ctx context.Context, q *querier, params logql.Params, lim limits) (logqlmodel.Result, error) {
	start := time.Now()
	statsCtx, ctx := stats.NewContext(ctx)
	meta, ctx := metadata.NewContext(ctx)
	factory := evaluatorFactory{querier: q, rest: logql.NewDefaultEvaluator(q, 0, 0)}
	expr := params.GetExpression().(syntax.SampleExpr)
	ev, err := factory.NewStepEvaluator(ctx, factory, expr, params)
	if err != nil {
		return logqlmodel.Result{}, err
	}
	var (
		res logqlmodel.Result
		n   int
	)
	if logql.GetRangeType(params) == logql.InstantType {
		var vec promql.Vector
		vec, err = joinInstant(ctx, ev, params, lim.maxSeries)
		res.Data, n = vec, len(vec)
	} else {
		var matrix promql.Matrix
		matrix, err = joinRange(ctx, q.exec, ev, lim.maxSeries)
		res.Data, n = matrix, matrix.TotalSamples()
	}
	if closeErr := ev.Close(); err == nil {
		err = closeErr
	}
	took := time.Since(start)
	statsCtx.AddQuerierExecTime(took)
	res.Statistics = statsCtx.Result(took, 0, n)
	res.Warnings = meta.Warnings()
	res.Headers = meta.Headers()
	return res, err
}

func joinInstant(ctx context.Context, ev logql.StepEvaluator, params logql.Params, maxSeries int) (promql.Vector, error) {
	ok, _, r := ev.Next()
	if err := ev.Error(); err != nil || !ok {
		return promql.Vector{}, err
	}
	vec := r.SampleVector()
	if vec == nil {
		vec = promql.Vector{}
	}
	if len(vec) > maxSeries {
		if !partial(ctx, maxSeries) {
			return nil, logqlmodel.NewSeriesLimitError(maxSeries)
		}
		vec = vec[:maxSeries]
	}
	if sorted, err := logql.Sortable(params); err != nil || sorted {
		return vec, err
	}
	slices.SortFunc(vec, func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) })
	return vec, nil
}

// partial reports whether the client takes a part of too many series, and warns
// it that this is one.
func partial(ctx context.Context, maxSeries int) bool {
	if !httpreq.IsLogsDrilldownRequest(ctx) {
		return false
	}
	metadata.FromContext(ctx).AddWarning(fmt.Sprintf(
		"maximum number of series (%d) reached for a single query; returning partial results", maxSeries))
	return true
}

func joinRange(ctx context.Context, exec *execution, ev logql.StepEvaluator, maxSeries int) (promql.Matrix, error) {
	if leaf, ok := ev.(*rangeEvaluator); ok {
		return leaf.join(ctx, maxSeries)
	}
	j := joiner{max: maxSeries}
	points := heldItems{lease: &exec.memory, size: pointBytes}
	index := map[uint64]int{}
	for !j.full {
		ok, _, r := ev.Next()
		if err := ev.Error(); err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, s := range r.SampleVector() {
			hash := labels.StableHash(s.Metric)
			i, ok := index[hash]
			if !ok {
				if i, ok = j.add(s.Metric); !ok {
					if !j.full && !partial(ctx, maxSeries) {
						return nil, logqlmodel.NewSeriesLimitError(maxSeries)
					}
					j.full = true
					continue
				}
				index[hash] = i
			}
			if err := points.add(); err != nil {
				return nil, exec.fail(err)
			}
			j.out[i].Floats = append(j.out[i].Floats, promql.FPoint{T: s.T, F: s.F})
		}
	}
	return j.sorted(), nil
}

// pointBytes is what a point of an answer takes, with the room that slices keep for
// more.
const pointBytes = 32

// joiner collects the series of a range query.
type joiner struct {
	out  promql.Matrix
	max  int
	full bool // one more series would have been too many
}

func (j *joiner) add(metric labels.Labels) (int, bool) {
	if len(j.out) >= j.max {
		return 0, false
	}
	j.out = append(j.out, promql.Series{Metric: metric})
	return len(j.out) - 1, true
}

func (j *joiner) sorted() promql.Matrix {
	if j.out == nil {
		return promql.Matrix{}
	}
	slices.SortFunc(j.out, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return j.out
}

// evaluatorFactory makes the evaluators of the leaves and leaves the others to
// LogQL.
type evaluatorFactory struct {
	querier *querier
	rest    *logql.DefaultEvaluator
}

// leafExpr hides a range aggregation from LogQL, which takes one below a sum into
// its own hands.
type leafExpr struct{ *syntax.RangeAggregationExpr }

// NewStepEvaluator implements logql.SampleEvaluatorFactory.
func (f evaluatorFactory) NewStepEvaluator(ctx context.Context, _ logql.SampleEvaluatorFactory, expr syntax.SampleExpr, p logql.Params) (logql.StepEvaluator, error) {
	switch e := expr.(type) {
	case leafExpr:
		return f.leaf(ctx, e.RangeAggregationExpr, p)
	case *syntax.RangeAggregationExpr:
		return f.leaf(ctx, e, p)
	case *syntax.VectorAggregationExpr:
		r, ok := e.Left.(*syntax.RangeAggregationExpr)
		if !ok || e.Operation != syntax.OpTypeSum {
			break
		}
		switch r.Operation {
		case syntax.OpRangeTypeRateCounter, syntax.OpRangeTypeAbsent:
			hidden := *e
			hidden.Left = leafExpr{r}
			expr = &hidden
		default:
			if ev, err := f.querier.pushRange(ctx, e, r, e.Grouping, p); ev != nil || err != nil {
				return ev, err
			}
		}
	}
	return f.rest.NewStepEvaluator(ctx, f, expr, p)
}

func (f evaluatorFactory) leaf(ctx context.Context, r *syntax.RangeAggregationExpr, p logql.Params) (logql.StepEvaluator, error) {
	if r.Operation == syntax.OpRangeTypeRateCounter {
		return f.rateCounter(ctx, r, p)
	}
	if ev, err := f.querier.pushRange(ctx, r, r, nil, p); ev != nil || err != nil {
		return ev, err
	}
	return f.rest.NewStepEvaluator(ctx, f, r, p)
}

// pushRange makes the evaluator of a range aggregation, which may stand below a
// sum with a grouping; expr is the outer one of the two. It returns nil when the
// aggregation must be left to LogQL.
func (q *querier) pushRange(ctx context.Context, expr syntax.SampleExpr, r *syntax.RangeAggregationExpr, sum *syntax.Grouping, p logql.Params) (logql.StepEvaluator, error) {
	if q.plain {
		return nil, nil
	}
	win, ok := newWindows(p, r.Left)
	if !ok {
		return nil, nil
	}
	agg, ok := newAggregation(r)
	if !ok {
		return nil, nil
	}
	leaf := leaf{expr: expr, rng: r, sum: sum, agg: agg, win: win}
	src, err := q.countSource(ctx, leaf)
	if err != nil {
		return nil, q.exec.fail(err)
	}
	if src == nil {
		if src, err = q.rowSource(ctx, leaf); err != nil {
			return nil, q.exec.fail(err)
		}
	}
	return newRangeEvaluator(ctx, q.exec, leaf, src), nil
}

// leaf is a range aggregation to push down.
type leaf struct {
	expr syntax.SampleExpr // what LogQL makes its extractors of
	rng  *syntax.RangeAggregationExpr
	sum  *syntax.Grouping // of the sum above it, or nil
	agg  aggregation
	win  windows
}

// metricOf gives labels as LogQL reads them back from the text of a sample's
// labels; it drops samples whose text it cannot read.
func metricOf(text string) (labels.Labels, bool) {
	metric, err := parser.NewParser(parser.Options{}).ParseMetric(text)
	return metric, err == nil
}
