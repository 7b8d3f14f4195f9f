package vpa

import (
	"errors"
	"math"
	"time"
)

// maxDecayExponent is how many half-lives after its reference time a histogram still takes samples as they are: 2^100 leaves room
// in a float64. Beyond, the reference time moves.
const maxDecayExponent = 100

// Histogram is a distribution of weighted values in which newer ones count more. It is not safe for concurrent use.
//
// The weight of a sample doubles with every half-life between a reference time and the sample, instead of the weights of all
// earlier ones being halved: adding one touches one bucket.
type Histogram struct {
	buckets  *Buckets
	halfLife time.Duration // 0 when all samples count alike
	// reference is the time at which a sample's weight is taken as it is: a multiple of the half-life since the year 1.
	reference time.Time

	// weights are those of the buckets from base on. Usage of one container seldom spans more than a few dozens of the 176
	// buckets, and there is a histogram for every container and resource.
	weights []float64
	base    int
	total   float64
	// lowest and highest are the outermost buckets that are not empty; the other way around at the ends when all are.
	lowest, highest int
}

// NewHistogram makes an empty histogram. With a half-life of 0 all samples count alike.
func NewHistogram(buckets *Buckets, halfLife time.Duration) *Histogram {
	return &Histogram{buckets: buckets, halfLife: max(halfLife, 0), lowest: buckets.count - 1}
}

// Add adds a sample. A weight that is not above 0 adds nothing.
func (h *Histogram) Add(value, weight float64, at time.Time) {
	if !(weight >= 0) {
		return
	}
	weight *= h.decay(at)
	bucket := h.buckets.Find(value)
	cell := h.cell(bucket)
	*cell += weight
	h.total += weight
	if *cell < h.buckets.epsilon {
		return
	}
	h.lowest, h.highest = min(h.lowest, bucket), max(h.highest, bucket)
}

// Subtract takes back a sample that was added with the same arguments.
func (h *Histogram) Subtract(value, weight float64, at time.Time) {
	if !(weight >= 0) {
		return
	}
	weight *= h.decay(at)
	cell := h.cell(h.buckets.Find(value))
	h.total = h.less(h.total, weight)
	*cell = h.less(*cell, weight)
	h.narrow()
}

// less subtracts so that what is below epsilon, be it for rounding, is nothing.
func (h *Histogram) less(from, weight float64) float64 {
	if from -= weight; from >= h.buckets.epsilon {
		return from
	}
	return 0
}

// Merge adds all samples of another histogram with the same buckets and half-life. It may move the other's reference time.
func (h *Histogram) Merge(other *Histogram) error {
	if *h.buckets != *other.buckets || h.halfLife != other.halfLife {
		return errors.New("histograms of different buckets or half-lives cannot be merged")
	}
	if h.reference.Before(other.reference) {
		h.shift(other.reference)
	} else if other.reference.Before(h.reference) {
		other.shift(h.reference)
	}
	for bucket := other.lowest; bucket <= other.highest; bucket++ {
		if w := other.weight(bucket); w != 0 {
			*h.cell(bucket) += w
		}
	}
	h.total += other.total
	h.lowest, h.highest = min(h.lowest, other.lowest), max(h.highest, other.highest)
	return nil
}

// Percentile returns the end of the bucket below whose end the share p of all weight lies, 0 when the histogram is empty. A p
// outside of 0 to 1 counts as the nearest of both.
func (h *Histogram) Percentile(p float64) float64 {
	if h.Empty() {
		return 0
	}
	sum, threshold := 0.0, p*h.total
	bucket := h.lowest
	for ; bucket < h.highest; bucket++ {
		if sum += h.weight(bucket); sum >= threshold {
			break
		}
	}
	// The last bucket has no end: Start takes one beyond it for the last itself.
	return h.buckets.Start(bucket + 1)
}

// Empty says whether nothing of weight is in the histogram.
func (h *Histogram) Empty() bool { return h.weight(h.lowest) < h.buckets.epsilon }

// Equal says whether two histograms hold the same, up to 1e-15 in each bucket.
func (h *Histogram) Equal(other *Histogram) bool {
	if *h.buckets != *other.buckets || h.halfLife != other.halfLife || !h.reference.Equal(other.reference) ||
		h.lowest != other.lowest || h.highest != other.highest {
		return false
	}
	for bucket := h.lowest; bucket <= h.highest; bucket++ {
		if math.Abs(h.weight(bucket)-other.weight(bucket)) > 1e-15 {
			return false
		}
	}
	return true
}

// decay is the factor for the weight of a sample of a time. It moves the reference time when the factor would grow too large.
func (h *Histogram) decay(at time.Time) float64 {
	if h.halfLife == 0 {
		return 1
	}
	if at.After(h.reference.Add(maxDecayExponent * h.halfLife)) {
		h.shift(at)
	}
	return math.Exp2(float64(at.Sub(h.reference)) / float64(h.halfLife))
}

// shift moves the reference time to the multiple of the half-life nearest to a time, so that weights change by a power of two
// and lose nothing.
func (h *Histogram) shift(to time.Time) {
	if h.halfLife == 0 {
		return
	}
	to = to.Round(h.halfLife)
	exponent := math.Floor(float64(h.reference.Sub(to))/float64(h.halfLife) + 0.5)
	factor := math.Ldexp(1, int(exponent))
	// Buckets beyond the outermost ones that are not empty keep what little they have, as in the original.
	for bucket := max(h.lowest, h.base); bucket <= h.highest && bucket < h.base+len(h.weights); bucket++ {
		h.weights[bucket-h.base] *= factor
	}
	h.total *= factor
	h.reference = to
	h.narrow()
}

// narrow moves the outermost buckets to such that are not empty.
func (h *Histogram) narrow() {
	for h.lowest < h.buckets.count-1 && h.weight(h.lowest) < h.buckets.epsilon {
		h.lowest++
	}
	for h.highest > 0 && h.weight(h.highest) < h.buckets.epsilon {
		h.highest--
	}
}

func (h *Histogram) weight(bucket int) float64 {
	if i := bucket - h.base; i >= 0 && i < len(h.weights) {
		return h.weights[i]
	}
	return 0
}

// spare is how many buckets are kept on each side of those that are in use.
const spare = 2

// cell returns the weight of a bucket to be changed. It is valid until the next call.
func (h *Histogram) cell(bucket int) *float64 {
	if i := bucket - h.base; i < 0 || i >= len(h.weights) {
		from, to := max(bucket-spare, 0), min(bucket+spare+1, h.buckets.count)
		if len(h.weights) > 0 {
			from, to = min(from, h.base), max(to, h.base+len(h.weights))
		}
		grown := make([]float64, to-from)
		if len(h.weights) > 0 {
			copy(grown[h.base-from:], h.weights)
		}
		h.weights, h.base = grown, from
	}
	return &h.weights[bucket-h.base]
}
