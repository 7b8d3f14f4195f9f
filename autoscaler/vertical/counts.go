package vertical

import "math"

// A model holds dozens of decaying histograms, and there is one for each container and resource: their counts are integers of 16
// bits. What is counted now has a weight that grows as time passes, instead of all others shrinking; when the weight has become
// twice what it should be at most, or a count is full, all are halved.

// leastUnit is the weight of what is counted now after time made it be halved, so that rounding it does not matter. Where so much
// counts that it does not fit, all are halved until it does: that changes no ratio.
const leastUnit = 256

// fullCount is the largest count.
const fullCount = math.MaxUint16

// halve halves counts, rounding halves to even: rounded down, what is rare would be forgotten too soon, and rounded up never.
func halve(counts []uint16) {
	for i, c := range counts {
		counts[i] = c>>1 + c&(c>>1)&1
	}
}

// grown is a unit after some half-lives, and how often counts are to be halved for it.
func grown(unit float32, halfLives float64) (float32, int) {
	if unit == 0 {
		unit = leastUnit
	}
	// After so many nothing is left of any count.
	const most = 20
	unit *= float32(math.Exp2(math.Min(halfLives, most)))
	halvings := 0
	for ; unit >= 2*leastUnit; halvings++ {
		unit /= 2
	}
	return unit, halvings
}

// count adds to a count and says whether there was room for it.
func count(c *uint16, unit float32) bool {
	weight := uint16(max(unit+0.5, 1))
	if *c > fullCount-weight {
		return false
	}
	*c += weight
	return true
}
