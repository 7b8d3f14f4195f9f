package columnar

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// The literals of a regular expression are what a filter looks for before it runs
// the expression: a match of `Failed!.*tripId: [DG]13` contains "Failed!" and one of
// "tripId: D13" and "tripId: G13".

const (
	// maxClauseLiterals bounds the alternatives of a clause, each of which is searched
	// for; maxClauses bounds the clauses.
	maxClauseLiterals = 8
	maxClauses        = 4
	// maxLiteral bounds one literal.
	maxLiteral = 256
)

// requiredLiterals returns clauses such that every match of the expression contains
// one literal of each. whole means that a text which satisfies them is a match.
func requiredLiterals(expression string) (clauses [][]string, whole bool) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	x := literalsOf(re.Simplify())
	if x.exact != nil {
		if slices.Contains(x.exact, "") {
			return nil, false
		}
		return [][]string{withoutSuperstrings(x.exact)}, true
	}
	clauses = x.clauses
	for i := range clauses {
		clauses[i] = withoutSuperstrings(clauses[i])
	}
	// The most telling are those whose shortest literal is longest; of these the
	// cheapest come first, for the others are looked for only if they are there.
	slices.SortStableFunc(clauses, func(a, b []string) int { return shortest(b) - shortest(a) })
	if len(clauses) > maxClauses {
		clauses = clauses[:maxClauses]
	}
	slices.SortStableFunc(clauses, func(a, b []string) int { return len(a) - len(b) })
	return clauses, false
}

// literals is what is known of the matches of an expression: all of them, if exact
// is not nil; otherwise that each contains a literal of every clause.
type literals struct {
	exact   []string
	clauses [][]string
}

// unknown is an expression whose matches may be anything.
var unknown = literals{}

func literalsOf(re *syntax.Regexp) literals {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return literals{exact: []string{""}}
	case syntax.OpLiteral:
		return ofLiteral(re)
	case syntax.OpCharClass:
		return ofClass(re)
	case syntax.OpCapture:
		return literalsOf(re.Sub[0])
	case syntax.OpPlus:
		return atLeastOnce(literalsOf(re.Sub[0]))
	case syntax.OpRepeat:
		if re.Min > 0 {
			return atLeastOnce(literalsOf(re.Sub[0]))
		}
	case syntax.OpQuest:
		if x := literalsOf(re.Sub[0]); x.exact != nil && len(x.exact) < maxClauseLiterals {
			return literals{exact: append([]string{""}, x.exact...)}
		}
	case syntax.OpConcat:
		return ofConcat(re)
	case syntax.OpAlternate:
		return ofAlternate(re)
	}
	return unknown
}

func ofLiteral(re *syntax.Regexp) literals {
	// A replacement character in the expression also matches invalid UTF-8.
	if re.Flags&syntax.FoldCase != 0 || len(re.Rune) > maxLiteral || slices.Contains(re.Rune, '\uFFFD') {
		return unknown
	}
	return literals{exact: []string{string(re.Rune)}}
}

func ofClass(re *syntax.Regexp) literals {
	var out []string
	for i := 0; i < len(re.Rune); i += 2 {
		for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
			if len(out) == maxClauseLiterals || r == '\uFFFD' {
				return unknown
			}
			out = append(out, string(r))
		}
	}
	if out == nil {
		return unknown // matches nothing, which is not worth a case
	}
	return literals{exact: out}
}

// atLeastOnce is for matches that contain one of x's, and may be longer.
func atLeastOnce(x literals) literals {
	return literals{clauses: x.required()}
}

// required turns exact matches into a clause.
func (x literals) required() [][]string {
	if x.exact == nil {
		return x.clauses
	}
	if slices.Contains(x.exact, "") {
		return nil
	}
	return [][]string{x.exact}
}

// ofConcat joins neighbours as long as their matches are known and few.
func ofConcat(re *syntax.Regexp) literals {
	out := literals{exact: []string{""}}
	run := []string{""} // the matches of the neighbours so far
	for _, sub := range re.Sub {
		x := literalsOf(sub)
		if x.exact != nil && len(run)*len(x.exact) <= maxClauseLiterals && longest(run)+longest(x.exact) <= maxLiteral {
			joined := make([]string, 0, len(run)*len(x.exact))
			for _, a := range run {
				for _, b := range x.exact {
					joined = append(joined, a+b)
				}
			}
			run = joined
			continue
		}
		out.exact = nil
		out.clauses = append(out.clauses, literals{exact: run}.required()...)
		run = []string{""}
		if x.exact != nil {
			run = x.exact
		} else {
			out.clauses = append(out.clauses, x.clauses...)
		}
	}
	if out.exact != nil {
		return literals{exact: run}
	}
	out.clauses = append(out.clauses, literals{exact: run}.required()...)
	return out
}

// ofAlternate needs something of every alternative.
func ofAlternate(re *syntax.Regexp) literals {
	exact := true
	var all []string
	for _, sub := range re.Sub {
		x := literalsOf(sub)
		if x.exact == nil {
			exact = false
			if len(x.clauses) == 0 {
				return unknown
			}
			x.exact = slices.MaxFunc(x.clauses, func(a, b []string) int { return shortest(a) - shortest(b) })
		}
		if all = append(all, x.exact...); len(all) > maxClauseLiterals {
			return unknown
		}
	}
	if exact {
		return literals{exact: all}
	}
	return literals{clauses: literals{exact: all}.required()}
}

func shortest(literals []string) int {
	n := maxLiteral
	for _, l := range literals {
		n = min(n, len(l))
	}
	return n
}

func longest(literals []string) int {
	n := 0
	for _, l := range literals {
		n = max(n, len(l))
	}
	return n
}

// withoutSuperstrings drops alternatives that contain another one.
func withoutSuperstrings(literals []string) []string {
	var out []string
	for i, l := range literals {
		covered := false
		for j, o := range literals {
			covered = covered || i != j && strings.Contains(l, o) && (l != o || j < i)
		}
		if !covered {
			out = append(out, l)
		}
	}
	return out
}
