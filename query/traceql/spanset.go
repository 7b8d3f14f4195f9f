package traceql

import (
	"context"
	"slices"
)

// Spanset is spans of one trace that a query has selected together.
type Spanset struct {
	Spans      []int // indexes into the trace, ascending
	Attributes []SpansetAttribute
}

// SpansetAttribute is what by() or an aggregate says of a spanset, named as the query
// writes it.
type SpansetAttribute struct {
	Name  string
	Value Value
}

// with returns the spanset with one more attribute, or a new value of one that it has.
func (s Spanset) with(name string, v Value) Spanset {
	s.Attributes = slices.Clone(s.Attributes)
	for i := range s.Attributes {
		if s.Attributes[i].Name == name {
			s.Attributes[i].Value = v
			return s
		}
	}
	s.Attributes = append(s.Attributes, SpansetAttribute{name, v})
	return s
}

// checkEvery is how many spans are evaluated between looks at the context.
const checkEvery = 1024

// evaluation is a pipeline at work on one trace.
type evaluation struct {
	ctx   context.Context // it lives as long as the call
	trace *Trace
	spans int   // since the last look at the context
	err   error // why it ended early
}

// spend accounts for so many spans to be evaluated, and reports whether to go on.
func (e *evaluation) spend(spans int) bool {
	if e.spans += spans; e.spans >= checkEvery && e.err == nil {
		e.spans, e.err = 0, e.ctx.Err()
	}
	return e.err == nil
}

// Evaluate returns what the pipeline selects of a trace: nothing, or spansets that each
// have a span. Its error is that of ctx.
func (p *Pipeline) Evaluate(ctx context.Context, t *Trace) ([]Spanset, error) {
	if err := ctx.Err(); err != nil || len(t.Spans) == 0 {
		return nil, err
	}
	all := Spanset{Spans: make([]int, len(t.Spans))}
	for i := range all.Spans {
		all.Spans[i] = i
	}
	e := evaluation{ctx: ctx, trace: t}
	sets := e.pipeline(p, []Spanset{all})
	if e.err != nil {
		return nil, e.err
	}
	return sets, nil
}

func (e *evaluation) pipeline(p *Pipeline, sets []Spanset) []Spanset {
	for _, stage := range p.Stages {
		if len(sets) == 0 || !e.spend(len(sets)) {
			return nil
		}
		switch stage := stage.(type) {
		case SpansetExpr:
			var out []Spanset
			for _, s := range sets {
				out = append(out, e.selectSpans(stage, s)...)
			}
			sets = out
		case *ScalarFilter:
			sets = stage.evaluate(e, sets)
		case *GroupBy:
			sets = stage.evaluate(e, sets)
		case Coalesce:
			sets = []Spanset{{Spans: union(sets)}}
		}
	}
	return sets
}

func (e *evaluation) selectSpans(x SpansetExpr, in Spanset) []Spanset {
	t := e.trace
	switch x := x.(type) {
	case *Filter:
		if x.Expr == nil {
			return []Spanset{in}
		}
		out := in
		out.Spans = nil
		s := scope{trace: t}
		for _, i := range in.Spans {
			if !e.spend(1) {
				return nil
			}
			s.span, s.index = t.Spans[i].Values, i
			if s.eval(x.Expr).True() {
				out.Spans = append(out.Spans, i)
			}
		}
		if len(out.Spans) == 0 {
			return nil
		}
		return []Spanset{out}
	case *Pipeline:
		return e.pipeline(x, []Spanset{in})
	case *SpansetOperation:
		left, right := e.selectSpans(x.X, in), e.selectSpans(x.Y, in)
		if !e.spend(len(t.Spans)) { // relating spans walks the trace
			return nil
		}
		out := in
		out.Spans = x.join(t, left, right)
		if len(out.Spans) == 0 {
			return nil
		}
		return []Spanset{out}
	}
	return nil
}

