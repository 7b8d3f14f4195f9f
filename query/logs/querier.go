package logs

import (
	"context"
	"math"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// querier is the logql.Querier of one query.
type querier struct {
	store Store
	exec  *execution
	// plain switches the push-down off; the differential test compares both.
	plain bool
	req   Request
}

// SelectLogs implements logql.Querier. Start is inclusive, end exclusive.
func (q *querier) SelectLogs(ctx context.Context, p logql.SelectLogParams) (iter.EntryIterator, error) {
	expr, err := p.LogSelector()
	if err != nil {
		return nil, err
	}
	query := columnar.Query{
		Table: columnar.Logs, From: unixNano(p.Start), To: unixNano(p.End),
		Matchers: expr.Matchers(),
		Columns:  columnar.Columns{Line: true, AllFields: true},
	}
	if p.Direction == logproto.BACKWARD {
		query.Direction = columnar.Backward
	}
	exact, err := q.push(ctx, &query, stagesOf(expr))
	if err != nil {
		return nil, err
	}
	// With an interval the engine passes over lines that it has read.
	if exact && q.req.Interval == 0 {
		query.Limit = int(p.Limit)
	}
	if err := correctPipelines(ctx, expr); err != nil {
		return nil, err
	}
	pipeline, err := expr.Pipeline()
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(ctx, q.exec, q.store, query, pipeline.ForStream)
	if err != nil {
		return nil, err
	}
	return &entryIterator{sel: sel}, nil
}

// SelectSamples implements logql.Querier. Start is inclusive, end exclusive.
func (q *querier) SelectSamples(ctx context.Context, p logql.SelectSampleParams) (iter.SampleIterator, error) {
	expr, err := p.Expr()
	if err != nil {
		return nil, err
	}
	selector, err := expr.Selector()
	if err != nil {
		return nil, err
	}
	query := columnar.Query{
		Table: columnar.Logs, From: unixNano(p.Start), To: unixNano(p.End),
		Matchers: selector.Matchers(),
		Columns:  columnar.Columns{Line: true, AllFields: true},
	}
	if !q.plain {
		query.Columns = sampleColumns(expr)
	}
	if _, err := q.push(ctx, &query, stagesOf(selector)); err != nil {
		return nil, err
	}
	if err := correctPipelines(ctx, expr); err != nil {
		return nil, err
	}
	extractors, err := expr.Extractors()
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(ctx, q.exec, q.store, query, func(l labels.Labels) []log.StreamSampleExtractor {
		out := make([]log.StreamSampleExtractor, len(extractors))
		for i, ex := range extractors {
			out[i] = ex.ForStream(l)
		}
		return out
	})
	if err != nil {
		return nil, err
	}
	return &sampleIterator{
		sel: sel, series: map[uint64]struct{}{},
		window: newWindowGuard(q.exec.cfg.MaxWindowSamples, q.exec.cfg.MaxWindowReads, expr, q.req).leasing(&q.exec.memory),
	}, nil
}

// unixNano saturates, since the engine subtracts ranges and offsets from times
// that may be as early as the store can hold.
func unixNano(t time.Time) int64 {
	switch {
	case t.Before(minTime):
		return math.MinInt64
	case t.After(maxTime):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// push adds what the store may evaluate of the pipeline to the query, and
// reports whether the store then keeps exactly the rows that the pipeline keeps.
func (q *querier) push(ctx context.Context, query *columnar.Query, stages syntax.MultiStageExpr) (exact bool, err error) {
	if q.plain {
		return false, nil
	}
	p := analyze(stages)
	query.Lines = p.lines
	for _, f := range p.fields {
		isLabel, err := q.isLabel(ctx, query, f.Name)
		if err != nil {
			return false, q.exec.fail(err)
		}
		if !isLabel {
			query.Fields = append(query.Fields, f)
		}
	}
	for _, d := range p.derived {
		fromLine, err := q.onlyParsed(ctx, query, d.names)
		if err != nil {
			return false, q.exec.fail(err)
		}
		if fromLine {
			query.Lines = append(query.Lines, d.line)
		}
	}
	return p.exact, nil
}

// onlyParsed reports whether no row that the query can see has a label or
// structured metadata of the names, so that nothing but a parser makes such.
func (q *querier) onlyParsed(ctx context.Context, query *columnar.Query, names []string) (bool, error) {
	for _, name := range names {
		isLabel, err := q.isLabel(ctx, query, name)
		if isLabel || err != nil {
			return false, err
		}
		has, err := q.hasField(ctx, columnar.CountQuery{Query: *query}, name)
		if has || err != nil {
			return false, err
		}
	}
	return true, nil
}

// hasField reports whether a row of the selection, whatever its line and fields,
// has structured metadata of the name. Rows without cost the store a look at its
// indexes.
func (q *querier) hasField(ctx context.Context, count columnar.CountQuery, name string) (bool, error) {
	count.Query.Lines = nil
	count.Query.Fields = []columnar.FieldPredicate{{Name: name, Op: columnar.FieldNotEqual}}
	count.Query.Budget = q.exec.budget()
	count.LineBytes, count.Width = false, 0
	counts, st, err := q.store.Count(ctx, count)
	if cerr := q.exec.charge(st.Bytes, st.Rows); err == nil {
		err = cerr
	}
	return len(counts) > 0, err
}

// isLabel reports whether a stream that the query matches has a label of the
// name: a label filter then means the label.
func (q *querier) isLabel(ctx context.Context, query *columnar.Query, name string) (bool, error) {
	has := labels.MustNewMatcher(labels.MatchNotEqual, name, "")
	ms := append(append([]*labels.Matcher(nil), query.Matchers...), has)
	streams, err := q.store.Streams(ctx, query.Table, query.Tenants, query.From, query.To, ms)
	return len(streams) > 0, err
}
