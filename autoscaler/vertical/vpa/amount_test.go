package vpa

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestWidenedPublished holds the values of the recommender's own tests of confidence: 3.14 cores, and nine samples two minutes
// apart.
func TestWidenedPublished(t *testing.T) {
	var nine history
	for i := range 9 {
		nine.add(time.Unix(0, 0).Add(time.Duration(i) * 2 * time.Minute))
	}
	for name, c := range map[string]struct {
		history              history
		interval             time.Duration
		multiplier, exponent float64
		confidence           float64
		cores, bytes         float64
	}{
		"nine samples in a day's terms": {nine, 24 * time.Hour, 0.1, 2, 0.00625, 907.46, 9.0746e11},
		"nine samples in 18 minutes":    {nine, 18 * time.Minute, 0.1, 2, 0.5, 4.521, 4.5216e9},
		"nothing":                       {history{}, 24 * time.Hour, 0.1, 2, 0, 1e11, 1e14},
		"nothing, upwards":              {history{}, 24 * time.Hour, 1, 1, 0, 1e11, 1e14},
		"nothing, downwards":            {history{}, 24 * time.Hour, 1, -1, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			confidence := c.history.confidence(c.interval)
			assert.Equal(t, c.confidence, confidence)
			assert.Equal(t, c.cores, float64(toAmount(3140).widened(c.multiplier, c.exponent, confidence))/1000)
			assert.Equal(t, c.bytes, float64(toAmount(3.14e9).widened(c.multiplier, c.exponent, confidence)))
		})
	}
}

func TestMarginPublished(t *testing.T) {
	assert.Equal(t, 3.14*1.1, float64(toAmount(3140).withMargin(0.1))/1000)
	assert.Equal(t, 3.14e9*1.1, float64(toAmount(3.14e9).withMargin(0.1)))
}

func TestToAmount(t *testing.T) {
	for x, want := range map[float64]amount{-1: 0, 0: 0, 0.99: 0, 1.99: 1, 1e14: 1e14, 1e15: 1e14, math.Inf(1): 1e14, math.Inf(-1): 0} {
		assert.Equal(t, want, toAmount(x), "%g", x)
	}
	assert.Zero(t, toAmount(math.NaN()))
}
