package tempo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// Search asks for traces.
type Search struct {
	Query *traceql.Query
	// From and To bound the start of the spans by which traces are found, Unix
	// nanoseconds; From is inclusive, To exclusive.
	From, To int64
	// Limit is how many traces to return, Spans how many spans of each spanset. Zero is
	// the configured default.
	Limit, Spans int
}

// FoundTrace is a trace that a search selects.
type FoundTrace struct {
	ID          string // 32 hexadecimal digits
	RootService string // empty when the root span is not there
	RootName    string
	HasRoot     bool
	Start, End  int64 // of all its spans, Unix nanoseconds
	Services    map[string]ServiceStats
	Spansets    []FoundSpanset
}

// ServiceStats counts the spans of a service in a trace.
type ServiceStats struct {
	Spans, Errors int
}

// FoundSpanset is spans that a query selects together.
type FoundSpanset struct {
	Matched    int // of which Spans are the first
	Attributes []traceql.SpansetAttribute
	Spans      []FoundSpan
}

// FoundSpan is one selected span, with the fields that the query mentions.
type FoundSpan struct {
	ID         string
	Name       string
	Start      int64 // Unix nanoseconds
	Duration   int64 // nanoseconds
	Attributes []traceql.SpansetAttribute
}

// firstChunk is how many traces a query that must look into traces tries at first.
const firstChunk = 16

// Search returns traces that the query selects something of, those found by the newest
// spans, latest start first.
func (e *Engine) Search(ctx context.Context, s Search) ([]FoundTrace, Stats, error) {
	if s.Limit == 0 {
		s.Limit = e.cfg.DefaultTraces
	}
	if s.Spans == 0 {
		s.Spans = e.cfg.DefaultSpans
	}
	if s.Limit > e.cfg.MaxTraces {
		return nil, Stats{}, &LimitError{Limit: "maxTraces", Detail: fmt.Sprintf("it asks for %d traces, more than %d", s.Limit, e.cfg.MaxTraces)}
	}
	s.Spans = min(s.Spans, e.cfg.MaxSpansPerSpanset)
	p := newPlan(s.Query)
	var out []FoundTrace
	var st Stats
	err := e.run(ctx, func(ctx context.Context) (Stats, error) {
		size := firstChunk
		if p.spanwise {
			size = min(s.Limit, maxLookups) // every candidate is a result
		}
		columns := columnar.Columns{Fields: p.columns(traceColumns...)}
		err := e.candidates(ctx, &p, s.From, s.To, size, &st, func(cs []candidate) (bool, error) {
			if p.selective && !p.spanwise {
				var err error
				if cs, err = e.sift(ctx, &p, cs, &st); err != nil || len(cs) == 0 {
					return true, err
				}
			}
			return e.load(ctx, cs, anything(), columns, &st, func(t loaded) (bool, error) {
				found, ok, err := p.evaluate(ctx, t, s.Spans)
				if ok {
					out = append(out, found)
				}
				return len(out) < s.Limit, err
			})
		})
		return st, err
	})
	if err != nil {
		return nil, st, err
	}
	slices.SortStableFunc(out, func(a, b FoundTrace) int { return cmp.Compare(b.Start, a.Start) })
	return out, st, nil
}

// siftColumns tell spans apart, also those of the two sides of a call that bear one id.
var siftColumns = []string{columnTraceID, columnSpanID, columnName, columnKind}

// sift leaves the candidates that a selective query selects. It reads only the spans that
// the query's filters select, and of them only the columns that it mentions. For
// { status = error } | count() > 4 on a million spans that took 0.33 s of CPU instead of
// 5.2, and a thirtieth of the memory.
func (e *Engine) sift(ctx context.Context, p *plan, cs []candidate, st *Stats) ([]candidate, error) {
	columns := columnar.Columns{Fields: p.columns(siftColumns...)}
	var evaluator traceql.Evaluator
	selected := map[string]bool{}
	_, err := e.load(ctx, cs, p.selections, columns, st, func(l loaded) (bool, error) {
		l.rows = slices.DeleteFunc(l.rows, func(r *row) bool { return !p.matches(&evaluator, r) })
		sets, err := p.query.Pipeline.Evaluate(ctx, l.trace())
		if len(sets) > 0 {
			selected[l.id] = true
		}
		return true, err
	})
	return slices.DeleteFunc(cs, func(c candidate) bool { return !selected[c.id] }), err
}

// evaluate decides on a whole trace.
func (p *plan) evaluate(ctx context.Context, l loaded, spans int) (FoundTrace, bool, error) {
	t := l.trace()
	sets, err := p.query.Pipeline.Evaluate(ctx, t)
	if err != nil || len(sets) == 0 {
		return FoundTrace{}, false, err
	}
	start, end := t.Bounds()
	found := FoundTrace{
		ID: l.id, Start: start, End: end, HasRoot: t.Root() >= 0,
		RootName: t.RootName(), RootService: t.RootService(), Services: map[string]ServiceStats{},
	}
	for i, r := range l.rows {
		name := t.Service(i)
		stats := found.Services[name]
		stats.Spans++
		if r.text(columnStatus) == "error" {
			stats.Errors++
		}
		found.Services[name] = stats
	}
	for _, set := range sets {
		fs := FoundSpanset{Matched: len(set.Spans), Attributes: set.Attributes}
		for _, i := range set.Spans[:min(spans, len(set.Spans))] {
			fs.Spans = append(fs.Spans, p.found(t, i, l.rows[i]))
		}
		found.Spansets = append(found.Spansets, fs)
	}
	return found, true, nil
}

// found is a span with the fields that the query mentions, without those that every
// answer has anyway.
func (p *plan) found(t *traceql.Trace, i int, r *row) FoundSpan {
	out := FoundSpan{ID: r.text(columnSpanID), Name: r.text(columnName), Start: r.start, Duration: r.duration()}
	for _, f := range p.fields {
		switch f.Intrinsic {
		case traceql.SpanName, traceql.SpanDuration, traceql.SpanID, traceql.TraceID,
			traceql.TraceDuration, traceql.RootName, traceql.RootServiceName:
			continue
		}
		for _, v := range t.Values(f, i) {
			out.Attributes = append(out.Attributes, traceql.SpansetAttribute{Name: f.Name, Value: v})
		}
	}
	return out
}
