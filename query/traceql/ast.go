package traceql

import (
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Query is a parsed and valid query. It is immutable and safe for concurrent use.
type Query struct {
	Pipeline *Pipeline
	Metrics  *Metrics // nil for a search
	Hints    []Hint
}

// Hint is one setting of with(): advice that may be ignored.
type Hint struct {
	Name  string
	Value Value
}

// Pipeline is stages that each take the spansets that the one before them left. It
// is a SpansetExpr, too: in parentheses it may stand between structural operators.
type Pipeline struct {
	Stages []Stage
}

// Stage is one stage of a pipeline: a SpansetExpr, *ScalarFilter, *GroupBy, *Select or
// Coalesce.
type Stage interface {
	write(b *strings.Builder)
}

// SpansetExpr selects spans of a trace: a *Filter, *SpansetOperation or *Pipeline.
type SpansetExpr interface {
	Stage
	spanset()
}

// Filter selects the spans for which an expression is true; nil selects all.
type Filter struct {
	Expr Expr
}

// SpansetOperation joins two selections by OpAnd, OpOr or a structural operator.
type SpansetOperation struct {
	Op   Op
	X, Y SpansetExpr
}

// ScalarFilter keeps the spansets for which a comparison of aggregates holds.
type ScalarFilter struct {
	Op   Op
	X, Y Expr // of aggregates, numbers and arithmetic
}

// GroupBy splits each spanset by the value of an expression.
type GroupBy struct {
	Expr Expr
}

// Coalesce joins all spansets of a trace to one.
type Coalesce struct{}

// Select asks for fields to be returned with the spans.
type Select struct {
	Fields []Field
}

func (*Filter) spanset()           {}
func (*SpansetOperation) spanset() {}
func (*Pipeline) spanset()         {}

// Expr is an expression on a span or, with aggregates, on a spanset: a *Literal,
// *FieldRef, *Unary, *Binary, *Exists or *Aggregate.
type Expr interface {
	write(b *strings.Builder)
	// static is the type as far as it is known without a span.
	static() Type
}

// Literal is a value written in the query.
type Literal struct {
	Value Value
}

// FieldRef is the value of a field.
type FieldRef struct {
	Field Field
}

// Unary is OpNot or OpSub of X.
type Unary struct {
	Op Op
	X  Expr
}

// Binary is a comparison, arithmetic, OpAnd or OpOr.
type Binary struct {
	Op   Op
	X, Y Expr

	regex *labels.FastRegexMatcher // of Y, for OpMatches and OpNotMatches
}

// Exists is X != nil, or X = nil when negated.
type Exists struct {
	X       Expr
	Negated bool
}

// AggregateFunc is a function of a spanset.
type AggregateFunc uint8

// The functions. Count takes no expression.
const (
	Count AggregateFunc = iota + 1
	Min
	Max
	Avg
	Sum
)

var aggregateNames = [...]string{Count: "count", Min: "min", Max: "max", Avg: "avg", Sum: "sum"}

// Aggregate is a function of X over the spans of a spanset.
type Aggregate struct {
	Func AggregateFunc
	X    Expr // nil for Count
}

func (e *Literal) static() Type  { return e.Value.typ }
func (e *FieldRef) static() Type { return e.Field.typ }
func (e *Exists) static() Type   { return Bool }

func (e *Unary) static() Type {
	if e.Op == OpNot {
		return Bool
	}
	return e.X.static()
}

func (e *Binary) static() Type {
	if !e.Op.arithmetic() {
		return Bool
	}
	if e.X.static() == Any || e.Y.static() == Any {
		return Any
	}
	return Float
}

func (e *Aggregate) static() Type {
	if e.Func == Count {
		return Int
	}
	return e.X.static()
}

// String is the query as it may be written; parsing it yields an equal query.
func (q *Query) String() string {
	var b strings.Builder
	q.Pipeline.writeStages(&b)
	if q.Metrics != nil {
		b.WriteString(" | ")
		q.Metrics.write(&b)
	}
	for i, h := range q.Hints {
		if i == 0 {
			b.WriteString(" with (")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(h.Name + "=" + h.Value.Literal())
	}
	if len(q.Hints) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}

func text(x interface{ write(*strings.Builder) }) string {
	var b strings.Builder
	x.write(&b)
	return b.String()
}

func (p *Pipeline) write(b *strings.Builder) {
	b.WriteByte('(')
	p.writeStages(b)
	b.WriteByte(')')
}

func (p *Pipeline) writeStages(b *strings.Builder) {
	for i, s := range p.Stages {
		if i > 0 {
			b.WriteString(" | ")
		}
		s.write(b)
	}
}

func (f *Filter) write(b *strings.Builder) {
	if f.Expr == nil {
		b.WriteString("{ }")
		return
	}
	b.WriteString("{ ")
	f.Expr.write(b)
	b.WriteString(" }")
}

func (o *SpansetOperation) write(b *strings.Builder) {
	writeSide(b, o.X)
	b.WriteString(" " + o.Op.String() + " ")
	writeSide(b, o.Y)
}

// writeSide puts parentheses around an operation within an operation: they are read
// from the left, some stronger than others.
func writeSide(b *strings.Builder, x SpansetExpr) {
	if o, ok := x.(*SpansetOperation); ok {
		x = &Pipeline{Stages: []Stage{o}}
	}
	x.write(b)
}

func (f *ScalarFilter) write(b *strings.Builder) {
	f.X.write(b)
	b.WriteString(" " + f.Op.String() + " ")
	f.Y.write(b)
}

func (g *GroupBy) write(b *strings.Builder) {
	b.WriteString("by(")
	g.Expr.write(b)
	b.WriteByte(')')
}

func (Coalesce) write(b *strings.Builder) { b.WriteString("coalesce()") }

func (s *Select) write(b *strings.Builder) {
	b.WriteString("select(")
	for i, f := range s.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.String())
	}
	b.WriteByte(')')
}

