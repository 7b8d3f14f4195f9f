package bench

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// answer is what a query answered, reduced to what can be compared between stores of
// different makers.
type answer struct {
	// Rows is the number of lines, spans, traces or values.
	Rows int
	// Groups are the sums of the samples of each series, by the label that the query
	// groups by; nil for an answer of another kind.
	Groups map[string]float64
	// Digest identifies a set of lines or ids, in whatever order they came; 0 if the
	// answer has none.
	Digest uint64
}

// digestLine is a line's part of a digest. Parts are added, so that order is of no
// matter and a repeated line counts.
func digestLine(ts int64, line string) uint64 { return mix(xxhash.Sum64String(line) ^ mix(uint64(ts))) }

// digestID is the part of a value or an id.
func digestID(id string) uint64 { return mix(xxhash.Sum64String(id)) }

// tolerance is how far sums of samples may lie apart, relatively: stores add floats
// in different orders.
const tolerance = 1e-6

// differs says how an answer differs from what was wanted; "" if it does not.
func (got answer) differs(want answer) string {
	if (got.Groups == nil) != (want.Groups == nil) {
		return "another kind of answer"
	}
	if want.Groups != nil {
		return differingGroup(got.Groups, want.Groups)
	}
	if got.Rows != want.Rows {
		return fmt.Sprintf("%d rows, want %d", got.Rows, want.Rows)
	}
	if got.Digest != 0 && want.Digest != 0 && got.Digest != want.Digest {
		return fmt.Sprintf("%d rows as expected, but not the expected ones", got.Rows)
	}
	return ""
}

func differingGroup(got, want map[string]float64) string {
	names := slices.Sorted(maps.Keys(want))
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	count, first := 0, ""
	for _, name := range names {
		a, inGot := got[name]
		b, inWant := want[name]
		if inGot == inWant && math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b), 1) {
			continue
		}
		// A series whose samples are all 0 and one that is left out mean the same.
		if a == 0 && b == 0 {
			continue
		}
		if count++; count == 1 {
			first = fmt.Sprintf("%q is %v, want %v", name, a, b)
		}
	}
	switch count {
	case 0:
		return ""
	case 1:
		return first
	default:
		return fmt.Sprintf("%s, and %d more groups differ", first, count-1)
	}
}

// newest gathers the digest of the last few lines of those it is given by time.
type newest struct {
	limit int
	ring  []logDigest
	seen  int
}

type logDigest struct {
	ts     int64
	digest uint64
}

func (n *newest) add(ts int64, line string) {
	d := logDigest{ts, digestLine(ts, line)}
	if len(n.ring) <= n.limit {
		n.ring = append(n.ring, d)
	} else {
		n.ring[n.seen%(n.limit+1)] = d
	}
	n.seen++
}

// answer is the newest lines, without a digest if it is not determined which ones
// they are, because the last of them has the time of the first that was left out.
func (n *newest) answer() answer {
	sorted := slices.SortedStableFunc(slices.Values(n.ring), func(a, b logDigest) int { return cmp.Compare(b.ts, a.ts) })
	a := answer{Rows: min(n.seen, n.limit)}
	if len(sorted) > n.limit {
		if sorted[n.limit].ts == sorted[n.limit-1].ts {
			return a
		}
		sorted = sorted[:n.limit]
	}
	for _, d := range sorted {
		a.Digest += d.digest
	}
	return a
}
