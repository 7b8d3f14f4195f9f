package traceql

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// ParseError says what is wrong with a query, and where. Line and Column count from 1,
// columns in characters.
type ParseError struct {
	Line, Column int
	Message      string
}

// Error says where, then what.
func (e *ParseError) Error() string {
	return fmt.Sprintf("parse error at line %d, col %d: %s", e.Line, e.Column, e.Message)
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenError
	tokenOperator   // also braces, parentheses, commas
	tokenIdentifier // keywords, intrinsics, literals that are words
	tokenField      // an attribute, or an intrinsic with its scope
	tokenLiteral
)

type token struct {
	kind  tokenKind
	pos   int // byte offset
	text  string
	field Field
	value Value
}

func (t token) describe() string {
	if t.kind == tokenEnd {
		return "end of query"
	}
	return strconv.Quote(t.text)
}

// lexer splits a query into tokens. Attributes are one token together with their
// scope, because what may stand in their names are operators elsewhere.
type lexer struct {
	src string
	pos int
}

// operators by length, longest first.
var operators = [...][]string{
	{"!>>", "!<<", "&>>", "&<<"},
	{"&&", "||", "!=", "=~", "!~", ">=", "<=", ">>", "<<", "!>", "!<", "&>", "&<", "&~"},
	{"{", "}", "(", ")", ",", "|", "=", "!", ">", "<", "~", "+", "-", "*", "/", "%", "^"},
}

var scopes = map[string]Scope{
	"span": SpanScope, "resource": ResourceScope, "event": EventScope, "link": LinkScope, "instrumentation": InstrumentationScope,
}

func (l *lexer) errorAt(pos int, message string) *ParseError {
	before := l.src[:pos]
	line := strings.Count(before, "\n")
	start := strings.LastIndexByte(before, '\n') + 1
	return &ParseError{Line: line + 1, Column: utf8.RuneCountInString(before[start:]) + 1, Message: message}
}

func (l *lexer) peek() rune {
	r, _ := utf8.DecodeRuneInString(l.src[l.pos:])
	if l.pos >= len(l.src) {
		return -1
	}
	return r
}

func (l *lexer) next() token {
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		if !unicode.IsSpace(r) {
			break
		}
		l.pos += n
	}
	start := l.pos
	r := l.peek()
	switch {
	case r < 0:
		return token{kind: tokenEnd, pos: start}
	case r == '"' || r == '`':
		return l.str(start)
	case r >= '0' && r <= '9', r == '.' && start+1 < len(l.src) && l.src[start+1] >= '0' && l.src[start+1] <= '9':
		return l.number(start) // .5 is one, too
	case r == '.':
		l.pos++
		return l.attribute(start, Field{typ: Any})
	case isWordRune(r):
		return l.word(start)
	}
	for i, ops := range operators {
		n := len(operators) - i
		if start+n > len(l.src) {
			continue
		}
		for _, op := range ops {
			if l.src[start:start+n] == op {
				l.pos += n
				return token{kind: tokenOperator, pos: start, text: op}
			}
		}
	}
	return l.fail(start, fmt.Sprintf("unexpected character %q", r))
}

func (l *lexer) fail(pos int, message string) token {
	l.pos = len(l.src)
	return token{kind: tokenError, pos: pos, text: message}
}

func isWordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// isAttributeRune reports whether a rune may stand in an attribute's name without
// quotes: all but spaces, and what ends an attribute in any expression.
func isAttributeRune(r rune) bool {
	return r >= 0 && r != utf8.RuneError && !unicode.IsSpace(r) && !strings.ContainsRune("{}()=~!<>&|^,\"`", r)
}

func (l *lexer) str(start int) token {
	text, err := l.quoted()
	if err != nil {
		return l.fail(start, err.Error())
	}
	return token{kind: tokenLiteral, pos: start, text: l.src[start:l.pos], value: StringValue(text)}
}

// quoted reads a Go string in double quotes or backquotes.
func (l *lexer) quoted() (string, error) {
	prefix, err := strconv.QuotedPrefix(l.src[l.pos:])
	if err != nil {
		return "", fmt.Errorf("string does not end, or has an escape that is none")
	}
	l.pos += len(prefix)
	return strconv.Unquote(prefix)
}

