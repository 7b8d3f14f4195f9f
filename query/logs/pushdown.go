package logs

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	gregexp "github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// pushdown is the part of a pipeline that the store may evaluate. Each predicate
// holds for every row that the pipeline keeps; the pipeline runs after it
// regardless, so a predicate may be weaker than its stage but never stronger.
type pushdown struct {
	lines []columnar.LinePredicate
	// fields are predicates on structured metadata. LogQL looks at the stream's
	// labels too, so one must be left out when a stream has a label of its name.
	fields []columnar.FieldPredicate
	// derived follow from filters of what parsers find.
	derived []derivedPredicate
	// exact means that the predicates keep precisely the rows that the pipeline
	// keeps, so that the store may stop at the query's limit.
	exact bool
}

// analyze finds the push-down of a pipeline.
func analyze(stages syntax.MultiStageExpr) pushdown {
	p := pushdown{exact: true}
	// Whether the line and the labels are still those of the stored row.
	line, lbls := true, true
	parsed := notParsed
	for _, stage := range stages {
		switch s := stage.(type) {
		case *syntax.LineFilterExpr:
			if !line || !p.addLineFilter(s) {
				p.exact = false
			}
		case *syntax.LabelFilterExpr:
			// A field may stand twice in a row, and the store then looks at both
			// values where LogQL looks at the last: good for skipping, not exact.
			p.exact = false
			if lbls {
				p.addLabelFilter(s.LabelFilterer)
			} else {
				p.derive(s.LabelFilterer, parsed)
			}
		case *syntax.LineFmtExpr, *syntax.DecolorizeExpr:
			line = false
		case *syntax.LineParserExpr:
			lbls = false
			switch {
			case s.Op == syntax.OpParserTypeUnpack:
				line, parsed = false, parsedUnknown
			case !line:
				parsed = parsedUnknown
			case s.Op == syntax.OpParserTypeJSON:
				parsed = max(parsed, parsedEscaped)
			default:
				parsed = max(parsed, parsedPlain)
			}
		case *syntax.LogfmtParserExpr, *syntax.LogfmtExpressionParserExpr, *syntax.JSONExpressionParserExpr:
			lbls = false
			if parsed = max(parsed, parsedEscaped); !line {
				parsed = parsedUnknown
			}
		case *syntax.DropLabelsExpr, *syntax.KeepLabelsExpr:
			lbls = false
		case *syntax.LabelFmtExpr:
			lbls, parsed = false, parsedUnknown
		default:
			// A stage that this version does not know may do anything.
			line, lbls, parsed, p.exact = false, false, parsedUnknown, false
		}
	}
	return p
}

// addLineFilter reports whether the whole filter was pushed with equal meaning.
// A filter is a chain of conjunctions (Left), each of which may be a chain of
// alternatives (Or).
func (p *pushdown) addLineFilter(f *syntax.LineFilterExpr) bool {
	exact := true
	for cur := f; cur != nil; cur = cur.Left {
		if cur.Match == "" && cur.Or == nil && cur.Op == "" && (cur.Ty == log.LineMatchEqual || cur.Ty == log.LineMatchRegexp) {
			continue // true for every line
		}
		pred, predExact, ok := linePredicate(cur)
		if ok {
			p.lines = append(p.lines, pred)
		}
		exact = exact && ok && predExact
	}
	return exact
}

func linePredicate(f *syntax.LineFilterExpr) (pred columnar.LinePredicate, exact, ok bool) {
	negative := f.Ty == log.LineMatchNotEqual || f.Ty == log.LineMatchNotRegexp
	var alts []alternative
	for leg := f; leg != nil; leg = leg.Or {
		as, ok := alternatives(leg)
		if !ok {
			return pred, false, false
		}
		alts = append(alts, as...)
	}
	if len(alts) == 1 && alts[0].literal {
		op := columnar.Contains
		if negative {
			op = columnar.NotContains
		}
		return columnar.LinePredicate{Op: op, Text: alts[0].text}, true, true
	}
	parts := make([]string, len(alts))
	exact = true
	for i, a := range alts {
		if negative && !a.exact {
			return pred, false, false // a weaker match makes a stronger exclusion
		}
		exact = exact && a.exact
		parts[i] = a.regexp()
	}
	op := columnar.Matches
	if negative {
		op = columnar.NotMatches
	}
	text := parts[0]
	if len(parts) > 1 {
		text = "(?:" + strings.Join(parts, ")|(?:") + ")"
	}
	if _, err := regexp.Compile(text); err != nil {
		return pred, false, false
	}
	return columnar.LinePredicate{Op: op, Text: text}, exact, true
}

