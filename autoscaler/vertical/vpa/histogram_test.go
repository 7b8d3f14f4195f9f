package vpa_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

const tiny = 1e-15

var start = time.Unix(1234567890, 0)

type sample struct {
	value, weight float64
	after         time.Duration
}

func linear(t *testing.T, highest, size, epsilon float64) *vpa.Buckets {
	t.Helper()
	b, err := vpa.LinearBuckets(highest, size, epsilon)
	require.NoError(t, err)
	return b
}

func filled(b *vpa.Buckets, halfLife time.Duration, samples ...sample) *vpa.Histogram {
	h := vpa.NewHistogram(b, halfLife)
	for _, s := range samples {
		h.Add(s.value, s.weight, start.Add(s.after))
	}
	return h
}

// The values of this table and of the ones below are those that the recommender's own tests publish.
func TestBucketsPublished(t *testing.T) {
	type point struct {
		value  float64
		bucket int
	}
	exponential, err := vpa.ExponentialBuckets(500, 40, 1.5, 0.001)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		buckets *vpa.Buckets
		count   int
		starts  map[int]float64
		finds   []point
	}{
		"linear": {
			linear(t, 5, 0.3, 0.001), 18, map[int]float64{0: 0, 17: 5.1},
			[]point{{-1, 0}, {0, 0}, {1.3, 4}, {100, 17}},
		},
		"exponential": {
			exponential, 6, map[int]float64{0: 0, 1: 40, 2: 100, 3: 190, 4: 325, 5: 527.5},
			[]point{{-1, 0}, {39.99, 0}, {40, 1}, {100, 2}, {900, 5}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.count, c.buckets.Len())
			assert.Equal(t, 0.001, c.buckets.Epsilon())
			for bucket, want := range c.starts {
				assert.Equal(t, want, c.buckets.Start(bucket), "start of bucket %d", bucket)
			}
			for _, p := range c.finds {
				assert.Equal(t, p.bucket, c.buckets.Find(p.value), "bucket of %g", p.value)
			}
		})
	}
	assert.Equal(t, 176, vpa.CPUBuckets().Len())
	assert.Equal(t, 176, vpa.MemoryBuckets().Len())
}

func TestBucketsRefuse(t *testing.T) {
	for _, arguments := range [][3]float64{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {-1, 1, 1}} {
		_, err := vpa.LinearBuckets(arguments[0], arguments[1], arguments[2])
		assert.Error(t, err)
		_, err = vpa.ExponentialBuckets(arguments[0], arguments[1], 1.5, arguments[2])
		assert.Error(t, err)
	}
	_, err := vpa.ExponentialBuckets(1, 1, 1, 1)
	assert.Error(t, err)
}

func TestPercentilePublished(t *testing.T) {
	ten := linear(t, 10, 1, tiny)
	one := linear(t, 1, 0.1, tiny)
	hours := func(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }
	rising := []sample{{1, 1, 0}, {2, 2, 0}, {3, 3, 0}, {4, 4, 0}}
	even := map[float64]float64{0: 2, 0.1: 2, 0.2: 3, 0.3: 3, 0.4: 4, 0.5: 4, 0.6: 4, 0.7: 5, 0.8: 5, 0.9: 5, 1: 5}
	for name, c := range map[string]struct {
		histogram *vpa.Histogram
		want      map[float64]float64
	}{
		"empty":             {filled(ten, 0), map[float64]float64{-0.5: 0, 0: 0, 0.5: 0, 1: 0, 1.5: 0}},
		"empty, decaying":   {filled(ten, time.Hour), map[float64]float64{-0.5: 0, 0: 0, 0.5: 0, 1: 0, 1.5: 0}},
		"weights":           {filled(ten, 0, rising...), even},
		"decaying, at once": {filled(ten, time.Hour, rising...), even},
		"beyond 0 and 1":    {filled(one, 0, sample{0.1, 0.1, 0}, sample{0.2, 0.2, 0}), map[float64]float64{-0.1: 0.2, 1.1: 0.3}},
		"outermost buckets": {filled(one, 0, sample{0.1, 0.1, 0}, sample{0.2, 0.2, 0}, sample{0, 0.1, 0}, sample{1, 0.2, 0}),
			map[float64]float64{-0.1: 0.1, 1.1: 1}},
		"20 half-lives": {filled(ten, time.Hour, sample{2, 1000, 0}, sample{1, 1, hours(20)}), map[float64]float64{0.999: 2, 1: 3}},
		"101 half-lives move the reference": {filled(ten, time.Hour, sample{2, 1, 0}, sample{1, 1, hours(101)}),
			map[float64]float64{1: 2}},
		"a half-life apart": {filled(ten, time.Hour, sample{1, 1, 0}, sample{2, 2, hours(1)}, sample{3, 3, hours(2)}, sample{4, 4, hours(3)}),
			map[float64]float64{0: 2, 0.02: 2, 0.03: 3, 0.10: 3, 0.11: 4, 0.34: 4, 0.35: 5, 1: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			for p, want := range c.want {
				if want == 0 {
					assert.Zero(t, c.histogram.Percentile(p))
					continue
				}
				assert.InEpsilon(t, want, c.histogram.Percentile(p), tiny, "percentile %g", p)
			}
		})
	}
}

func TestEmptyPublished(t *testing.T) {
	h := vpa.NewHistogram(linear(t, 1, 0.1, tiny), 0)
	assert.True(t, h.Empty())
	h.Add(0.1, tiny*2.5, start)
	assert.False(t, h.Empty())
	h.Subtract(0.1, tiny, start)
	assert.False(t, h.Empty(), "1.5 epsilon are left")
	h.Subtract(0.1, tiny, start)
	assert.True(t, h.Empty(), "half an epsilon is nothing")

	h = vpa.NewHistogram(linear(t, 1, 0.1, tiny), 0)
	h.Add(9.9, tiny*3, start)
	h.Add(0.1, tiny*0.3, start)
	h.Add(999.9, tiny*0.3, start)
	assert.False(t, h.Empty())
}

func TestMergePublished(t *testing.T) {
	ten := linear(t, 10, 1, tiny)
	a := filled(ten, 0, sample{1, 1, 0}, sample{2, 1, 0})
	require.NoError(t, a.Merge(filled(ten, 0, sample{2, 1, 0}, sample{3, 1, 0})))
	assert.True(t, a.Equal(filled(ten, 0, sample{1, 1, 0}, sample{2, 1, 0}, sample{2, 1, 0}, sample{3, 1, 0})))

	a = filled(ten, time.Hour, sample{1, 1, 0}, sample{2, 1, time.Hour})
	require.NoError(t, a.Merge(filled(ten, time.Hour, sample{2, 1, 2 * time.Hour}, sample{3, 1, time.Hour})))
	assert.True(t, a.Equal(filled(ten, time.Hour,
		sample{2, 1, 2 * time.Hour}, sample{2, 1, time.Hour}, sample{3, 1, time.Hour}, sample{1, 1, 0})))

	assert.Error(t, a.Merge(filled(ten, 2*time.Hour)), "another half-life")
	assert.Error(t, a.Merge(filled(linear(t, 11, 1, tiny), time.Hour)), "other buckets")
}

func TestHistogramIgnoresBadWeights(t *testing.T) {
	h := vpa.NewHistogram(linear(t, 10, 1, tiny), 0)
	h.Add(1, -1, start)
	h.Subtract(1, -1, start)
	assert.True(t, h.Empty())
}
