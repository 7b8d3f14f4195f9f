package tempo

import (
	"math"
	"regexp"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
)

// selection is a conjunction that the store evaluates on rows.
type selection struct {
	matchers []*labels.Matcher
	fields   []columnar.FieldPredicate
	// exact means that the rows for which it holds are those for which the expression
	// behind it does; otherwise they are more.
	exact bool
}

// maxExact is the greatest whole number up to which a comparison as float64, which is
// how the store compares numbers, is one of whole numbers.
const maxExact = 1 << 53

// comparison is what rows must have for a field to compare so with a literal: one of
// the selections. None means that no row can.
func comparison(f traceql.Field, op traceql.Op, want traceql.Value) []selection {
	switch {
	case f.NeedsTrace():
		return anything()
	case f.Many():
		return hasNested(f)
	}
	columns := columnsOf(f)
	var out []selection
	for _, column := range columns {
		s, ok := columnComparison(f, column, op, want)
		if !ok {
			return anything()
		}
		// Of two columns the second counts only where there is nothing in the first.
		s.exact = s.exact && len(columns) == 1
		out = append(out, s)
	}
	return out
}

func anything() []selection { return []selection{{}} }

// hasNested asks for rows that have events, or links.
func hasNested(f traceql.Field) []selection {
	return []selection{{fields: []columnar.FieldPredicate{{Name: columnsOf(f)[0], Op: columnar.FieldNotEqual}}}}
}

// columnComparison reports false when the store cannot help.
func columnComparison(f traceql.Field, column string, op traceql.Op, want traceql.Value) (selection, bool) {
	predicate := func(op columnar.FieldOp, text string) columnar.FieldPredicate {
		return columnar.FieldPredicate{Name: column, Op: op, Text: text}
	}
	attribute := f.Type() == traceql.Any
	switch want.Type() {
	case traceql.String, traceql.Status, traceql.Kind, traceql.Bool:
		pushed, ok := map[traceql.Op]columnar.FieldOp{
			traceql.OpEqual: columnar.FieldEqual, traceql.OpNotEqual: columnar.FieldNotEqual,
			traceql.OpMatches: columnar.FieldMatches, traceql.OpNotMatches: columnar.FieldNotMatches,
		}[op]
		if !ok {
			return selection{}, false
		}
		s := selection{fields: []columnar.FieldPredicate{predicate(pushed, want.String())}, exact: !attribute}
		if m := serviceMatcher(column, op, want); m != nil {
			s.matchers = append(s.matchers, m)
		}
		return s, true
	case traceql.Int, traceql.Float, traceql.Duration:
		fields, exact, ok := numeric(column, op, want)
		return selection{fields: fields, exact: exact && !attribute}, ok
	}
	return selection{}, false
}

// serviceMatcher selects the streams of a service: a span whose resource names one is
// in a stream of that label, whoever sent it.
func serviceMatcher(column string, op traceql.Op, want traceql.Value) *labels.Matcher {
	if column != columnService || want.Type() != traceql.String {
		return nil
	}
	switch op {
	case traceql.OpEqual:
		if want.String() != "" {
			return labels.MustNewMatcher(labels.MatchEqual, "service_name", want.String())
		}
	case traceql.OpMatches:
		if m, err := labels.NewMatcher(labels.MatchRegexp, "service_name", want.String()); err == nil && !m.Matches("") {
			return m
		}
	}
	return nil
}

