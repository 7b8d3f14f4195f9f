package traceql

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// expr reads an expression on a span whose operators bind at least so strongly.
func (p *parser) expr(precedence int) Expr {
	return p.operators(precedence, p.operand)
}

// operators joins what operand reads by binary operators.
func (p *parser) operators(precedence int, operand func() Expr) Expr {
	p.enter()
	defer p.leave()
	x := operand()
	for {
		t := p.peek()
		op, ok := fieldOps[t.text]
		if t.kind != tokenOperator || !ok || op.precedence < precedence {
			return x
		}
		p.operation(p.next().pos)
		right := op.precedence + 1
		if op.op == OpPow {
			right = op.precedence // binds to the right
		}
		x = p.binary(t, op.op, x, p.operators(right, operand))
	}
}

// operand reads one operand of an expression on a span.
func (p *parser) operand() Expr {
	switch t := p.next(); {
	case t.kind == tokenLiteral:
		return &Literal{Value: t.value}
	case t.kind == tokenField:
		return &FieldRef{Field: t.field}
	case t.kind == tokenOperator && t.text == "(":
		e := p.expr(precLogical)
		p.expect(")", "after an expression in parentheses")
		return e
	case t.kind == tokenOperator && t.text == "-":
		p.operation(t.pos)
		return p.negation(t, p.expr(precNot))
	case t.kind == tokenOperator && t.text == "!":
		p.operation(t.pos)
		x := p.expr(precProduct)
		if typ := x.static(); typ != Bool && typ != Any {
			p.failAt(t.pos, "! needs true or false, but %s is of type %s", text(x), typ)
		}
		return &Unary{Op: OpNot, X: x}
	case t.kind == tokenIdentifier:
		p.failAt(t.pos, "unknown word %s; attributes are written with their scope, as in span.%s or .%s", t.describe(), t.text, t.text)
	default:
		p.failAt(t.pos, "want an attribute, an intrinsic or a literal, got %s", t.describe())
	}
	return nil
}

func (p *parser) negation(t token, x Expr) Expr {
	if typ := x.static(); typ != Any && !typ.numeric() {
		p.failAt(t.pos, "- needs a number, but %s is of type %s", text(x), typ)
	}
	if l, ok := x.(*Literal); ok {
		return &Literal{Value: negate(l.Value)}
	}
	return &Unary{Op: OpSub, X: x}
}

// binary checks the types of a binary operation and makes it.
func (p *parser) binary(t token, op Op, x, y Expr) Expr {
	xt, yt := x.static(), y.static()
	mismatch := func() {
		p.failAt(t.pos, "operator %s cannot stand between %s (%s) and %s (%s)", op, text(x), xt, text(y), yt)
	}
	switch {
	case xt == Nil || yt == Nil:
		if op != OpEqual && op != OpNotEqual {
			p.failAt(t.pos, "nil can only be compared by = and !=")
		}
		if xt == Nil {
			x = y
		}
		return &Exists{X: x, Negated: op == OpEqual}
	case op == OpAnd || op == OpOr:
		if xt != Bool && xt != Any || yt != Bool && yt != Any {
			mismatch()
		}
	case op.arithmetic():
		if !xt.numeric() && xt != Any || !yt.numeric() && yt != Any {
			mismatch()
		}
	case op == OpMatches || op == OpNotMatches:
		return p.match(t, op, x, y)
	case !comparableTypes(xt, yt):
		mismatch()
	case op != OpEqual && op != OpNotEqual && slices.ContainsFunc([]Type{xt, yt}, func(t Type) bool { return t == Bool || t == Status || t == Kind }):
		mismatch()
	}
	return &Binary{Op: op, X: x, Y: y}
}

func (p *parser) match(t token, op Op, x, y Expr) Expr {
	re, ok := y.(*Literal)
	if !ok || re.Value.typ != String {
		p.failAt(t.pos, "%s needs a regular expression in quotes on its right", op)
	}
	if typ := x.static(); typ != String && typ != Any {
		p.failAt(t.pos, "%s needs a string on its left, but %s is of type %s", op, text(x), typ)
	}
	m, err := labels.NewFastRegexMatcher(re.Value.str)
	if err != nil {
		p.failAt(t.pos, "%v", err)
	}
	return &Binary{Op: op, X: x, Y: y, regex: m}
}

// refersToSpan reports whether an expression depends on the span it is evaluated on.
func refersToSpan(e Expr) bool {
	found := false
	WalkExpr(e, func(e Expr) {
		if _, ok := e.(*FieldRef); ok {
			found = true
		}
	})
	return found
}

// WalkExpr visits an expression and all below it.
func WalkExpr(e Expr, visit func(Expr)) {
	visit(e)
	switch e := e.(type) {
	case *Unary:
		WalkExpr(e.X, visit)
	case *Binary:
		WalkExpr(e.X, visit)
		WalkExpr(e.Y, visit)
	case *Exists:
		WalkExpr(e.X, visit)
	case *Aggregate:
		if e.X != nil {
			WalkExpr(e.X, visit)
		}
	}
}

func aggregateFunc(name string) AggregateFunc {
	if i := slices.Index(aggregateNames[:], name); i > 0 {
		return AggregateFunc(i)
	}
	return 0
}

// scalarFilter reads a comparison of aggregates.
func (p *parser) scalarFilter() *ScalarFilter {
	pos := p.peek().pos
	e := p.operators(precComparison, p.scalar)
	b, ok := e.(*Binary)
	if !ok || !b.Op.Comparison() || b.regex != nil {
		p.failAt(pos, "%s must be compared with something, as in count() > 2", text(e))
	}
	aggregates := false
	WalkExpr(e, func(e Expr) {
		switch e := e.(type) {
		case *Aggregate:
			aggregates = true
		case *Binary:
			if e != b && !e.Op.arithmetic() {
				p.failAt(pos, "only one comparison can stand in a stage of aggregates")
			}
		}
	})
	if !aggregates {
		p.failAt(pos, "%s has none of count(), min(), max(), avg() and sum()", text(e))
	}
	return &ScalarFilter{Op: b.Op, X: b.X, Y: b.Y}
}

// scalar reads one operand of an expression on a spanset.
func (p *parser) scalar() Expr {
	switch t := p.next(); {
	case t.kind == tokenLiteral && t.value.typ.numeric():
		return &Literal{Value: t.value}
	case t.kind == tokenOperator && t.text == "(":
		e := p.operators(precSum, p.scalar)
		p.expect(")", "after aggregates in parentheses")
		return e
	case t.kind == tokenOperator && t.text == "-":
		p.operation(t.pos)
		return p.negation(t, p.operators(precNot, p.scalar))
	case t.kind == tokenIdentifier && aggregateFunc(t.text) != 0:
		return p.aggregate(t)
	default:
		p.failAt(t.pos, "want an aggregate as count(), or a number, got %s", t.describe())
	}
	return nil
}

func (p *parser) aggregate(t token) Expr {
	p.operation(t.pos)
	a := &Aggregate{Func: aggregateFunc(t.text)}
	p.expect("(", "after "+t.text)
	if a.Func != Count {
		pos := p.peek().pos
		a.X = p.expr(precLogical)
		if typ := a.X.static(); typ != Any && !typ.numeric() {
			p.failAt(pos, "%s needs numbers, but %s is of type %s", t.text, text(a.X), typ)
		}
		if !refersToSpan(a.X) {
			p.failAt(pos, "%s needs an attribute or an intrinsic", t.text)
		}
	}
	p.expect(")", "after "+t.text+"(…")
	return a
}
