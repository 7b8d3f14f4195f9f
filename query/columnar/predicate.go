package columnar

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// linePredicate is a LinePredicate made ready.
type linePredicate struct {
	negated bool
	// clauses are what every line that matches the un-negated predicate satisfies:
	// of each clause it contains one of the literals. None is empty.
	clauses [][]string
	re      *regexp.Regexp // nil: the clauses decide alone
}

func compileLine(p LinePredicate) (linePredicate, error) {
	switch p.Op {
	case Contains, NotContains:
		out := linePredicate{negated: p.Op == NotContains}
		if p.Text != "" {
			out.clauses = [][]string{{p.Text}}
		}
		return out, nil
	case Matches, NotMatches:
		re, err := regexp.Compile(p.Text)
		if err != nil {
			return linePredicate{}, fmt.Errorf("line predicate: %w", err)
		}
		clauses, whole := requiredLiterals(p.Text)
		if whole {
			re = nil
		}
		return linePredicate{negated: p.Op == NotMatches, clauses: clauses, re: re}, nil
	}
	return linePredicate{}, fmt.Errorf("line predicate: unknown operation %d", p.Op)
}

func (p *linePredicate) holds(line string) bool { return p.matches(line) != p.negated }

// matches evaluates the un-negated predicate.
func (p *linePredicate) matches(line string) bool {
	for _, clause := range p.clauses {
		found := false
		for _, literal := range clause {
			if found = strings.Contains(line, literal); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return p.re == nil || p.re.MatchString(line)
}

// literal is the longest string that every matching line contains.
func (p *linePredicate) literal() string {
	best := ""
	for _, clause := range p.clauses {
		if len(clause) == 1 && len(clause[0]) > len(best) {
			best = clause[0]
		}
	}
	return best
}

// simple reports that containing the literal is all that is asked for.
func (p *linePredicate) simple() bool {
	return p.re == nil && len(p.clauses) == 1 && len(p.clauses[0]) == 1
}

// fieldPredicate is a FieldPredicate made ready.
type fieldPredicate struct {
	name    string
	equal   string // what the value has to be; empty: nothing that simple
	holds   func(value string) bool
	missing bool // what a row without the field gets
}

func compileField(p FieldPredicate) (fieldPredicate, error) {
	out := fieldPredicate{name: p.Name}
	switch p.Op {
	case FieldEqual:
		out.equal = p.Text
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
