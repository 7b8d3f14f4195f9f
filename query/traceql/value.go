package traceql

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a Value.
type Type uint8

// The types. Int, Float and Duration are the numbers. Other is a value that exists
// but compares with nothing: an array, a key-value list, bytes. Any is the type of an
// attribute while no span has been looked at; no Value has it.
const (
	Nil Type = iota
	Int
	Float
	String
	Bool
	Duration
	Status
	Kind
	Other
	Any
)

var typeNames = [...]string{"nil", "int", "float", "string", "bool", "duration", "status", "kind", "array", "attribute"}

// String is the type's name in messages.
func (t Type) String() string { return typeNames[t] }

func (t Type) numeric() bool { return t == Int || t == Float || t == Duration }

// Value is what an expression yields for a span. The zero Value is nil. Values are
// comparable with ==, which is identity and not TraceQL's equality.
type Value struct {
	typ  Type
	bits uint64
	str  string
}

// The numbers of status and kind literals, which are OTLP's.
const (
	StatusUnset = iota
	StatusOK
	StatusError
)

var (
	statusNames = [...]string{"unset", "ok", "error"}
	kindNames   = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}
)

// IntValue makes an Int.
func IntValue(n int64) Value { return Value{typ: Int, bits: uint64(n)} }

// FloatValue makes a Float.
func FloatValue(f float64) Value { return Value{typ: Float, bits: math.Float64bits(f)} }

// StringValue makes a String.
func StringValue(s string) Value { return Value{typ: String, str: s} }

// BoolValue makes a Bool.
func BoolValue(b bool) Value {
	if b {
		return Value{typ: Bool, bits: 1}
	}
	return Value{typ: Bool}
}

// DurationValue makes a Duration of nanoseconds.
func DurationValue(ns int64) Value { return Value{typ: Duration, bits: uint64(ns)} }

// StatusValue makes a Status of OTLP's number.
func StatusValue(n int32) Value { return Value{typ: Status, bits: uint64(int64(n))} }

// KindValue makes a Kind of OTLP's number.
func KindValue(n int32) Value { return Value{typ: Kind, bits: uint64(int64(n))} }

// OtherValue makes an Other that shows as text.
func OtherValue(text string) Value { return Value{typ: Other, str: text} }

// Type is the value's type.
func (v Value) Type() Type { return v.typ }

// IsNil reports whether there is no value.
func (v Value) IsNil() bool { return v.typ == Nil }

// True reports whether the value is the Bool true.
func (v Value) True() bool { return v.typ == Bool && v.bits == 1 }

// Clone is the value with text of its own, for keeping it longer than what it came from.
func (v Value) Clone() Value {
	v.str = strings.Clone(v.str)
	return v
}

// Int64 is the number behind an Int, Duration, Bool, Status or Kind.
func (v Value) Int64() int64 { return int64(v.bits) }

// Number is a numeric value as a float, durations in nanoseconds, and false for
// all others.
func (v Value) Number() (float64, bool) {
	switch v.typ {
	case Int, Duration:
		return float64(int64(v.bits)), true
	case Float:
		return math.Float64frombits(v.bits), true
	}
	return 0, false
}

// String is the value as people read it: strings bare, durations as Go writes them.
func (v Value) String() string {
	switch v.typ {
	case Int:
		return strconv.FormatInt(int64(v.bits), 10)
	case Float:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case String, Other:
		return v.str
	case Bool:
		return strconv.FormatBool(v.bits == 1)
	case Duration:
		return time.Duration(v.bits).String()
	case Status:
		return enumName(statusNames[:], int64(v.bits))
	case Kind:
		return enumName(kindNames[:], int64(v.bits))
	}
	return "nil"
}

// Literal is the value as a query would write it.
func (v Value) Literal() string {
	switch v.typ {
	case String:
		return strconv.Quote(v.str)
	case Float:
		s := v.String()
		for _, c := range s {
			if c == '.' || c == 'e' || c == 'N' || c == 'I' {
				return s
			}
		}
		return s + ".0"
	}
	return v.String()
}

