package traceql

import (
	"fmt"
	"strconv"
)

const (
	// MaxQueryBytes bounds the text of a query.
	MaxQueryBytes = 64 << 10
	// maxDepth bounds parentheses within each other, and with them the stack.
	maxDepth = 200
	// maxOperations bounds operators, functions, stages and listed fields together, and
	// with them what one span costs: chains of them nest nothing.
	maxOperations = 200
	// maxGroupBy and maxQuantiles bound what one span of a metrics query costs.
	maxGroupBy   = 10
	maxQuantiles = 20
)

// Parse reads a query and checks its types. Its errors are *ParseError.
func Parse(query string) (*Query, error) {
	p, err := newParser(query)
	if err != nil {
		return nil, err
	}
	var q *Query
	if err := p.catch(func() { q = p.query() }); err != nil {
		return nil, err
	}
	return q, nil
}

// parser goes down the grammar by recursion. It ends the parse at the first error by a
// panic of its own type, which catch turns into the error.
type parser struct {
	lexer  lexer
	tokens []token
	at     int
	depth  int
	// operations counts what maxOperations bounds.
	operations int
}

func newParser(query string) (*parser, error) {
	if len(query) > MaxQueryBytes {
		return nil, &ParseError{Line: 1, Column: 1, Message: fmt.Sprintf("query has %d bytes, more than %d", len(query), MaxQueryBytes)}
	}
	p := &parser{lexer: lexer{src: query}}
	for {
		t := p.lexer.next()
		if t.kind == tokenError {
			return nil, p.lexer.errorAt(t.pos, t.text)
		}
		if t.kind == tokenIdentifier {
			p.resolve(&t)
		}
		p.tokens = append(p.tokens, t)
		if t.kind == tokenEnd {
			return p, nil
		}
	}
}

// resolve turns words that are literals or intrinsics into what they stand for.
// Aggregates and keywords have other names.
func (p *parser) resolve(t *token) {
	if _, ok := intrinsics[t.text]; ok {
		t.kind, t.field = tokenField, intrinsicField(t.text)
		return
	}
	switch t.text {
	case "true", "false":
		t.kind, t.value = tokenLiteral, BoolValue(t.text == "true")
	case "nil":
		t.kind, t.value = tokenLiteral, Value{}
	}
	for n, name := range statusNames {
		if t.text == name {
			t.kind, t.value = tokenLiteral, StatusValue(int32(n))
		}
	}
	for n, name := range kindNames {
		if t.text == name {
			t.kind, t.value = tokenLiteral, KindValue(int32(n))
		}
	}
}

func (p *parser) catch(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *ParseError:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func (p *parser) failAt(pos int, format string, args ...any) {
	panic(p.lexer.errorAt(pos, fmt.Sprintf(format, args...)))
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// is reports whether the token at hand is this operator or word.
func (p *parser) is(text string) bool {
	t := p.peek()
	return (t.kind == tokenOperator || t.kind == tokenIdentifier) && t.text == text
}

func (p *parser) accept(text string) bool {
	if p.is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text, where string) {
	if t := p.peek(); !p.accept(text) {
		p.failAt(t.pos, "want %q %s, got %s", text, where, t.describe())
	}
}

// enter counts what is nested; the caller defers leave.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.failAt(p.peek().pos, "query is nested more than %d deep", maxDepth)
	}
}

func (p *parser) leave() { p.depth-- }

// operation counts one that the query has at pos.
func (p *parser) operation(pos int) {
	if p.operations++; p.operations > maxOperations {
		p.failAt(pos, "query has more than %d operators, functions, stages and fields in lists", maxOperations)
	}
}

func (p *parser) query() *Query {
	q := &Query{Pipeline: p.pipeline(func() bool {
		t := p.peek()
		_, ok := metricsFuncs[t.text]
		return ok && t.kind == tokenIdentifier
	})}
	if t := p.peek(); t.kind == tokenIdentifier {
		if _, ok := metricsFuncs[t.text]; ok {
			q.Metrics = p.metrics()
		}
	}
	if p.accept("with") {
		q.Hints = p.hints()
	}
	if t := p.peek(); t.kind != tokenEnd {
		p.failAt(t.pos, "unexpected %s", t.describe())
	}
	return q
}

// pipeline reads stages up to what ends them. After each | it asks stop whether a
// metrics function follows, which is for the caller.
func (p *parser) pipeline(stop func() bool) *Pipeline {
	out := &Pipeline{}
	for {
		p.operation(p.peek().pos)
		out.Stages = append(out.Stages, p.stage(len(out.Stages) == 0))
		if !p.accept("|") || stop() {
			return out
		}
	}
}

