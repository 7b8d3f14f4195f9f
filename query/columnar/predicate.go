package columnar

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// linePredicate is a LinePredicate made ready.
type linePredicate struct {
	negated bool
	// literal is in every line that matches the un-negated predicate; empty means
	// that nothing is known.
	literal string
	re      *regexp.Regexp // nil: the literal, or anyOf, decides alone
	// anyOf are all the texts that the expression stands for: containing one is what
	// it asks for. An expression of two words took 14 µs a line.
	anyOf []string
}

func compileLine(p LinePredicate) (linePredicate, error) {
	switch p.Op {
	case Contains, NotContains:
		return linePredicate{negated: p.Op == NotContains, literal: p.Text}, nil
	case Matches, NotMatches:
		re, err := regexp.Compile(p.Text)
		if err != nil {
			return linePredicate{}, fmt.Errorf("line predicate: %w", err)
		}
		literal, whole := requiredLiteral(p.Text)
		if whole {
			re = nil
		}
		out := linePredicate{negated: p.Op == NotMatches, literal: literal, re: re}
		if literal == "" {
			if out.anyOf = texts(p.Text); out.anyOf != nil {
				out.re = nil
			}
		}
		return out, nil
	}
	return linePredicate{}, fmt.Errorf("line predicate: unknown operation %d", p.Op)
}

func (p *linePredicate) holds(line string) bool {
	matched := strings.Contains(line, p.literal)
	if p.anyOf != nil {
		matched = slices.ContainsFunc(p.anyOf, func(text string) bool { return strings.Contains(line, text) })
	}
	if matched && p.re != nil {
		matched = p.re.MatchString(line)
	}
	return matched != p.negated
}

// requiredLiteral finds a string that every match of the expression contains,
// the longest if there are several. whole means that containing it is all the
// expression asks for.
func requiredLiteral(expression string) (literal string, whole bool) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "", false
	}
	re = re.Simplify()
	literal = longestLiteral(re)
	return literal, literal != "" && re.Op == syntax.OpLiteral
}

// maxTexts bounds how many searches of a line replace an expression.
const maxTexts = 16

// texts is all the texts that an expression stands for, or nil when there are too
// many or an empty one.
func texts(expression string) []string {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil
	}
	all := expand(re.Simplify())
	if slices.Contains(all, "") {
		return nil
	}
	return all
}

// expand returns nil for what does not stand for a few texts.
func expand(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, '\uFFFD') {
			return []string{string(re.Rune)}
		}
	case syntax.OpCharClass:
		var out []string
		for i := 0; i < len(re.Rune); i += 2 {
			if lo, hi := re.Rune[i], re.Rune[i+1]; hi-lo >= maxTexts || lo <= '\uFFFD' && hi >= '\uFFFD' {
				return nil
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				out = append(out, string(r))
			}
		}
		return atMost(out)
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			one := expand(sub)
			if one == nil {
				return nil
			}
			out = append(out, one...)
		}
		return atMost(out)
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			var longer []string
			for _, tail := range expand(sub) {
				for _, head := range out {
					longer = append(longer, head+tail)
				}
			}
			if out = atMost(longer); out == nil {
				return nil
			}
		}
		return out
	}
	return nil
}

func atMost(texts []string) []string {
	if len(texts) == 0 || len(texts) > maxTexts {
		return nil
	}
	return texts
}

func longestLiteral(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		// A replacement character in the expression also matches invalid UTF-8.
		if re.Flags&syntax.FoldCase == 0 && !strings.ContainsRune(string(re.Rune), '\uFFFD') {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return longestLiteral(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return longestLiteral(re.Sub[0])
		}
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if l := longestLiteral(sub); len(l) > len(best) {
				best = l
			}
		}
		return best
	}
	return ""
}

// fieldPredicate is a FieldPredicate made ready.
type fieldPredicate struct {
	name    string
	holds   func(value string) bool
	missing bool // what a row without the field gets
}

func compileField(p FieldPredicate) (fieldPredicate, error) {
	out := fieldPredicate{name: p.Name}
	switch p.Op {
	case FieldEqual:
		out.holds = func(v string) bool { return v == p.Text }
	case FieldNotEqual:
		out.holds = func(v string) bool { return v != p.Text }
	case FieldMatches, FieldNotMatches:
		re, err := labels.NewFastRegexMatcher(p.Text)
		if err != nil {
			return out, fmt.Errorf("field predicate on %q: %w", p.Name, err)
		}
		want := p.Op == FieldMatches
		out.holds = func(v string) bool { return re.MatchString(v) == want }
	case FieldLess, FieldLessOrEqual, FieldGreater, FieldGreaterOrEqual:
		out.holds = compileNumeric(p)
	default:
		return out, fmt.Errorf("field predicate on %q: unknown operation %d", p.Name, p.Op)
	}
	out.missing = out.holds("")
	return out, nil
}

// compileNumeric compares as float64. A text that is no number holds for no row.
func compileNumeric(p FieldPredicate) func(string) bool {
	want, err := strconv.ParseFloat(p.Text, 64)
	if err != nil {
		return func(string) bool { return false }
	}
	return func(v string) bool {
		got, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return false
		}
		switch p.Op {
		case FieldLess:
			return got < want
		case FieldLessOrEqual:
			return got <= want
		case FieldGreater:
			return got > want
		default:
			return got >= want
		}
	}
}

// predicates is what a query asks of a row's line and fields.
type predicates struct {
	lines  []linePredicate
	fields []fieldPredicate
}

// empty reports whether every row satisfies them.
func (p *predicates) empty() bool { return len(p.lines)+len(p.fields) == 0 }

func compilePredicates(q *Query) (predicates, error) {
	var out predicates
	for _, p := range q.Lines {
		c, err := compileLine(p)
		if err != nil {
			return out, err
		}
		out.lines = append(out.lines, c)
	}
	for _, p := range q.Fields {
		c, err := compileField(p)
		if err != nil {
			return out, err
		}
		out.fields = append(out.fields, c)
	}
	return out, nil
}

func (p *predicates) holdLine(line string) bool {
	for i := range p.lines {
		if !p.lines[i].holds(line) {
			return false
		}
	}
	return true
}

// holdFields evaluates the field predicates on a whole row.
func (p *predicates) holdFields(fields []Field) bool {
	for i := range p.fields {
		fp := &p.fields[i]
		present, holds := false, false
		for j := range fields {
			if fields[j].Name == fp.name {
				present = true
				if holds = fp.holds(fields[j].Value); holds {
					break
				}
			}
		}
		if !present {
			holds = fp.missing
		}
		if !holds {
			return false
		}
	}
	return true
}