func enumName(names []string, n int64) string {
	if n >= 0 && n < int64(len(names)) {
		return names[n]
	}
	return strconv.FormatInt(n, 10)
}

// comparableTypes reports whether two types can stand beside a comparison.
func comparableTypes(a, b Type) bool {
	return a == b || a.numeric() && b.numeric() || a == Any || b == Any
}

// compare applies a comparison to two values. It never holds for nil, for Other, or
// between types that do not compare.
func compare(op Op, a, b Value) bool {
	switch {
	case a.typ.numeric() && b.typ.numeric():
		return ordered(op, compareNumbers(a, b))
	case a.typ != b.typ:
		return false
	case a.typ == String:
		switch {
		case op == OpEqual:
			return a.str == b.str
		case op == OpNotEqual:
			return a.str != b.str
		case a.str < b.str:
			return ordered(op, -1)
		case a.str > b.str:
			return ordered(op, 1)
		}
		return ordered(op, 0)
	case a.typ == Bool, a.typ == Status, a.typ == Kind:
		return op == OpEqual && a.bits == b.bits || op == OpNotEqual && a.bits != b.bits
	}
	return false
}

// unordered is what NaN is to every number.
const unordered = 2

func compareNumbers(a, b Value) int {
	if a.typ != Float && b.typ != Float {
		x, y := int64(a.bits), int64(b.bits)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	x, _ := a.Number()
	y, _ := b.Number()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	return unordered
}

func ordered(op Op, c int) bool {
	switch op {
	case OpEqual:
		return c == 0
	case OpNotEqual:
		return c != 0
	case OpLess:
		return c == -1
	case OpLessEqual:
		return c == -1 || c == 0
	case OpGreater:
		return c == 1
	case OpGreaterEqual:
		return c == 1 || c == 0
	}
	return false
}

// arithmetic computes a op b, and nil unless both are numbers. Whole numbers stay
// whole under + - * and % as long as the result fits, and durations stay durations
// under + and -; all else is a Float.
func arithmetic(op Op, a, b Value) Value {
	x, ok := a.Number()
	if !ok {
		return Value{}
	}
	y, ok := b.Number()
	if !ok {
		return Value{}
	}
	if a.typ != Float && b.typ != Float {
		if v, ok := wholeArithmetic(op, int64(a.bits), int64(b.bits)); ok {
			if (a.typ == Duration || b.typ == Duration) && op != OpMul {
				return DurationValue(v)
			}
			return IntValue(v)
		}
	}
	switch op {
	case OpAdd:
		return FloatValue(x + y)
	case OpSub:
		return FloatValue(x - y)
	case OpMul:
		return FloatValue(x * y)
	case OpDiv:
		return FloatValue(x / y)
	case OpMod:
		return FloatValue(math.Mod(x, y))
	case OpPow:
		return FloatValue(math.Pow(x, y))
	}
	return Value{}
}

// wholeArithmetic reports false where the result is no int64.
func wholeArithmetic(op Op, x, y int64) (int64, bool) {
	switch op {
	case OpAdd:
		s := x + y
		return s, (s > x) == (y > 0)
	case OpSub:
		s := x - y
		return s, (s < x) == (y > 0)
	case OpMul:
		if x == 0 || y == 0 {
			return 0, true
		}
		p := x * y
		return p, p/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
	case OpMod:
		if y == 0 {
			return 0, false
		}
		if y == -1 {
			return 0, true
		}
		return x % y, true
	}
	return 0, false
}

func negate(v Value) Value {
	switch {
	case v.typ == Float:
		return FloatValue(-math.Float64frombits(v.bits))
	case v.typ.numeric():
		return Value{typ: v.typ, bits: -v.bits}
	}
	return Value{}
}
