package traceql

import "slices"

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

// Evaluate returns what the pipeline selects of a trace: nothing, or spansets that each
// have a span.
func (p *Pipeline) Evaluate(t *Trace) []Spanset {
	if len(t.Spans) == 0 {
		return nil
	}
	all := Spanset{Spans: make([]int, len(t.Spans))}
	for i := range all.Spans {
		all.Spans[i] = i
	}
	return p.evaluate(t, []Spanset{all})
}

func (p *Pipeline) evaluate(t *Trace, sets []Spanset) []Spanset {
	for _, stage := range p.Stages {
		if len(sets) == 0 {
			return nil
		}
		switch stage := stage.(type) {
		case SpansetExpr:
			var out []Spanset
			for _, s := range sets {
				out = append(out, selectSpans(stage, t, s)...)
			}
			sets = out
		case *ScalarFilter:
			sets = stage.evaluate(t, sets)
		case *GroupBy:
			sets = stage.evaluate(t, sets)
		case Coalesce:
			sets = []Spanset{{Spans: union(sets)}}
		}
	}
	return sets
}

func selectSpans(x SpansetExpr, t *Trace, in Spanset) []Spanset {
	switch x := x.(type) {
	case *Filter:
		if x.Expr == nil {
			return []Spanset{in}
		}
		out := in
		out.Spans = nil
		s := scope{trace: t}
		for _, i := range in.Spans {
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
		return x.evaluate(t, []Spanset{in})
	case *SpansetOperation:
		left, right := selectSpans(x.X, t, in), selectSpans(x.Y, t, in)
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
func (g *GroupBy) evaluate(t *Trace, sets []Spanset) []Spanset {
	name := text(g)
	var out []Spanset
	s := scope{trace: t}
	for _, in := range sets {
		first := len(out)
		groups := map[Value]int{}
		for _, i := range in.Spans {
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

func (f *ScalarFilter) evaluate(t *Trace, sets []Spanset) []Spanset {
	var out []Spanset
	for _, in := range sets {
		set := in
		x := aggregates(f.X, t, in.Spans, &set)
		y := aggregates(f.Y, t, in.Spans, &set)
		if compare(f.Op, x, y) {
			out = append(out, set)
		}
	}
	return out
}

// aggregates evaluates an expression of a spanset, and notes each aggregate's value
// as an attribute of it.
func aggregates(e Expr, t *Trace, spans []int, set *Spanset) Value {
	switch e := e.(type) {
	case *Literal:
		return e.Value
	case *Unary:
		return negate(aggregates(e.X, t, spans, set))
	case *Binary:
		return arithmetic(e.Op, aggregates(e.X, t, spans, set), aggregates(e.Y, t, spans, set))
	case *Aggregate:
		v := e.evaluate(t, spans)
		*set = set.with(text(e), v)
		return v
	}
	return Value{}
}

// evaluate is nil when no span has a number. Where all are durations the answer is one,
// and where all are whole numbers the minimum, maximum and sum are.
func (a *Aggregate) evaluate(t *Trace, spans []int) Value {
	if a.Func == Count {
		return IntValue(int64(len(spans)))
	}
	var acc Value
	n := int64(0)
	s := scope{trace: t}
	for _, i := range spans {
		s.span, s.index = t.Spans[i].Values, i
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
