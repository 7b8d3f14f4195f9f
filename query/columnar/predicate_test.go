package columnar

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// An expression that stands for a few texts is a search for each of them.
func TestTexts(t *testing.T) {
	for expression, want := range map[string][]string{
		`ERROR| 500 `:          {"ERROR", " 500 "},
		`(?:ERROR)|(?: 500 )`:  {"ERROR", " 500 "},
		`abc|abd`:              {"abc", "abd"},
		`a[xy](b|c)`:           {"axb", "ayb", "axc", "ayc"},
		`a|`:                   nil,
		`a|b.`:                 nil,
		`(?i)a|b`:              {"A", "B", "a", "b"},
		`(?i)abc|x`:            nil,
		`[a-z]x`:               nil,
		`^a|b`:                 nil,
		`\x{FFFD}|b`:           nil,
		`[ab][ab][ab][ab][ab]`: nil,
	} {
		clauses, whole := requiredLiterals(expression)
		require.Equal(t, want != nil, whole, expression)
		if whole {
			require.Len(t, clauses, 1, expression)
			require.ElementsMatch(t, want, clauses[0], expression)
		}
	}
}

func FuzzLinePredicate(f *testing.F) {
	f.Add(`ERROR| 500 `, "GET / 500 12")
	f.Add(`a[xy](b|c)`, "zayc")
	f.Add(`(abc|abd)e?`, "\xffabd")
	f.Fuzz(func(t *testing.T, expression, line string) {
		p, err := compileLine(LinePredicate{Op: Matches, Text: expression})
		if err != nil {
			return
		}
		require.Equal(t, regexp.MustCompile(expression).MatchString(line), p.holds(line), "%q in %q", expression, line)
	})
}
