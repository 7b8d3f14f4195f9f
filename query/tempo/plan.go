package tempo

import (
	"slices"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// plan says how a query is run.
type plan struct {
	query *traceql.Query
	// selections are a disjunction: in each trace that the query selects, one of them
	// holds for a span. If spanwise, they hold for each span that it selects.
	selections []selection
	// spanwise means that the query decides on each span without its trace.
	spanwise bool
	// selective means that the query decides on the spans for which all its filters hold,
	// without the others of their trace: it has nothing but filters and then aggregates.
	// Every spanwise query is.
	selective bool
	// filters are what a span must satisfy in a selective query.
	filters []traceql.Expr
	// fields are those that the query mentions, in its order.
	fields []traceql.Field
}

// maxSelections bounds how often the store is asked for one query. A disjunction of
// more is left to the exact evaluation.
const maxSelections = 8

func newPlan(q *traceql.Query) plan {
	p := plan{query: q, spanwise: true, selective: true}
	p.walk(q.Pipeline)
	p.selections = pipelineSelections(q.Pipeline)
	if m := q.Metrics; m != nil {
		if m.Attribute != nil {
			p.mention(*m.Attribute)
		}
		for _, f := range m.By {
			p.mention(f)
		}
		if c := m.Compare; c != nil && c.Filter.Expr != nil {
			p.expr(c.Filter.Expr)
			if traceql.NeedsTrace(c.Filter.Expr) {
				p.needTrace()
			}
		}
	}
	return p
}

// mention notes a field that is read beside the filters.
func (p *plan) mention(f traceql.Field) {
	if f.NeedsTrace() {
		p.needTrace()
	}
	if !slices.Contains(p.fields, f) {
		p.fields = append(p.fields, f)
	}
}

func (p *plan) needTrace() { p.spanwise, p.selective = false, false }

// walk collects the fields of a pipeline, and what it needs.
func (p *plan) walk(x traceql.Stage) {
	switch x := x.(type) {
	case *traceql.Pipeline:
		for _, s := range x.Stages {
			p.walk(s)
		}
	case *traceql.Filter:
		p.filter(x)
	case *traceql.SpansetOperation:
		if f := eitherOf(x); f != nil {
			p.filter(f)
			return
		}
		p.needTrace()
		p.walk(x.X)
		p.walk(x.Y)
	case *traceql.ScalarFilter:
		p.spanwise = false
		p.expr(x.X)
		p.expr(x.Y)
		if traceql.NeedsTrace(x.X) || traceql.NeedsTrace(x.Y) {
			p.needTrace()
		}
	case *traceql.GroupBy:
		p.expr(x.Expr)
		if traceql.NeedsTrace(x.Expr) {
			p.needTrace()
		}
	case *traceql.Select:
		for _, f := range x.Fields {
			if !slices.Contains(p.fields, f) {
				p.fields = append(p.fields, f)
			}
		}
	}
}

func (p *plan) filter(f *traceql.Filter) {
	if f.Expr == nil {
		return
	}
	p.expr(f.Expr)
	p.filters = append(p.filters, f.Expr)
	if traceql.NeedsTrace(f.Expr) {
		p.needTrace()
	}
	if !p.spanwise {
		p.selective = false // what is aggregated before it is more than it selects
	}
}

// eitherOf is the one filter that selects what filters joined by || do, or nil.
func eitherOf(x traceql.SpansetExpr) *traceql.Filter {
	switch x := x.(type) {
	case *traceql.Filter:
		return x
	case *traceql.SpansetOperation:
		if x.Op != traceql.OpOr {
			return nil
		}
		a, b := eitherOf(x.X), eitherOf(x.Y)
		switch {
		case a == nil || b == nil:
			return nil
		case a.Expr == nil || b.Expr == nil:
			return &traceql.Filter{}
		}
		return &traceql.Filter{Expr: &traceql.Binary{Op: traceql.OpOr, X: a.Expr, Y: b.Expr}}
	}
	return nil
}

func (p *plan) expr(e traceql.Expr) {
	traceql.WalkExpr(e, func(e traceql.Expr) {
		if f, ok := e.(*traceql.FieldRef); ok && !slices.Contains(p.fields, f.Field) {
			p.fields = append(p.fields, f.Field)
		}
	})
}

// columns are those that deciding on the query takes, with the given ones.
func (p *plan) columns(with ...string) []string {
	out := slices.Clone(with)
	for _, f := range p.fields {
		out = append(out, columnsOf(f)...)
	}
	for _, s := range p.selections {
		for _, f := range s.fields {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// metricsColumns are those that a metrics query takes, with the given ones: compare()
// takes all.
func (p *plan) metricsColumns(with ...string) columnar.Columns {
	if p.query.Metrics.Func == traceql.Compare {
		return columnar.Columns{AllFields: true}
	}
	return columnar.Columns{Fields: p.columns(with...)}
}

// matches decides on a span of a spanwise query.
func (p *plan) matches(e *traceql.Evaluator, r *row) bool {
	for _, f := range p.filters {
		if !e.Match(f, r) {
			return false
		}
	}
	return true
}

// pipelineSelections finds what every result of a pipeline needs: all its filters hold
// for each span that comes out of its end.
func pipelineSelections(p *traceql.Pipeline) []selection {
	spans := []selection{{exact: true}}
	best := anything()
	for _, stage := range p.Stages {
		x, ok := stage.(traceql.SpansetExpr)
		if !ok {
			continue
		}
		if f := eitherOf(x); f != nil {
			spans = conjunction(spans, filterSelections(f))
		} else {
			best = better(best, spansetSelections(x))
		}
	}
	if unconstrained(best) {
		return spans
	}
	return better(spans, best)
}

// spansetSelections finds what a trace must have a span of for an expression to select
// something of it.
func spansetSelections(x traceql.SpansetExpr) []selection {
	switch x := x.(type) {
	case *traceql.Filter:
		return filterSelections(x)
	case *traceql.Pipeline:
		return pipelineSelections(x)
	case *traceql.SpansetOperation:
		switch {
		case x.Op == traceql.OpOr:
			return disjunction(spansetSelections(x.X), spansetSelections(x.Y))
		case x.Op >= traceql.OpNotChild && x.Op <= traceql.OpNotSibling:
			return spansetSelections(x.Y)
		}
		return better(spansetSelections(x.X), spansetSelections(x.Y))
	}
	return anything()
}

func filterSelections(f *traceql.Filter) []selection {
	if f.Expr == nil {
		return []selection{{exact: true}}
	}
	return exprSelections(f.Expr)
}

// exprSelections brings what the store can evaluate of an expression into a disjunction
// of conjunctions, leaving out what would make it too long.
func exprSelections(e traceql.Expr) []selection {
	switch e := e.(type) {
	case *traceql.Literal:
		if e.Value.True() {
			return []selection{{exact: true}}
		}
		return nil
	case *traceql.FieldRef:
		return comparison(e.Field, traceql.OpEqual, traceql.BoolValue(true))
	case *traceql.Unary:
		if f, ok := e.X.(*traceql.FieldRef); ok && e.Op == traceql.OpNot {
			return comparison(f.Field, traceql.OpEqual, traceql.BoolValue(false))
		}
	case *traceql.Exists:
		return existence(e)
	case *traceql.Binary:
		return binarySelections(e)
	}
	return anything()
}

func binarySelections(e *traceql.Binary) []selection {
	switch e.Op {
	case traceql.OpAnd:
		return conjunction(exprSelections(e.X), exprSelections(e.Y))
	case traceql.OpOr:
		return disjunction(exprSelections(e.X), exprSelections(e.Y))
	}
	if root, ok := traceql.RootTest(e); ok {
		op := columnar.FieldEqual
		if !root {
			op = columnar.FieldNotEqual
		}
		return []selection{{fields: []columnar.FieldPredicate{{Name: columnParentSpanID, Op: op}}, exact: true}}
	}
	if f, ok := e.X.(*traceql.FieldRef); ok {
		if l, ok := e.Y.(*traceql.Literal); ok && e.Op.Comparison() {
			return comparison(f.Field, e.Op, l.Value)
		}
	}
	if f, ok := e.Y.(*traceql.FieldRef); ok {
		if l, ok := e.X.(*traceql.Literal); ok && e.Op.Comparison() {
			return comparison(f.Field, mirrored(e.Op), l.Value)
		}
	}
	return anything()
}

// mirrored is the comparison with its sides exchanged.
func mirrored(op traceql.Op) traceql.Op {
	switch op {
	case traceql.OpLess:
		return traceql.OpGreater
	case traceql.OpLessEqual:
		return traceql.OpGreaterEqual
	case traceql.OpGreater:
		return traceql.OpLess
	case traceql.OpGreaterEqual:
		return traceql.OpLessEqual
	}
	return op
}

// existence asks for the field, or for its absence, which the store takes for the empty
// text. That a field is there, maybe empty, it cannot be asked.
func existence(e *traceql.Exists) []selection {
	f, ok := e.X.(*traceql.FieldRef)
	if !ok || f.Field.NeedsTrace() {
		return anything()
	}
	if f.Field.Many() {
		if e.Negated {
			return anything()
		}
		return hasNested(f.Field)
	}
	if !e.Negated {
		return anything()
	}
	var s selection
	for _, column := range columnsOf(f.Field) {
		s.fields = append(s.fields, columnar.FieldPredicate{Name: column, Op: columnar.FieldEqual})
	}
	return []selection{s}
}

// conjunction holds where one of each does.
func conjunction(a, b []selection) []selection {
	if len(a)*len(b) > maxSelections {
		kept := slices.Clone(better(a, b))
		for i := range kept {
			kept[i].exact = false
		}
		return kept
	}
	var out []selection
	for _, x := range a {
		for _, y := range b {
			out = append(out, selection{
				matchers: slices.Concat(x.matchers, y.matchers),
				fields:   slices.Concat(x.fields, y.fields),
				exact:    x.exact && y.exact,
			})
		}
	}
	return out
}

func disjunction(a, b []selection) []selection {
	if unconstrained(a) || unconstrained(b) || len(a)+len(b) > maxSelections {
		exact := slices.ContainsFunc(slices.Concat(a, b), func(s selection) bool { return s.exact && len(s.fields)+len(s.matchers) == 0 })
		return []selection{{exact: exact}}
	}
	return slices.Concat(a, b)
}

func unconstrained(s []selection) bool {
	return slices.ContainsFunc(s, func(s selection) bool { return len(s.fields)+len(s.matchers) == 0 })
}

// better is the disjunction that promises fewer rows.
func better(a, b []selection) []selection {
	if weight(b) > weight(a) {
		return b
	}
	return a
}

// weight guesses how selective a disjunction is, by its weakest member.
func weight(ss []selection) int {
	if len(ss) == 0 {
		return 1000 // nothing matches
	}
	least := 1000
	for _, s := range ss {
		w := 2 * len(s.matchers)
		for _, f := range s.fields {
			switch {
			case f.Name == columnTraceID && f.Op == columnar.FieldEqual:
				w += 100
			case f.Op == columnar.FieldEqual && f.Text != "":
				w += 8
			case f.Op == columnar.FieldNotEqual, f.Op == columnar.FieldNotMatches:
				w++
			default:
				w += 4
			}
		}
		least = min(least, w)
	}
	return least
}