func (p *parser) stage(first bool) Stage {
	t := p.peek()
	if t.kind == tokenIdentifier {
		switch t.text {
		case "by":
			return p.groupBy()
		case "select":
			return p.selection()
		case "coalesce":
			if first {
				p.failAt(t.pos, "a pipeline cannot begin with coalesce()")
			}
			p.next()
			p.expect("(", "after coalesce")
			p.expect(")", "after coalesce(")
			return Coalesce{}
		}
	}
	if p.startsScalar() {
		return p.scalarFilter()
	}
	return p.spansets(1)
}

// startsScalar looks behind parentheses for what only a scalar begins with.
func (p *parser) startsScalar() bool {
	i := p.at
	for p.tokens[i].kind == tokenOperator && p.tokens[i].text == "(" {
		i++
	}
	t := p.tokens[i]
	switch t.kind {
	case tokenLiteral:
		return true
	case tokenOperator:
		return t.text == "-"
	case tokenIdentifier:
		return aggregateFunc(t.text) != 0
	}
	return false
}

// spansets reads selections joined by operators that bind at least so strongly.
func (p *parser) spansets(precedence int) SpansetExpr {
	p.enter()
	defer p.leave()
	x := p.spanset()
	for {
		t := p.peek()
		op, ok := spansetOps[t.text]
		if t.kind != tokenOperator || !ok || op.precedence < precedence {
			return x
		}
		p.operation(p.next().pos)
		x = &SpansetOperation{Op: op.op, X: x, Y: p.spansets(op.precedence + 1)}
	}
}

func (p *parser) spanset() SpansetExpr {
	switch t := p.next(); {
	case t.kind == tokenOperator && t.text == "{":
		return p.filter()
	case t.kind == tokenOperator && t.text == "(":
		p.enter()
		defer p.leave()
		inner := p.pipeline(func() bool { return false })
		p.expect(")", "after a pipeline in parentheses")
		if len(inner.Stages) == 1 {
			if x, ok := inner.Stages[0].(SpansetExpr); ok {
				return x
			}
		}
		return inner
	default:
		p.failAt(t.pos, "want a selection of spans as { … }, got %s", t.describe())
		return nil
	}
}

func (p *parser) filter() *Filter {
	if p.accept("}") {
		return &Filter{}
	}
	pos := p.peek().pos
	e := p.expr(precLogical)
	if t := p.peek(); t.kind != tokenOperator || t.text != "}" {
		p.failAt(t.pos, "want an operator or \"}\", got %s", t.describe())
	}
	p.next()
	if typ := e.static(); typ != Bool && typ != Any {
		p.failAt(pos, "a filter must be true or false, but %s is of type %s", text(e), typ)
	}
	if l, ok := e.(*Literal); ok && l.Value.True() {
		return &Filter{}
	}
	return &Filter{Expr: e}
}

func (p *parser) groupBy() *GroupBy {
	p.next()
	p.expect("(", "after by")
	pos := p.peek().pos
	e := p.expr(precLogical)
	p.expect(")", "after by(…")
	if !refersToSpan(e) {
		p.failAt(pos, "by() needs an attribute or an intrinsic to group by")
	}
	return &GroupBy{Expr: e}
}

func (p *parser) selection() *Select {
	p.next()
	p.expect("(", "after select")
	return &Select{Fields: p.fields("select(…")}
}

// fields reads a list of at least one field and its closing parenthesis.
func (p *parser) fields(after string) []Field {
	var out []Field
	for {
		t := p.next()
		if t.kind != tokenField {
			p.failAt(t.pos, "want an attribute or an intrinsic, got %s", t.describe())
		}
		p.operation(t.pos)
		out = append(out, t.field)
		if !p.accept(",") {
			p.expect(")", "after "+after)
			return out
		}
	}
}

func (p *parser) hints() []Hint {
	p.expect("(", "after with")
	var out []Hint
	for {
		name := p.next()
		if name.kind != tokenIdentifier {
			p.failAt(name.pos, "want the name of a hint, got %s", name.describe())
		}
		p.expect("=", "after the name of a hint")
		negative := p.accept("-")
		v := p.next()
		if v.kind != tokenLiteral || negative && !v.value.typ.numeric() {
			p.failAt(v.pos, "want a literal, got %s", v.describe())
		}
		if negative {
			v.value = negate(v.value)
		}
		out = append(out, Hint{Name: name.text, Value: v.value})
		if !p.accept(",") {
			p.expect(")", "after the hints")
			return out
		}
	}
}

