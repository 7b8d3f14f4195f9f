package spanmetrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/storage"
)

// example is a span that stands for those in a bucket. Its ids are hexadecimal, and
// arrays, so that noting one for every span allocates nothing; a trace of zero bytes
// is none.
type example struct {
	trace [32]byte
	span  [16]byte
	value float64
	at    int64 // Unix milliseconds
}

func newExample(trace, span string, at int64) (e example) {
	copy(e.trace[:], trace)
	copy(e.span[:], span)
	e.at = at
	return e
}

// histogram counts durations in one unit. Its references are the metrics store's
// for the series of each bucket, then infinity, sum and count.
type histogram struct {
	counts   []uint64 // by bucket, not cumulative; the last is beyond all bounds
	sum      float64
	examples []example // the newest by bucket since the last flush
	refs     []storage.SeriesRef
}

// bounds are the upper bounds of buckets in one unit, and how labels spell them.
type bounds struct {
	unit   time.Duration
	values []float64
	texts  []string // with +Inf at the end
}

func newBounds(durations []time.Duration, unit time.Duration) *bounds {
	b := &bounds{unit: unit}
	for _, d := range durations {
		v := float64(d) / float64(unit)
		b.values = append(b.values, v)
		b.texts = append(b.texts, formatBound(v))
	}
	b.texts = append(b.texts, "+Inf")
	return b
}

// formatBound spells 2 as 2.0: so Prometheus writes the bounds of histograms that
// it takes in.
func formatBound(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !slices.ContainsFunc([]rune(s), func(r rune) bool { return r == '.' || r == 'e' }) {
		s += ".0"
	}
	return s
}

func (b *bounds) newHistogram() *histogram {
	n := len(b.texts)
	return &histogram{counts: make([]uint64, n), examples: make([]example, n), refs: make([]storage.SeriesRef, n+2)}
}

func (b *bounds) observe(h *histogram, d time.Duration, e example) {
	v := max(float64(d)/float64(b.unit), 0)
	i, _ := slices.BinarySearch(b.values, v) // a bound belongs to its bucket
	h.counts[i]++
	h.sum += v
	e.value = v
	h.examples[i] = e
}