// alternative is one way for a line to match.
type alternative struct {
	text    string
	literal bool // text is a substring, else a regular expression
	exact   bool // it holds for no line that LogQL's own filter refuses
}

func (a alternative) regexp() string {
	if a.literal {
		return regexp.QuoteMeta(a.text)
	}
	return a.text
}

// alternatives is what one leg of a line filter matches.
func alternatives(f *syntax.LineFilterExpr) ([]alternative, bool) {
	if f.Op != "" || f.Match == "" || !utf8.ValidString(f.Match) {
		return nil, false // an address filter, or nothing to look for
	}
	switch f.Ty {
	case log.LineMatchEqual, log.LineMatchNotEqual:
		return []alternative{{text: f.Match, literal: true, exact: true}}, true
	case log.LineMatchRegexp, log.LineMatchNotRegexp:
		return regexpAlternatives(f.Match)
	}
	return nil, false
}

// regexpAlternatives asks LogQL's own filter what it will evaluate: it replaces
// many expressions by substring searches, and not always by equivalent ones.
func regexpAlternatives(expr string) ([]alternative, bool) {
	filter, err := log.NewFilter(expr, log.LineMatchRegexp)
	if err != nil {
		return nil, false
	}
	m, ok := filter.(log.MatcherFilterer)
	if !ok {
		return nil, false
	}
	var in inspector
	if m.Matches(&in) || len(in.tests) == 0 && !in.regexp {
		return nil, false // it holds for lines whatever they contain
	}
	if in.regexp {
		if len(in.tests) > 0 {
			return nil, false
		}
		return []alternative{{text: expr, exact: true}}, true
	}
	var alts []alternative
	for _, t := range in.tests {
		a, ok := t.alternative()
		if !ok {
			return nil, false
		}
		alts = append(alts, a)
	}
	return alts, true
}

// inspector is a log.Checker that finds nothing and remembers what was looked
// for. The filters that replace a regular expression are disjunctions, so saying
// no to each leads through all of them.
type inspector struct {
	tests  []literalTest
	regexp bool
}

type literalTest struct {
	text     string
	fold     bool
	anchored bool
}

func (c *inspector) Test(text []byte, fold, equal bool) bool {
	c.tests = append(c.tests, literalTest{string(text), fold, equal})
	return false
}

func (c *inspector) TestRegex(*gregexp.Regexp) bool {
	c.regexp = true
	return false
}

// alternative gives folded text as an expression that is weaker than LogQL's
// search: that one lowers the letters of the line, which maps U+0130 to i, where
// an expression folds U+017F and U+212A to s and k.
func (t literalTest) alternative() (alternative, bool) {
	if t.text == "" || t.anchored || !utf8.ValidString(t.text) {
		return alternative{}, false
	}
	if !t.fold {
		return alternative{text: t.text, literal: true, exact: true}, true
	}
	for _, r := range t.text {
		if r >= utf8.RuneSelf {
			return alternative{}, false
		}
	}
	text := "(?i:" + regexp.QuoteMeta(t.text) + ")"
	if strings.ContainsRune(t.text, 'i') {
		text += `|\x{130}`
	}
	return alternative{text: text, exact: !strings.ContainsAny(t.text, "iks")}, true
}

