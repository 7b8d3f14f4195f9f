package vpa

import (
	"errors"
	"math"
)

// Buckets is how a histogram divides values: bucket 0 starts at 0, the last has no end. It is immutable, so that histograms share it.
type Buckets struct {
	count   int
	first   float64
	ratio   float64 // 1 when all buckets are of one size
	epsilon float64
	// logRatio spares half of the logarithms of a sample.
	logRatio float64
}

var errBuckets = errors.New("the largest value, the first bucket and the smallest weight must be above 0, the ratio above 1")

// LinearBuckets are of one size. The last starts at highest or above. A bucket whose weight is below epsilon counts as empty.
func LinearBuckets(highest, size, epsilon float64) (*Buckets, error) {
	if !(highest > 0 && size > 0 && epsilon > 0) {
		return nil, errBuckets
	}
	return &Buckets{count: int(math.Ceil(highest/size)) + 1, first: size, ratio: 1, epsilon: epsilon}, nil
}

// ExponentialBuckets grow: the first is of the given size, each of the others ratio times as large as the one before.
func ExponentialBuckets(highest, first, ratio, epsilon float64) (*Buckets, error) {
	if !(highest > 0 && first > 0 && ratio > 1 && epsilon > 0) {
		return nil, errBuckets
	}
	b := &Buckets{first: first, ratio: ratio, epsilon: epsilon, logRatio: math.Log(ratio)}
	b.count = int(math.Ceil(b.position(highest))) + 1
	return b, nil
}

// position is the index of the bucket in which an exponential scheme has a value, with the place inside of it as a fraction: the
// inverse of Start.
func (b *Buckets) position(value float64) float64 {
	return math.Log(value*(b.ratio-1)/b.first+1) / b.logRatio
}

// Len is the number of buckets.
func (b *Buckets) Len() int { return b.count }

// Epsilon is the weight below which a bucket counts as empty.
func (b *Buckets) Epsilon() float64 { return b.epsilon }

// Find returns the index of the bucket of a value, and the nearest for a value outside of all.
func (b *Buckets) Find(value float64) int {
	if !(value >= b.first) {
		return 0
	}
	position := value / b.first
	if b.ratio != 1 {
		position = b.position(value)
	}
	if position >= float64(b.count) {
		return b.count - 1
	}
	return int(position)
}

// Start returns where a bucket begins. An index outside of all counts as the nearest.
func (b *Buckets) Start(bucket int) float64 {
	bucket = min(max(bucket, 0), b.count-1)
	switch {
	case bucket == 0:
		return 0
	case b.ratio == 1:
		return float64(bucket) * b.first
	}
	// The sum of a geometric series.
	return b.first * (math.Pow(b.ratio, float64(bucket)) - 1) / (b.ratio - 1)
}
