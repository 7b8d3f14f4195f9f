package logs

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
)

// The linked version of LogQL takes some queries for others than they say, where
// the language has since been settled (the public test scripts are the measure):
//
//   - ip() within an "or" of line filters compares the address as plain text, and
//     is forgotten when another alternative follows it;
//   - hexadecimal, octal and binary literals in label filters are read as 0;
//   - approx_topk answers nothing without sharding, and never ends over a range.
//
// They are corrected here, outside of the library: by refusing the query, or by
// replacing parts of what was parsed.

// parse is syntax.ParseExpr with the corrections that need the text. The others
// are made by correctPipelines once the push-down has been taken.
func parse(text string) (syntax.Expr, error) {
	expr, err := syntax.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	if lit, ok := nonDecimalLiteral(text); ok {
		_, err := strconv.ParseFloat(lit, 64)
		return nil, logqlmodel.NewParseError(fmt.Sprintf("unable to parse literal as a float: %v", err), 0, 0)
	}
	if marked, ok := markIPAlternatives(text); ok {
		if expr, err = syntax.ParseExpr(marked); err != nil {
			return nil, err
		}
		unmarkIPAlternatives(expr)
	}
	expr.Walk(func(e syntax.Expr) bool {
		if f, ok := e.(*syntax.LineFilterExpr); ok && hasIPAlternative(f) {
			if _, stageErr := (ipAlternatives{f}).Stage(); stageErr != nil && err == nil {
				err = logqlmodel.NewStageError(f.String(), stageErr)
			}
		}
		return err == nil
	})
	return expr, err
}

// correctApproxTopK replaces the approximation by the exact aggregation, which is
// what it becomes with few enough series.
func correctApproxTopK(expr syntax.Expr, instant bool) (err error) {
	expr.Walk(func(e syntax.Expr) bool {
		v, ok := e.(*syntax.VectorAggregationExpr)
		if !ok || v.Operation != syntax.OpTypeApproxTopK {
			return true
		}
		if !instant {
			err = logqlmodel.NewParseError(syntax.OpTypeApproxTopK+" is only supported on instant queries", 0, 0)
		}
		v.Operation = syntax.OpTypeTopK
		return true
	})
	return err
}

// ipMark begins a string that stands for an ip() alternative while it is parsed:
// the grammar takes chains of strings only.
const ipMark = "\x00ip\x00"

var ipOperand = regexp.MustCompile("^ip\\s*\\(\\s*(\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)\\s*\\)")

// markIPAlternatives replaces each ip("…") that follows an "or": nothing but a
// chain of line filters has such.
func markIPAlternatives(text string) (string, bool) {
	var b strings.Builder
	done, word := 0, ""
	eachWord(text, func(i int, w string) {
		if loc := ipOperand.FindStringSubmatchIndex(text[i:]); w == "ip" && word == "or" && loc != nil {
			if pattern, err := strconv.Unquote(text[i+loc[2] : i+loc[3]]); err == nil {
				b.WriteString(text[done:i])
				b.WriteString(strconv.Quote(ipMark + pattern))
				done = i + loc[1]
			}
		}
		word = w
	})
	if done == 0 {
		return text, false
	}
	b.WriteString(text[done:])
	return b.String(), true
}

func unmarkIPAlternatives(expr syntax.Expr) {
	expr.Walk(func(e syntax.Expr) bool {
		if f, ok := e.(*syntax.LineFilterExpr); ok {
			for cur := f; cur != nil; cur = cur.Left {
				for leg := cur; leg != nil; leg = leg.Or {
					if pattern, ok := strings.CutPrefix(leg.Match, ipMark); ok {
						leg.Op, leg.Match = syntax.OpFilterIP, pattern
					}
				}
			}
		}
		return true
	})
}

// eachWord visits the words of a query, a string being one too (as its quote),
// and passes over comments.
func eachWord(text string, visit func(i int, word string)) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '`':
			visit(i, text[i:i+1])
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && c == '"' {
					i++
				}
			}
		case c == '#':
			for i++; i < len(text) && text[i] != '\n'; i++ {
			}
		case isWordByte(c):
			start := i
			for i+1 < len(text) && isWordByte(text[i+1]) {
				i++
			}
			visit(start, text[start:i+1])
		}
	}
}

var nonDecimal = regexp.MustCompile(`^0[xXoObB][0-9a-fA-F_]+$`)

// nonDecimalLiteral finds a number that is written in another base.
func nonDecimalLiteral(text string) (lit string, found bool) {
	eachWord(text, func(_ int, w string) {
		if !found && nonDecimal.MatchString(w) {
			lit, found = w, true
		}
	})
	return lit, found
}

func isWordByte(c byte) bool {
	return c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// correctPipelines replaces the stages within expr that need it, among them those
// that run templates, which end with ctx. The push-down
// must have been taken from expr before.
func correctPipelines(ctx context.Context, expr syntax.Expr) (err error) {
	expr.Walk(func(e syntax.Expr) bool {
		if p, ok := e.(*syntax.PipelineExpr); ok {
			if err == nil {
				err = boundedFormats(ctx, p.MultiStages)
			}
			for i, stage := range p.MultiStages {
				if f, ok := stage.(*syntax.LineFilterExpr); ok && hasIPAlternative(f) {
					p.MultiStages[i] = ipAlternatives{f}
				}
			}
		}
		return true
	})
	return err
}

func hasIPAlternative(f *syntax.LineFilterExpr) bool {
	for cur := f; cur != nil; cur = cur.Left {
		for leg := cur; cur.Or != nil && leg != nil; leg = leg.Or {
			if leg.Op == syntax.OpFilterIP {
				return true
			}
		}
	}
	return false
}

// ipAlternatives is a line filter whose alternatives may be addresses.
type ipAlternatives struct{ *syntax.LineFilterExpr }

// Stage replaces that of the expression.
func (f ipAlternatives) Stage() (log.Stage, error) {
	var all []log.Filterer
	for cur := f.LineFilterExpr; cur != nil; cur = cur.Left {
		var either log.Filterer
		for leg := cur; leg != nil; leg = leg.Or {
			one, err := lineFilter(leg)
			if err != nil {
				return nil, err
			}
			if either == nil {
				either = one
			} else {
				either = anyFilter{either, one}
			}
		}
		all = append(all, either)
	}
	return log.NewAndFilters(all).ToStage(), nil
}

func lineFilter(f *syntax.LineFilterExpr) (log.Filterer, error) {
	if f.Op == syntax.OpFilterIP {
		return log.NewIPLineFilter(f.Match, f.Ty)
	}
	return log.NewFilter(f.Match, f.Ty)
}

// anyFilter holds when one of two filters does.
type anyFilter struct{ a, b log.Filterer }

func (f anyFilter) Filter(line []byte) bool { return f.a.Filter(line) || f.b.Filter(line) }

func (f anyFilter) ToStage() log.Stage { return anyStage{f} }

type anyStage struct{ f anyFilter }

func (s anyStage) Process(_ int64, line []byte, _ *log.LabelsBuilder) ([]byte, bool) {
	return line, s.f.Filter(line)
}

func (anyStage) RequiredLabelNames() []string { return nil }