// addLabelFilter pushes comparisons of strings, alone or joined by "and". The
// numeric ones keep rows whose value is no number, with an error, so that they
// cannot be pushed.
func (p *pushdown) addLabelFilter(f log.LabelFilterer) {
	if both, ok := f.(*log.BinaryLabelFilter); ok {
		if both.And {
			p.addLabelFilter(both.Left)
			p.addLabelFilter(both.Right)
		}
		return
	}
	m := matcherOf(f)
	if m == nil {
		return
	}
	pred := columnar.FieldPredicate{Name: m.Name, Text: m.Value}
	switch m.Type {
	case labels.MatchEqual:
		pred.Op = columnar.FieldEqual
	case labels.MatchNotEqual:
		pred.Op = columnar.FieldNotEqual
	case labels.MatchRegexp:
		text, ok := fieldExpression(f, m)
		if !ok {
			return
		}
		pred.Op, pred.Text = columnar.FieldMatches, text
	default:
		return // a weaker match would make a stronger exclusion
	}
	p.fields = append(p.fields, pred)
}

// matcherOf is the matcher of a filter that compares strings, or nil.
func matcherOf(f log.LabelFilterer) (m *labels.Matcher) {
	switch f := f.(type) {
	case *log.StringLabelFilter:
		m = f.Matcher
	case *log.LineFilterLabelFilter:
		m = f.Matcher
	}
	// Names with __ are LogQL's own, and a name with the suffix may be the engine's
	// new name for a field that shares its name with a label.
	if m == nil || strings.HasPrefix(m.Name, "__") || strings.HasSuffix(m.Name, extractedSuffix) || !utf8.ValidString(m.Value) {
		return nil
	}
	return m
}

// fieldExpression is an anchored expression that matches at least what the
// filter's does: LogQL simplifies those in ways of its own, and its dot matches no
// line break.
func fieldExpression(f log.LabelFilterer, m *labels.Matcher) (string, bool) {
	tests, isRegexp, ok := testsOf(f)
	if !ok {
		return "", false
	}
	if isRegexp {
		return m.Value, true
	}
	parts := make([]string, len(tests))
	for i, t := range tests {
		if t.anchored && !t.fold {
			parts[i] = regexp.QuoteMeta(t.text)
			continue
		}
		t.anchored = false
		a, ok := t.alternative()
		if !ok {
			return "", false
		}
		parts[i] = ".*(?:" + a.regexp() + ").*"
	}
	return strings.Join(parts, "|"), true
}

// testsOf asks a filter of strings for what it looks for: one of the tests, or an
// expression, must hold for what it keeps.
func testsOf(f log.LabelFilterer) (tests []literalTest, isRegexp, ok bool) {
	s, ok := f.(*log.LineFilterLabelFilter)
	if !ok {
		return nil, false, false
	}
	filter, ok := s.Filter.(log.MatcherFilterer)
	if !ok {
		return nil, false, false
	}
	var in inspector
	if filter.Matches(&in) || len(in.tests) == 0 && !in.regexp || len(in.tests) > 0 && in.regexp {
		return nil, false, false // it holds whatever the value is, or is of several kinds
	}
	return in.tests, in.regexp, true
}

// parsedAs says what a value that a parser finds looks like in the line.
type parsedAs uint8

const (
	notParsed     parsedAs = iota
	parsedPlain            // as it is
	parsedEscaped          // as it is, unless the line has a backslash
	parsedUnknown          // the line that was parsed is not the stored one, or labels were made up
)

// derivedPredicate holds for the lines that a filter of parsed labels keeps, if
// the labels of these names come from nowhere but the line.
type derivedPredicate struct {
	names []string
	line  columnar.LinePredicate
}

