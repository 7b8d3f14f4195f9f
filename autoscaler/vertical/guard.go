package vertical

import (
	"math"
	"time"
)

const (
	// confirmed is how many samples in a row must be above the request until that counts as a new level, whatever it was that
	// said it would not last: a single one, or two, are a burst.
	confirmed = 3
	// returnShare is the share of a level that was kept up before at which usage counts as being back at that level.
	returnShare = 0.5
	// returnRoom is the room that it is given then.
	returnRoom = 1.1
	// sustainedShare is the share of the median, with a half-life of two hours, below which a request is not reduced: a
	// container that falls silent keeps half of what it had for two hours.
	// The median is that of a bucket, and of usage that varies, so a little more is kept.
	sustainedShare = 0.55
)

// guard keeps what the contenders learned from mattering where they cannot know better: they learn from what was common, and
// these cases are rare. It is what makes a change of level count within minutes.
type guard struct {
	// above is how many of the newest samples in a row were above the request in force.
	above uint16
	// former is the highest median of usage, older ones counting less by the length of the history.
	former float32
	// until is when a return or a new level is ordinary, resumed when a gap is long enough ago for what came after it to
	// count as usual; both in seconds since the epoch.
	until, resumed float64
}

// observe takes note of a sample and of the request that was in force for it; history is in seconds.
func (g *guard) observe(s *signals, inForce, history float64) {
	if s.newest > inForce && inForce > 0 {
		g.above++
		back := s.newest > 2*inForce && s.newest >= returnShare*float64(g.former)
		if back || g.above >= confirmed {
			g.until = s.last + peakLengths[peakQuarter]
		}
	} else {
		g.above = 0
	}
	decay := math.Exp2(-math.Max(s.step, 1) / history)
	g.former = float32(math.Max(float64(g.former)*decay, s.short.quantile(0.5)))
}

// least is what a request must not be below, whatever the contenders say. While a container comes back after a gap, that is the
// request in force.
func (g *guard) least(s *signals, inForce float64) float64 {
	least := sustainedShare * s.short.quantile(0.5)
	if s.last < g.resumed {
		least = math.Max(least, inForce)
	}
	if s.last < g.until {
		least = math.Max(least, returnRoom*s.peaks[peakQuarter].max())
	}
	return least
}

// farAhead is how far after the one before a sample may be to be believed at once.
const farAhead = 24 * time.Hour
