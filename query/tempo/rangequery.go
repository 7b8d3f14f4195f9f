package tempo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// RangeQuery asks for series.
type RangeQuery struct {
	Query *traceql.Query // with Metrics
	// Interval is the time of the spans' starts, and the step of the series.
	Interval  traceql.Interval
	Exemplars int // at most
}

// Range computes the series of a metrics query.
func (e *Engine) Range(ctx context.Context, q RangeQuery) ([]traceql.Series, Stats, error) {
	if q.Query.Metrics == nil {
		return nil, Stats{}, badRequest{errors.New("the query has no metrics function, as rate()")}
	}
	if n := q.Interval.Steps(); n > e.cfg.MaxPoints {
		return nil, Stats{}, &LimitError{Limit: "maxPoints", Detail: fmt.Sprintf("it asks for %d points, more than %d; lengthen its step", n, e.cfg.MaxPoints)}
	}
	p := newPlan(q.Query)
	agg := traceql.NewAggregator(q.Query.Metrics, q.Interval, traceql.Bounds{
		Series: e.cfg.MaxSeries, Samples: e.cfg.MaxSamples, Exemplars: min(q.Exemplars, e.cfg.MaxExemplars),
	})
	var out []traceql.Series
	var st Stats
	err := e.run(ctx, func(ctx context.Context) (Stats, error) {
		var err error
		switch {
		case !p.spanwise:
			err = e.rangeOfTraces(ctx, &p, q, agg, &st)
		case q.Exemplars == 0 && p.counts():
			var done bool
			if done, err = e.rangeOfCounts(ctx, &p, q, agg, &st); !done && err == nil {
				err = e.rangeOfSpans(ctx, &p, q, agg, &st)
			}
		default:
			err = e.rangeOfSpans(ctx, &p, q, agg, &st)
		}
		if err == nil {
			out, err = agg.Series(ctx)
		}
		return st, err
	})
	return out, st, err
}

// window is the interval as the store takes it: (Start, End] is [Start+1, End+1).
func (q RangeQuery) window() (from, to int64) { return q.Interval.Start + 1, q.Interval.End + 1 }

// rangeOfSpans decides on each span by itself and reads only the columns for that.
func (e *Engine) rangeOfSpans(ctx context.Context, p *plan, q RangeQuery, agg *traceql.Aggregator, st *Stats) error {
	columns := p.metricsColumns()
	if q.Exemplars > 0 {
		columns.Fields = append(columns.Fields, columnTraceID)
	}
	var evaluator traceql.Evaluator
	from, to := q.window()
	return e.scan(ctx, p.selections, columns, from, to, columnar.Forward, st, func(r *row) (bool, error) {
		if !p.matches(&evaluator, r) {
			return true, nil
		}
		return true, agg.Observe(r.start, r)
	})
}

// rangeOfTraces evaluates the query on every candidate's trace, and counts the spans
// that it selects within the time.
func (e *Engine) rangeOfTraces(ctx context.Context, p *plan, q RangeQuery, agg *traceql.Aggregator, st *Stats) error {
	columns := p.metricsColumns(traceColumns...)
	from, to := q.window()
	var all []candidate
	if err := e.candidates(ctx, p, from, to, e.cfg.MaxCandidates, st, func(cs []candidate) (bool, error) {
		all = append(all, cs...)
		return true, nil
	}); err != nil || len(all) == 0 {
		return err
	}
	ss := anything()
	if p.selective {
		ss = p.selections
	}
	var evaluator traceql.Evaluator
	_, err := e.load(ctx, all, ss, columns, st, func(l loaded) (bool, error) {
		if p.selective {
			l.rows = slices.DeleteFunc(l.rows, func(r *row) bool { return !p.matches(&evaluator, r) })
		}
		t := l.trace()
		sets, err := q.Query.Pipeline.Evaluate(ctx, t)
		if err != nil {
			return false, err
		}
		for _, set := range sets {
			for _, i := range set.Spans {
				if err := agg.ObserveIn(t, i); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	})
	return err
}

// counts reports whether the query counts what the store can count itself: rows for
// which one selection holds exactly, by nothing or by service.
func (p *plan) counts() bool {
	m := p.query.Metrics
	if m.Func != traceql.Rate && m.Func != traceql.CountOverTime || len(p.selections) != 1 || !p.selections[0].exact {
		return false
	}
	return len(m.By) == 0 || len(m.By) == 1 && m.By[0] == traceql.Attribute(traceql.ResourceScope, "service.name")
}

// rangeOfCounts has the store count, which takes a tenth of the CPU of reading the spans:
// 25 instead of 267 ms for the rate of a million. It reports false when it cannot: a stream of
// nameless services may hold spans that lack service.name and others that do not.
func (e *Engine) rangeOfCounts(ctx context.Context, p *plan, q RangeQuery, agg *traceql.Aggregator, st *Stats) (bool, error) {
	from, to := q.window()
	s := p.selections[0]
	query := columnar.CountQuery{Width: q.Interval.Step, Query: columnar.Query{
		Table: columnar.Spans, From: from, To: to, Matchers: s.matchers, Fields: s.fields, Budget: e.budget(),
	}}
	var services []string
	named := true
	if len(q.Query.Metrics.By) > 0 {
		groups := map[string]int{}
		query.Group = func(l labels.Labels) int {
			name := l.Get("service_name")
			if name == "" || name == "unknown_service" {
				named = false
			}
			g, ok := groups[name]
			if !ok {
				g = len(services)
				name = strings.Clone(name)
				groups[name] = g
				services = append(services, name)
			}
			return g
		}
	}
	counts, cost, err := e.store.Count(ctx, query)
	st.add(cost)
	if err != nil {
		return false, fmt.Errorf("count spans: %w", err)
	}
	if !named {
		return false, nil
	}
	for _, c := range counts {
		var by []traceql.Value
		if len(services) > 0 {
			by = []traceql.Value{traceql.StringValue(services[c.Group])}
		}
		if err := agg.Add(from+int64(c.Bucket)*q.Interval.Step, by, float64(c.Rows)); err != nil {
			return false, err
		}
	}
	return true, nil
}