func (e *Literal) write(b *strings.Builder)  { b.WriteString(e.Value.Literal()) }
func (e *FieldRef) write(b *strings.Builder) { b.WriteString(e.Field.String()) }

func (e *Unary) write(b *strings.Builder) {
	b.WriteString(e.Op.String())
	writeOperand(b, e.X)
}

func (e *Binary) write(b *strings.Builder) {
	writeOperand(b, e.X)
	b.WriteString(" " + e.Op.String() + " ")
	writeOperand(b, e.Y)
}

func (e *Exists) write(b *strings.Builder) {
	writeOperand(b, e.X)
	if e.Negated {
		b.WriteString(" = nil")
	} else {
		b.WriteString(" != nil")
	}
}

func (e *Aggregate) write(b *strings.Builder) {
	b.WriteString(aggregateNames[e.Func] + "(")
	if e.X != nil {
		e.X.write(b)
	}
	b.WriteByte(')')
}

// writeOperand puts parentheses around whatever an operator could bind to.
func writeOperand(b *strings.Builder, e Expr) {
	switch e.(type) {
	case *Literal, *FieldRef, *Aggregate:
		e.write(b)
	default:
		b.WriteByte('(')
		e.write(b)
		b.WriteByte(')')
	}
}

func (m *Metrics) write(b *strings.Builder) {
	b.WriteString(metricsNames[m.Func] + "(")
	if m.Attribute != nil {
		b.WriteString(m.Attribute.String())
	}
	if c := m.Compare; c != nil {
		c.Filter.write(b)
		b.WriteString(", " + strconv.Itoa(c.TopN))
		if c.To > 0 {
			b.WriteString(", " + strconv.FormatInt(c.From, 10) + ", " + strconv.FormatInt(c.To, 10))
		}
	}
	for _, q := range m.Quantiles {
		b.WriteString(", " + strconv.FormatFloat(q, 'g', -1, 64))
	}
	b.WriteByte(')')
	for i, f := range m.By {
		if i == 0 {
			b.WriteString(" by (")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(f.String())
	}
	if len(m.By) > 0 {
		b.WriteByte(')')
	}
	for _, s := range m.Then {
		switch s.Kind {
		case TopK:
			b.WriteString(" | topk(" + strconv.Itoa(s.N) + ")")
		case BottomK:
			b.WriteString(" | bottomk(" + strconv.Itoa(s.N) + ")")
		case Keep:
			b.WriteString(" " + s.Op.String() + " " + s.Value.Literal())
		}
	}
}