// derive adds what a filter of labels asks of the line: one that a parser must
// find a value in contains the value.
func (p *pushdown) derive(f log.LabelFilterer, as parsedAs) {
	if as != parsedPlain && as != parsedEscaped {
		return
	}
	if both, ok := f.(*log.BinaryLabelFilter); ok && both.And {
		p.derive(both.Left, as)
		p.derive(both.Right, as)
		return
	}
	names, texts, ok := wanted(f)
	if !ok {
		return
	}
	var alts []string
	for _, text := range texts {
		if as == parsedEscaped {
			// Invalid bytes become spaces, and so does the replacement character.
			text = longestField(text)
		}
		if text == "" {
			return
		}
		alts = append(alts, regexp.QuoteMeta(text))
	}
	if as == parsedEscaped {
		alts = append(alts, `\\`)
	}
	pred := columnar.LinePredicate{Op: columnar.Matches, Text: "(?:" + strings.Join(alts, ")|(?:") + ")"}
	if len(alts) == 1 {
		pred = columnar.LinePredicate{Op: columnar.Contains, Text: texts[0]}
	}
	p.derived = append(p.derived, derivedPredicate{names: names, line: pred})
}

// wanted is the names of the labels that a filter looks at and texts of which the
// value of one of them must contain one.
func wanted(f log.LabelFilterer) (names, texts []string, ok bool) {
	if both, ok := f.(*log.BinaryLabelFilter); ok {
		if both.And {
			return nil, nil, false
		}
		names, texts, ok = wanted(both.Left)
		if !ok {
			return nil, nil, false
		}
		moreNames, moreTexts, ok := wanted(both.Right)
		return append(names, moreNames...), append(texts, moreTexts...), ok
	}
	m := matcherOf(f)
	if m == nil || m.Type != labels.MatchEqual && m.Type != labels.MatchRegexp {
		return nil, nil, false
	}
	tests, isRegexp, ok := testsOf(f)
	if !ok || isRegexp {
		return nil, nil, false
	}
	for _, t := range tests {
		if t.text == "" || t.fold || !utf8.ValidString(t.text) {
			return nil, nil, false
		}
		texts = append(texts, t.text)
	}
	return []string{m.Name}, texts, true
}

// longestField is the longest part of a text without spaces and replacement
// characters.
func longestField(text string) (longest string) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == utf8.RuneError }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

const extractedSuffix = "_extracted"

// sampleColumns is what a metric query needs of each row: the line only if
// something looks at it, and of the structured metadata only what it names when
// the result is grouped by names.
func sampleColumns(expr syntax.SampleExpr) columnar.Columns {
	all := columnar.Columns{Line: true, AllFields: true}
	r, _, ok := rangeAggregation(expr)
	if !ok {
		return all
	}
	cols := columnar.Columns{Line: r.Operation == syntax.OpRangeTypeBytes || r.Operation == syntax.OpRangeTypeBytesRate}
	for _, stage := range stagesOf(r.Left.Left) {
		switch s := stage.(type) {
		case *syntax.LineFilterExpr, *syntax.LogfmtParserExpr:
			cols.Line = true
		case *syntax.LineParserExpr:
			if s.Op == syntax.OpParserTypeUnpack {
				return all
			}
			cols.Line = true
		case *syntax.LabelFilterExpr, *syntax.DropLabelsExpr, *syntax.KeepLabelsExpr:
		default:
			return all
		}
	}
	cols.Fields, cols.AllFields = neededLabels(expr)
	return cols
}

// rangeAggregation is the innermost aggregation of what the engine asks for: one
// over a range, alone or within a sum that lends it its grouping.
func rangeAggregation(expr syntax.SampleExpr) (*syntax.RangeAggregationExpr, *syntax.Grouping, bool) {
	switch e := expr.(type) {
	case *syntax.RangeAggregationExpr:
		return e, e.Grouping, true
	case *syntax.VectorAggregationExpr:
		r, ok := e.Left.(*syntax.RangeAggregationExpr)
		if !ok || e.Operation != syntax.OpTypeSum || r.Grouping != nil {
			return nil, nil, false
		}
		switch r.Operation {
		case syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate, syntax.OpRangeTypeSum, syntax.OpRangeTypeRate, syntax.OpRangeTypeCount:
			return r, e.Grouping, true
		}
	}
	return nil, nil, false
}

// stagesOf is the pipeline of a selector.
func stagesOf(sel syntax.LogSelectorExpr) syntax.MultiStageExpr {
	if p, ok := sel.(*syntax.PipelineExpr); ok {
		return p.MultiStages
	}
	return nil
}
