package vpa

import (
	"math"
	"time"
)

// amount is a quantity as the recommender computes with it: an integer, of thousandths of a core or of bytes, from 0 to
// maxAmount. Rounding down at each step is part of being exact.
type amount int64

const maxAmount = amount(1e14)

// toAmount rounds down, into the range. What is not a number is 0: the original leaves it to the processor.
func toAmount(x float64) amount {
	switch {
	case x > float64(maxAmount):
		return maxAmount
	case x > 0:
		return amount(x)
	}
	return 0
}

func (a amount) times(factor float64) amount { return toAmount(float64(a) * factor) }

// withMargin adds a fraction of an amount to it.
func (a amount) withMargin(fraction float64) amount { return a + a.times(fraction) }

// widened is an amount times (1 + multiplier/confidence)^exponent, which is the farther from the amount the less confidence
// there is.
func (a amount) widened(multiplier, exponent, confidence float64) amount {
	return a.times(math.Pow(1+multiplier/confidence, exponent))
}

// history is how many samples there were, and from when to when.
type history struct {
	first, last time.Time
	samples     int
}

func (h *history) add(at time.Time) {
	if h.samples == 0 || at.Before(h.first) {
		h.first = at
	}
	if at.After(h.last) {
		h.last = at
	}
	h.samples++
}

// confidence is the length of the history in intervals, or that of a history of as many samples at one a minute, whichever is
// shorter.
func (h *history) confidence(interval time.Duration) float64 {
	return math.Min(float64(h.last.Sub(h.first))/float64(interval), float64(h.samples)/interval.Minutes())
}