func (l *lexer) digits() {
	for l.pos < len(l.src) && l.src[l.pos] >= '0' && l.src[l.pos] <= '9' {
		l.pos++
	}
}

func (l *lexer) number(start int) token {
	l.digits()
	float := false
	if l.peek() == '.' {
		float = true
		l.pos++
		l.digits()
	}
	if exp := l.exponent(); exp > 0 {
		float = true
		l.pos += exp
		l.digits()
	}
	if unicode.IsLetter(l.peek()) {
		for r := l.peek(); isWordRune(r) || r == '.'; r = l.peek() {
			l.pos += utf8.RuneLen(r)
		}
		text := l.src[start:l.pos]
		d, err := parseDuration(text)
		if err != nil {
			return l.fail(start, fmt.Sprintf("%q is neither a number nor a duration", text))
		}
		return token{kind: tokenLiteral, pos: start, text: text, value: DurationValue(int64(d))}
	}
	text := l.src[start:l.pos]
	if float {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return l.fail(start, fmt.Sprintf("number %q is out of range", text))
		}
		return token{kind: tokenLiteral, pos: start, text: text, value: FloatValue(f)}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return l.fail(start, fmt.Sprintf("number %q is out of range", text))
	}
	return token{kind: tokenLiteral, pos: start, text: text, value: IntValue(n)}
}

// exponent is the length of what comes before an exponent's digits, 0 without one.
func (l *lexer) exponent() int {
	rest := l.src[l.pos:]
	if len(rest) < 2 || rest[0] != 'e' && rest[0] != 'E' {
		return 0
	}
	n := 1
	if rest[1] == '+' || rest[1] == '-' {
		n = 2
	}
	if len(rest) > n && rest[n] >= '0' && rest[n] <= '9' {
		return n
	}
	return 0
}

// parseDuration reads Go's durations, and days, weeks and years as Prometheus does.
func parseDuration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}

// word reads a keyword, or with what follows an attribute or an intrinsic with its
// scope.
func (l *lexer) word(start int) token {
	for r := l.peek(); r >= 0 && isWordRune(r); r = l.peek() {
		l.pos += utf8.RuneLen(r)
	}
	word := l.src[start:l.pos]
	switch scope, scoped := scopes[word]; {
	case l.peek() == '.' && scoped:
		l.pos++
		return l.attribute(start, Field{Scope: scope, typ: Any})
	case l.peek() == '.' && word == "parent":
		l.pos++
		f := Field{Parent: true, typ: Any}
		for _, s := range [...]Scope{SpanScope, ResourceScope} {
			if strings.HasPrefix(l.src[l.pos:], s.String()+".") {
				f.Scope = s
				l.pos += len(s.String()) + 1
				break
			}
		}
		return l.attribute(start, f)
	case l.peek() == ':' && (scoped || word == "trace"):
		l.pos++
		for r := l.peek(); r >= 0 && isWordRune(r); r = l.peek() {
			l.pos += utf8.RuneLen(r)
		}
		name := l.src[start:l.pos]
		if _, ok := intrinsics[name]; !ok {
			return l.fail(start, fmt.Sprintf("unknown intrinsic %q", name))
		}
		return token{kind: tokenField, pos: start, text: name, field: intrinsicField(name)}
	}
	return token{kind: tokenIdentifier, pos: start, text: word}
}

// attribute reads an attribute's name, parts of which may stand in quotes.
func (l *lexer) attribute(start int, f Field) token {
	var name strings.Builder
	for {
		r := l.peek()
		if r == '"' {
			part, err := l.quoted()
			if err != nil {
				return l.fail(start, err.Error())
			}
			name.WriteString(part)
			continue
		}
		if r < 0 || !isAttributeRune(r) {
			break
		}
		name.WriteRune(r)
		l.pos += utf8.RuneLen(r)
	}
	f.Name = name.String()
	if f.Name == "" {
		return l.fail(start, fmt.Sprintf("an attribute's name must follow %q", l.src[start:l.pos]))
	}
	return token{kind: tokenField, pos: start, text: l.src[start:l.pos], field: f}
}
