package columnar_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// gramLines are lines of which each block has words and numbers that the others
// have not.
func gramLines(random *rand.Rand) []string {
	var lines []string
	for i := range 1600 {
		lines = append(lines, fmt.Sprintf("%d GET /api/v1/word%c%c%c/%x %d task-%d \xff took %dms",
			i, 'g'+i/40%20, 'g'+i/80%20, 'g'+i/160%20, random.Uint64(), 200+100*(i/500), i/100, random.IntN(1000)))
	}
	return lines
}

func storeGramLines(t *testing.T, dir string, lines []string) {
	s := open(t, dir, func(o *columnar.Options) { o.Config = smallBlocks })
	st := columnar.Stream{Labels: labels.FromStrings("app", "web")}
	for i, l := range lines {
		st.Rows = append(st.Rows, columnar.Row{Timestamp: int64(i), Line: l})
	}
	_, err := s.Append(context.Background(), columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{st}})
	require.NoError(t, err)
	require.NoError(t, s.Flush(context.Background()))
	require.NoError(t, s.Close())
}

// countLines returns how many lines satisfy the predicates, and what it took.
func countLines(t *testing.T, s *columnar.Store, predicates ...columnar.LinePredicate) (int, columnar.Stats) {
	counts, stats, err := s.Count(context.Background(), columnar.CountQuery{Query: columnar.Query{Table: columnar.Logs, To: 1 << 62, Lines: predicates}})
	require.NoError(t, err)
	n := 0
	for _, c := range counts {
		n += int(c.Rows)
	}
	return n, stats
}

// TestGramSearch compares the counts of lines that contain pieces of lines, and
// pieces that were changed, with what looking into each line says.
func TestGramSearch(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 5))
	lines := gramLines(random)
	dir := t.TempDir()
	storeGramLines(t, dir, lines)
	s := open(t, dir, func(o *columnar.Options) { o.Config = smallBlocks })
	defer s.Close()
	piece := func() string {
		line := lines[random.IntN(len(lines))]
		from := random.IntN(len(line) - 3)
		text := []byte(line[from:][:1+random.IntN(min(20, len(line)-from))])
		if random.IntN(3) == 0 {
			text[random.IntN(len(text))] = "ag0 "[random.IntN(4)]
		}
		return string(text)
	}
	skipped := int64(0)
	for range 400 {
		a, b := piece(), piece()
		want := func(holds func(string) bool) (n int) {
			for _, l := range lines {
				if holds(l) {
					n++
				}
			}
			return n
		}
		hasA, hasB := func(l string) bool { return strings.Contains(l, a) }, func(l string) bool { return strings.Contains(l, b) }
		got, stats := countLines(t, s, columnar.LinePredicate{Op: columnar.Contains, Text: a})
		require.Equal(t, want(hasA), got, "%q", a)
		skipped += stats.BlocksSkipped
		got, _ = countLines(t, s, columnar.LinePredicate{Op: columnar.Contains, Text: a}, columnar.LinePredicate{Op: columnar.NotContains, Text: b})
		require.Equal(t, want(func(l string) bool { return hasA(l) && !hasB(l) }), got, "%q and not %q", a, b)
		if strings.ToValidUTF8(a+b, "") == a+b {
			either := fmt.Sprintf("(%s|%s)", regexp.QuoteMeta(a), regexp.QuoteMeta(b))
			got, _ = countLines(t, s, columnar.LinePredicate{Op: columnar.Matches, Text: either})
			require.Equal(t, want(func(l string) bool { return hasA(l) || hasB(l) }), got, "%s", either)
		}
	}
	require.Positive(t, skipped)
	got, stats := countLines(t, s, columnar.LinePredicate{Op: columnar.Contains, Text: "nowhere to be found"})
	require.Zero(t, got)
	require.Positive(t, stats.BlocksTotal)
	require.Equal(t, stats.BlocksTotal, stats.BlocksSkipped)
}

// A damaged index of grams costs time, never a row.
func TestFlippedBitInGramIndex(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	lines := gramLines(random)
	dir := t.TempDir()
	storeGramLines(t, dir, lines)
	file := onlyFile(t, filepath.Join(dir, "parts", "*.part"))
	damaged := 0
	flipped(t, dir, file, 80, func(t *testing.T, s *columnar.Store, reg *prometheus.Registry, offset int64) {
		before := metric(t, reg, corruptions, "where", "index")
		for i := 0; i < len(lines); i += 100 {
			got, stats := countLines(t, s, columnar.LinePredicate{Op: columnar.Contains, Text: lines[i][:30]})
			if stats.BlocksLost == 0 {
				require.Equal(t, 1, got, "offset %d, %q", offset, lines[i])
			}
		}
		if metric(t, reg, corruptions, "where", "index") > before {
			damaged++
		}
	})
	require.Positive(t, damaged)
}
