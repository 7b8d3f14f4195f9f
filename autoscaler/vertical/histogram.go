package vertical

import "math"

// histogramBuckets times ln(histogramGrowth) is the range below the highest usage that still counts that a histogram resolves: a
// factor of 17. What is lower is one bucket with a mean of its own; no request is set by it.
const (
	histogramBuckets = 72
	histogramGrowth  = 1.035
)

// histogram counts usage in logarithmic buckets, with weights that halve every half-life. Its range follows the usage: bucket i holds
// values up to growth^(bottom+i+1).
type histogram struct {
	bottom int32
	counts [histogramBuckets]uint16
	// below is the weight of everything under the range, belowSum its weighted sum.
	below, belowSum float32
	// unit is the weight of a sample that is taken now.
	unit float32
}

var lnGrowth = math.Log(histogramGrowth)

func bucketOf(v float64) int32 { return int32(math.Floor(math.Log(v) / lnGrowth)) }

// age lets a time pass; halfLife is in seconds.
func (h *histogram) age(seconds, halfLife float64) {
	unit, halvings := grown(h.unit, seconds/halfLife)
	h.unit = unit
	for range halvings {
		h.halve()
	}
}

func (h *histogram) halve() {
	halve(h.counts[:])
	h.below /= 2
	h.belowSum /= 2
}

// add counts a positive value.
func (h *histogram) add(v float64) {
	if h.unit == 0 {
		h.unit = leastUnit
	}
	b := bucketOf(v)
	switch {
	case h.empty():
		h.bottom = b - histogramBuckets/2
	case b >= h.bottom+histogramBuckets:
		h.raise(b - histogramBuckets + 1)
	case b < h.bottom:
		h.lower(b)
	}
	if b < h.bottom {
		h.below += h.unit
		h.belowSum += h.unit * float32(v)
		return
	}
	for !count(&h.counts[b-h.bottom], h.unit) {
		h.halve()
		h.unit = max(h.unit/2, 1)
	}
}

func (h *histogram) empty() bool { return h.total() == 0 }

func (h *histogram) total() float32 {
	sum := h.below
	for _, w := range h.counts {
		sum += float32(w)
	}
	return sum
}

// raise moves the range up so that it begins at bottom.
func (h *histogram) raise(bottom int32) {
	n := int(bottom - h.bottom)
	for i := 0; i < n && i < histogramBuckets; i++ {
		h.below += float32(h.counts[i])
		h.belowSum += float32(h.counts[i]) * float32(h.middle(i))
	}
	if n >= histogramBuckets {
		h.counts = [histogramBuckets]uint16{}
	} else {
		copy(h.counts[:], h.counts[n:])
		clear(h.counts[histogramBuckets-n:])
	}
	h.bottom = bottom
}

// lower moves the range down to b as far as the buckets at its top are as good as empty.
func (h *histogram) lower(b int32) {
	spare, gone := 0, float32(0)
	limit := h.total() * 1e-4
	for spare < histogramBuckets && gone+float32(h.counts[histogramBuckets-1-spare]) <= limit {
		gone += float32(h.counts[histogramBuckets-1-spare])
		spare++
	}
	n := min(int(h.bottom-b)+histogramBuckets/4, spare)
	if n <= 0 {
		return
	}
	if n >= histogramBuckets {
		h.counts = [histogramBuckets]uint16{}
	} else {
		copy(h.counts[n:], h.counts[:histogramBuckets-n])
		clear(h.counts[:n])
	}
	h.bottom -= int32(n)
}

func (h *histogram) middle(i int) float64 {
	return math.Exp((float64(h.bottom) + float64(i) + 0.5) * lnGrowth)
}

// quantile is the value that the share p of the weight does not exceed, 0 when nothing is known.
func (h *histogram) quantile(p float64) float64 {
	total := h.total()
	if total == 0 {
		return 0
	}
	sum := h.below
	rank := float32(p) * total
	if sum >= rank && h.below > 0 {
		return float64(h.belowSum / h.below)
	}
	last := 0
	for i, w := range h.counts {
		if w == 0 {
			continue
		}
		sum += float32(w)
		last = i
		if sum >= rank {
			break
		}
	}
	return h.middle(last)
}

// loadQuantile is the load-adjusted percentile that Autopilot describes: values count by their weight times themselves, so that it
// is the level below which the share p of the load was served.
func (h *histogram) loadQuantile(p float64) float64 {
	load := float64(h.belowSum)
	level := h.middle(0)
	for _, w := range h.counts {
		load += float64(w) * level
		level *= histogramGrowth
	}
	if load == 0 {
		return 0
	}
	sum, last := float64(h.belowSum), 0.0
	if h.below > 0 {
		last = float64(h.belowSum / h.below)
	}
	level = h.middle(0)
	for _, w := range h.counts {
		if sum >= p*load {
			break
		}
		if w > 0 {
			last = level
			sum += float64(w) * level
		}
		level *= histogramGrowth
	}
	return last
}