func (o *SpansetOperation) join(t *Trace, left, right []Spanset) []int {
	switch {
	case o.Op == OpOr:
		return union(append(left, right...))
	case o.Op == OpAnd:
		if len(left) == 0 || len(right) == 0 {
			return nil
		}
		return union(append(left, right...))
	}
	l, r := union(left), union(right)
	switch {
	case o.Op >= OpUnionChild:
		op := o.Op - OpUnionChild + OpChild
		hit := t.related(op, l, r)
		for i := range t.related(inverse(op), r, l) {
			hit[i] = true
		}
		return keep(mergeSorted(l, r), hit, true)
	case o.Op >= OpNotChild:
		return keep(r, t.related(o.Op-OpNotChild+OpChild, l, r), false)
	}
	return keep(r, t.related(o.Op, l, r), true)
}

// inverse is the relation read from its other side.
func inverse(op Op) Op {
	switch op {
	case OpChild:
		return OpParent
	case OpParent:
		return OpChild
	case OpDescendant:
		return OpAncestor
	case OpAncestor:
		return OpDescendant
	}
	return op
}

func keep(spans []int, hit map[int]bool, want bool) []int {
	var out []int
	for _, i := range spans {
		if hit[i] == want {
			out = append(out, i)
		}
	}
	return out
}

// union is the spans of all sets, each once, ascending.
func union(sets []Spanset) []int {
	if len(sets) == 1 {
		return sets[0].Spans
	}
	var out []int
	for _, s := range sets {
		out = append(out, s.Spans...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func mergeSorted(a, b []int) []int {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// evaluate splits by value, groups in the order in which the spans bring them. Spans
// without a value are a group of their own.
func (g *GroupBy) evaluate(e *evaluation, sets []Spanset) []Spanset {
	t := e.trace
	name := text(g)
	var out []Spanset
	s := scope{trace: t}
	for _, in := range sets {
		first := len(out)
		groups := map[Value]int{}
		for _, i := range in.Spans {
			if !e.spend(1) {
				return nil
			}
			s.span, s.index = t.Spans[i].Values, i
			v := s.eval(g.Expr)
			at, ok := groups[v]
			if !ok {
				at = len(out) - first
				groups[v] = at
				group := in.with(name, v)
				group.Spans = nil
				out = append(out, group)
			}
			out[first+at].Spans = append(out[first+at].Spans, i)
		}
	}
	return out
}

func (f *ScalarFilter) evaluate(e *evaluation, sets []Spanset) []Spanset {
	var out []Spanset
	for _, in := range sets {
		set := in
		x := e.aggregates(f.X, in.Spans, &set)
		y := e.aggregates(f.Y, in.Spans, &set)
		if compare(f.Op, x, y) {
			out = append(out, set)
		}
	}
	return out
}

// aggregates evaluates an expression of a spanset, and notes each aggregate's value
// as an attribute of it.
func (e *evaluation) aggregates(x Expr, spans []int, set *Spanset) Value {
	switch x := x.(type) {
	case *Literal:
		return x.Value
	case *Unary:
		return negate(e.aggregates(x.X, spans, set))
	case *Binary:
		return arithmetic(x.Op, e.aggregates(x.X, spans, set), e.aggregates(x.Y, spans, set))
	case *Aggregate:
		v := x.evaluate(e, spans)
		*set = set.with(text(x), v)
		return v
	}
	return Value{}
}

// evaluate is nil when no span has a number. Where all are durations the answer is one,
// and where all are whole numbers the minimum, maximum and sum are.
func (a *Aggregate) evaluate(e *evaluation, spans []int) Value {
	if a.Func == Count {
		return IntValue(int64(len(spans)))
	}
	var acc Value
	n := int64(0)
	s := scope{trace: e.trace}
	for _, i := range spans {
		if !e.spend(1) {
			return Value{}
		}
		s.span, s.index = e.trace.Spans[i].Values, i
		v := s.eval(a.X)
		if !v.typ.numeric() {
			continue
		}
		n++
		switch {
		case n == 1,
			a.Func == Min && compareNumbers(v, acc) == -1,
			a.Func == Max && compareNumbers(v, acc) == 1:
			acc = v
		case a.Func == Sum || a.Func == Avg:
			acc = arithmetic(OpAdd, acc, v)
		}
	}
	if a.Func == Avg && n > 0 {
		if acc.typ == Duration {
			return DurationValue(acc.Int64() / n)
		}
		return arithmetic(OpDiv, acc, IntValue(n))
	}
	return acc
}
