package traceql

// Values is where the values of a span's fields come from.
type Values interface {
	// Values appends the values that a field has on the span itself: none when it is
	// absent, and more than one only if the field is Many. Of the fields that need a
	// trace it is asked only for NestedSetParent, and only when there is no trace: -1
	// for a span without a parent, a number that is not negative for any other.
	Values(f *Field, dst []Value) []Value
}

// scope is what an expression is evaluated on: a span, with its trace if that is at
// hand.
type scope struct {
	span  Values
	trace *Trace
	index int // of the span in the trace
	buf   [4]Value
}

// Evaluator evaluates expressions on spans on their own. It is not safe for concurrent
// use; the zero value is ready.
type Evaluator struct {
	scope scope
}

// Match reports whether an expression holds for a span. It must not need the trace
// (see NeedsTrace); a nil expression holds for all.
func (e *Evaluator) Match(expr Expr, span Values) bool {
	return expr == nil || e.Eval(expr, span).True()
}

// Eval is the value of an expression for a span.
func (e *Evaluator) Eval(expr Expr, span Values) Value {
	e.scope.span = span
	return e.scope.eval(expr)
}

func (s *scope) eval(e Expr) Value {
	switch e := e.(type) {
	case *Literal:
		return e.Value
	case *FieldRef:
		if vs := s.values(&e.Field, s.buf[:0]); len(vs) > 0 {
			return vs[0]
		}
		return Value{}
	case *Unary:
		x := s.eval(e.X)
		if e.Op == OpSub {
			return negate(x)
		}
		return BoolValue(x.typ == Bool && !x.True())
	case *Exists:
		return BoolValue(s.eval(e.X).IsNil() == e.Negated)
	case *Binary:
		return s.binary(e)
	}
	return Value{}
}

func (s *scope) binary(e *Binary) Value {
	switch {
	case e.Op == OpAnd:
		return BoolValue(s.eval(e.X).True() && s.eval(e.Y).True())
	case e.Op == OpOr:
		return BoolValue(s.eval(e.X).True() || s.eval(e.Y).True())
	case e.Op.arithmetic():
		return arithmetic(e.Op, s.eval(e.X), s.eval(e.Y))
	}
	// A comparison holds if it does for any of the values that a side has.
	if many(e.X) || many(e.Y) {
		for _, x := range s.all(e.X) {
			for _, y := range s.all(e.Y) {
				if e.holds(x, y) {
					return BoolValue(true)
				}
			}
		}
		return BoolValue(false)
	}
	return BoolValue(e.holds(s.eval(e.X), s.eval(e.Y)))
}

func (e *Binary) holds(x, y Value) bool {
	if e.regex != nil {
		return x.typ == String && e.regex.MatchString(x.str) == (e.Op == OpMatches)
	}
	return compare(e.Op, x, y)
}

func many(e Expr) bool {
	f, ok := e.(*FieldRef)
	return ok && f.Field.Many()
}

func (s *scope) all(e Expr) []Value {
	if f, ok := e.(*FieldRef); ok {
		return s.values(&f.Field, nil)
	}
	return []Value{s.eval(e)}
}

// values are those of a field on the span at hand, or on its parent or trace.
func (s *scope) values(f *Field, dst []Value) []Value {
	if s.trace == nil || !f.NeedsTrace() {
		return s.span.Values(f, dst)
	}
	if f.Parent {
		p := s.trace.parent[s.index]
		if p < 0 {
			return dst
		}
		own := *f
		own.Parent = false
		return s.trace.Spans[p].Values.Values(&own, dst)
	}
	return s.trace.values(f, s.index, dst)
}

// NeedsTrace reports whether an expression cannot be decided on a span alone. Of
// nestedSetParent the sign is known from the span.
func NeedsTrace(e Expr) bool {
	switch e := e.(type) {
	case *FieldRef:
		return e.Field.NeedsTrace()
	case *Unary:
		return NeedsTrace(e.X)
	case *Exists:
		return NeedsTrace(e.X)
	case *Binary:
		if _, ok := RootTest(e); ok {
			return false
		}
		return NeedsTrace(e.X) || NeedsTrace(e.Y)
	case *Aggregate:
		return e.X != nil && NeedsTrace(e.X)
	}
	return false
}

// RootTest recognizes the comparisons of nestedSetParent that ask only whether a span
// has a parent, and says whether they hold for those that have none.
func RootTest(e Expr) (root, ok bool) {
	b, isBinary := e.(*Binary)
	if !isBinary {
		return false, false
	}
	f, isField := b.X.(*FieldRef)
	l, isLiteral := b.Y.(*Literal)
	if !isField || !isLiteral || f.Field.Intrinsic != NestedSetParent || !b.Op.Comparison() || b.regex != nil || l.Value.typ != Int {
		return false, false
	}
	// -1 stands for the roots, 0 and above for the others. The comparison is such a
	// test if it comes out alike for all of the others.
	root = compare(b.Op, IntValue(-1), l.Value)
	low, high := compare(b.Op, IntValue(0), l.Value), compare(b.Op, IntValue(1<<62), l.Value)
	n := l.Value.Int64()
	return root, low == high && root != low && n <= 0
}