// metrics reads the function that ends a metrics query, and what is done to its
// series.
func (p *parser) metrics() *Metrics {
	name := p.next()
	m := &Metrics{Func: metricsFuncs[name.text]}
	p.expect("(", "after "+name.text)
	switch m.Func {
	case Rate, CountOverTime:
	case Compare:
		m.Compare = p.comparison()
	default:
		p.metricsArguments(name, m)
	}
	p.expect(")", "after "+name.text+"(…")
	if m.Func != Compare && p.accept("by") {
		p.expect("(", "after by")
		pos := p.peek().pos
		m.By = p.fields("by (…")
		if len(m.By) > maxGroupBy {
			p.failAt(pos, "metrics can be grouped by at most %d attributes", maxGroupBy)
		}
	}
	for {
		if op, ok := fieldOps[p.peek().text]; ok && p.peek().kind == tokenOperator && op.op.Comparison() && op.op != OpMatches && op.op != OpNotMatches {
			p.operation(p.next().pos)
			m.Then = append(m.Then, SecondStage{Kind: Keep, Op: op.op, Value: p.numberLiteral()})
			continue
		}
		if !p.accept("|") {
			return m
		}
		p.operation(p.peek().pos)
		m.Then = append(m.Then, p.secondStage())
	}
}

func (p *parser) metricsArguments(name token, m *Metrics) {
	t := p.next()
	if t.kind != tokenField {
		p.failAt(t.pos, "%s needs an attribute or an intrinsic, got %s", name.text, t.describe())
	}
	if typ := t.field.typ; typ != Any && !typ.numeric() {
		p.failAt(t.pos, "%s needs numbers, but %s is of type %s", name.text, t.field, typ)
	}
	m.Attribute = &t.field
	if m.Func != QuantileOverTime {
		return
	}
	for p.accept(",") {
		q := p.next()
		f, ok := q.value.Number()
		if q.kind != tokenLiteral || !ok || q.value.typ == Duration || f < 0 || f > 1 {
			p.failAt(q.pos, "want a quantile from 0 to 1, got %s", q.describe())
		}
		m.Quantiles = append(m.Quantiles, f)
	}
	if len(m.Quantiles) == 0 || len(m.Quantiles) > maxQuantiles {
		p.failAt(name.pos, "quantile_over_time needs 1 to %d quantiles", maxQuantiles)
	}
}

// comparison reads a filter, then how many values, then from when until when.
func (p *parser) comparison() *Comparison {
	p.expect("{", "after compare(")
	c := &Comparison{Filter: p.filter(), TopN: 10}
	var numbers []int64
	pos := p.peek().pos
	for p.accept(",") {
		t := p.next()
		if t.kind != tokenLiteral || t.value.typ != Int || t.value.Int64() < 1 {
			p.failAt(t.pos, "want a whole number above 0, got %s", t.describe())
		}
		numbers = append(numbers, t.value.Int64())
	}
	switch len(numbers) {
	case 0:
	case 3:
		if c.From, c.To = numbers[1], numbers[2]; c.To <= c.From {
			p.failAt(pos, "the end of compare() must be after its start")
		}
		fallthrough
	case 1:
		c.TopN = int(min(numbers[0], maxCompared))
	default:
		p.failAt(pos, "compare() takes a filter, the number of values, and start and end together")
	}
	return c
}

func (p *parser) secondStage() SecondStage {
	t := p.next()
	if t.kind == tokenOperator {
		if op, ok := fieldOps[t.text]; ok && op.op.Comparison() && op.op != OpMatches && op.op != OpNotMatches {
			return SecondStage{Kind: Keep, Op: op.op, Value: p.numberLiteral()}
		}
	}
	kind := map[string]SecondStageKind{"topk": TopK, "bottomk": BottomK}[t.text]
	if t.kind != tokenIdentifier || kind == 0 {
		p.failAt(t.pos, "after a metrics function want topk, bottomk or a comparison, got %s", t.describe())
	}
	p.expect("(", "after "+t.text)
	n := p.next()
	if n.kind != tokenLiteral || n.value.typ != Int || n.value.Int64() < 1 || n.value.Int64() > 1<<20 {
		p.failAt(n.pos, "%s needs a positive number of series, got %s", t.text, n.describe())
	}
	p.expect(")", "after "+t.text+"("+strconv.FormatInt(n.value.Int64(), 10))
	return SecondStage{Kind: kind, N: int(n.value.Int64())}
}

func (p *parser) numberLiteral() Value {
	negative := p.accept("-")
	t := p.next()
	if t.kind != tokenLiteral || !t.value.typ.numeric() {
		p.failAt(t.pos, "want a number, got %s", t.describe())
	}
	if negative {
		return negate(t.value)
	}
	return t.value
}
