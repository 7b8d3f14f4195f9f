package traceql

// Op is an operator.
type Op uint8

// The operators of expressions.
const (
	OpNone Op = iota
	OpEqual
	OpNotEqual
	OpMatches
	OpNotMatches
	OpLess
	OpLessEqual
	OpGreater
	OpGreaterEqual
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpMod
	OpPow
	OpAnd // also of spansets
	OpOr  // also of spansets
	OpNot
)

// The structural operators between spansets. The plain ones keep the spans of the
// right side that stand in the relation to a span of the left side, the negated ones
// those that stand in it to none, and the union ones the related spans of both sides.
const (
	OpChild Op = iota + OpNot + 1
	OpDescendant
	OpParent
	OpAncestor
	OpSibling
	OpNotChild
	OpNotDescendant
	OpNotParent
	OpNotAncestor
	OpNotSibling
	OpUnionChild
	OpUnionDescendant
	OpUnionParent
	OpUnionAncestor
	OpUnionSibling
)

var opTexts = [...]string{
	OpEqual: "=", OpNotEqual: "!=", OpMatches: "=~", OpNotMatches: "!~",
	OpLess: "<", OpLessEqual: "<=", OpGreater: ">", OpGreaterEqual: ">=",
	OpAdd: "+", OpSub: "-", OpMul: "*", OpDiv: "/", OpMod: "%", OpPow: "^",
	OpAnd: "&&", OpOr: "||", OpNot: "!",
	OpChild: ">", OpDescendant: ">>", OpParent: "<", OpAncestor: "<<", OpSibling: "~",
	OpNotChild: "!>", OpNotDescendant: "!>>", OpNotParent: "!<", OpNotAncestor: "!<<", OpNotSibling: "!~",
	OpUnionChild: "&>", OpUnionDescendant: "&>>", OpUnionParent: "&<", OpUnionAncestor: "&<<", OpUnionSibling: "&~",
}

// String is the operator as queries write it.
func (o Op) String() string { return opTexts[o] }

// Comparison reports whether the operator yields a Bool from two values.
func (o Op) Comparison() bool { return o >= OpEqual && o <= OpGreaterEqual }

func (o Op) arithmetic() bool { return o >= OpAdd && o <= OpPow }

// The precedences of expressions, weakest first.
const (
	precLogical = iota + 1
	precComparison
	precSum
	precNot
	precProduct
	precPower
)

// fieldOps are the binary operators of expressions, by their text.
var fieldOps = map[string]struct {
	op         Op
	precedence int
}{
	"&&": {OpAnd, precLogical}, "||": {OpOr, precLogical},
	"=": {OpEqual, precComparison}, "!=": {OpNotEqual, precComparison},
	"=~": {OpMatches, precComparison}, "!~": {OpNotMatches, precComparison},
	"<": {OpLess, precComparison}, "<=": {OpLessEqual, precComparison},
	">": {OpGreater, precComparison}, ">=": {OpGreaterEqual, precComparison},
	"+": {OpAdd, precSum}, "-": {OpSub, precSum},
	"*": {OpMul, precProduct}, "/": {OpDiv, precProduct}, "%": {OpMod, precProduct},
	"^": {OpPow, precPower},
}

// spansetOps are the operators between spansets: && and || bind weaker than the
// structural ones.
var spansetOps = map[string]struct {
	op         Op
	precedence int
}{
	"&&": {OpAnd, 1}, "||": {OpOr, 1},
	">": {OpChild, 2}, ">>": {OpDescendant, 2}, "<": {OpParent, 2}, "<<": {OpAncestor, 2}, "~": {OpSibling, 2},
	"!>": {OpNotChild, 2}, "!>>": {OpNotDescendant, 2}, "!<": {OpNotParent, 2}, "!<<": {OpNotAncestor, 2}, "!~": {OpNotSibling, 2},
	"&>": {OpUnionChild, 2}, "&>>": {OpUnionDescendant, 2}, "&<": {OpUnionParent, 2}, "&<<": {OpUnionAncestor, 2}, "&~": {OpUnionSibling, 2},
}
