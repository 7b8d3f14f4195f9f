package vertical

import "math"

// histogramBuckets times ln(histogramGrowth) is the range below the highest usage that still counts that a histogram resolves: a
// factor of 17. What is lower is one bucket with a mean of its own; no request is set by it.
const (
	histogramBuckets = 72
	histogramGrowth  = 1.035
	// histogramRescale is the weight of a sample at which all weights are divided by it, so that float32 holds their sums.
	histogramRescale = 1 << 24
)

// histogram counts usage in logarithmic buckets, with weights that halve every halfLife seconds. Its range follows the usage: bucket
// i holds values up to growth^(bottom+i+1).
type histogram struct {
	bottom int32
	weight [histogramBuckets]float32
	// below is the weight of everything under the range, belowSum its weighted sum.
	below, belowSum float32
	// unit is the weight of a sample that is taken now.
	unit float32
}

var lnGrowth = math.Log(histogramGrowth)

func bucketOf(v float64) int32 { return int32(math.Floor(math.Log(v) / lnGrowth)) }

// age lets a time pass; halfLife is in seconds.
func (h *histogram) age(seconds, halfLife float64) {
	if h.unit == 0 {
		h.unit = 1
	}
	periods := seconds / halfLife
	if periods > 64 {
		periods = 64
	}
	h.unit *= float32(math.Exp2(periods))
	if h.unit > histogramRescale {
		h.scale(1 / h.unit)
		h.unit = 1
	}
}

// scale multiplies what is known by f.
func (h *histogram) scale(f float32) {
	for i := range h.weight {
		h.weight[i] *= f
	}
	h.below *= f
	h.belowSum *= f
}

// forget leaves the share keep of the weight of what is known.
func (h *histogram) forget(keep float32) { h.scale(keep) }

// add counts a positive value with a weight relative to a sample's.
func (h *histogram) add(v, weight float64) {
	if h.unit == 0 {
		h.unit = 1
	}
	w := h.unit * float32(weight)
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
		h.below += w
		h.belowSum += w * float32(v)
		return
	}
	h.weight[b-h.bottom] += w
}

func (h *histogram) empty() bool { return h.total() == 0 }

func (h *histogram) total() float32 {
	sum := h.below
	for _, w := range h.weight {
		sum += w
	}
	return sum
}

// raise moves the range up so that it begins at bottom.
func (h *histogram) raise(bottom int32) {
	n := int(bottom - h.bottom)
	for i := 0; i < n && i < histogramBuckets; i++ {
		h.below += h.weight[i]
		h.belowSum += h.weight[i] * float32(h.middle(i))
	}
	if n >= histogramBuckets {
		h.weight = [histogramBuckets]float32{}
	} else {
		copy(h.weight[:], h.weight[n:])
		clear(h.weight[histogramBuckets-n:])
	}
	h.bottom = bottom
}

// lower moves the range down to b as far as the buckets at its top are as good as empty.
func (h *histogram) lower(b int32) {
	spare, gone := 0, float32(0)
	limit := h.total() * 1e-4
	for spare < histogramBuckets && gone+h.weight[histogramBuckets-1-spare] <= limit {
		gone += h.weight[histogramBuckets-1-spare]
		spare++
	}
	n := min(int(h.bottom-b)+histogramBuckets/4, spare)
	if n <= 0 {
		return
	}
	if n >= histogramBuckets {
		h.weight = [histogramBuckets]float32{}
	} else {
		copy(h.weight[n:], h.weight[:histogramBuckets-n])
		clear(h.weight[:n])
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
	for i, w := range h.weight {
		if w == 0 {
			continue
		}
		sum += w
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
	for _, w := range h.weight {
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
	for _, w := range h.weight {
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