// numeric compares a column with a number. Both sides become float64 in the store:
// where that could make two numbers equal that are not, the comparison is weakened so
// that no row is lost.
func numeric(column string, op traceql.Op, want traceql.Value) (ps []columnar.FieldPredicate, exact, ok bool) {
	n, _ := want.Number()
	whole := n == math.Trunc(n) && math.Abs(n) < maxExact
	text := strconv.FormatFloat(n, 'g', -1, 64)
	bound := func(op columnar.FieldOp) []columnar.FieldPredicate {
		return []columnar.FieldPredicate{{Name: column, Op: op, Text: text}}
	}
	strict := func(op, weak columnar.FieldOp) []columnar.FieldPredicate {
		if whole {
			return bound(op)
		}
		return bound(weak)
	}
	switch op {
	case traceql.OpEqual:
		if whole {
			return []columnar.FieldPredicate{wholeNumber(column, int64(n), text)}, true, true
		}
		return append(bound(columnar.FieldGreaterOrEqual), bound(columnar.FieldLessOrEqual)...), false, true
	case traceql.OpLess:
		return strict(columnar.FieldLess, columnar.FieldLessOrEqual), whole, true
	case traceql.OpLessEqual:
		return bound(columnar.FieldLessOrEqual), whole, true
	case traceql.OpGreater:
		return strict(columnar.FieldGreater, columnar.FieldGreaterOrEqual), whole, true
	case traceql.OpGreaterEqual:
		return bound(columnar.FieldGreaterOrEqual), whole, true
	}
	return nil, false, false
}

// wholeNumber asks for every way in which a column may write a whole number: as an Int,
// and as a Float, which from a million on has an exponent.
func wholeNumber(column string, n int64, float string) columnar.FieldPredicate {
	texts := []string{strconv.FormatInt(n, 10)}
	if float != texts[0] {
		texts = append(texts, float)
	}
	if n == 0 {
		texts = []string{"0", "-0"}
	}
	if len(texts) == 1 || column == columnDuration {
		return columnar.FieldPredicate{Name: column, Op: columnar.FieldEqual, Text: texts[0]}
	}
	return columnar.FieldPredicate{Name: column, Op: columnar.FieldMatches, Text: regexp.QuoteMeta(texts[0]) + "|" + regexp.QuoteMeta(texts[1])}
}

// checker evaluates a selection on rows whose columns are at hand, as the store does.
type checker struct {
	matchers []*labels.Matcher
	fields   []checkedField
}

type checkedField struct {
	columnar.FieldPredicate
	regex  *labels.FastRegexMatcher
	number float64
}

func newChecker(s selection) (checker, error) {
	c := checker{matchers: s.matchers}
	for _, p := range s.fields {
		f := checkedField{FieldPredicate: p}
		var err error
		switch p.Op {
		case columnar.FieldMatches, columnar.FieldNotMatches:
			f.regex, err = labels.NewFastRegexMatcher(p.Text)
		case columnar.FieldLess, columnar.FieldLessOrEqual, columnar.FieldGreater, columnar.FieldGreaterOrEqual:
			f.number, err = strconv.ParseFloat(p.Text, 64)
		}
		if err != nil {
			return c, err
		}
		c.fields = append(c.fields, f)
	}
	return c, nil
}

func (c *checker) holds(r *row) bool {
	for _, m := range c.matchers {
		if !m.Matches(r.labels.Get(m.Name)) {
			return false
		}
	}
	for i := range c.fields {
		if !c.fields[i].holds(r.fields) {
			return false
		}
	}
	return true
}

// holds is true if the predicate is for any of the row's values of the name, or for the
// empty text if it has none.
func (f *checkedField) holds(fields []columnar.Field) bool {
	present := false
	for i := range fields {
		if fields[i].Name == f.Name {
			if f.matches(fields[i].Value) {
				return true
			}
			present = true
		}
	}
	return !present && f.matches("")
}

func (f *checkedField) matches(v string) bool {
	switch f.Op {
	case columnar.FieldEqual:
		return v == f.Text
	case columnar.FieldNotEqual:
		return v != f.Text
	case columnar.FieldMatches:
		return f.regex.MatchString(v)
	case columnar.FieldNotMatches:
		return !f.regex.MatchString(v)
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return false
	}
	switch f.Op {
	case columnar.FieldLess:
		return n < f.number
	case columnar.FieldLessOrEqual:
		return n <= f.number
	case columnar.FieldGreater:
		return n > f.number
	case columnar.FieldGreaterOrEqual:
		return n >= f.number
	}
	return false
}
