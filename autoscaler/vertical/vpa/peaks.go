package vpa

import "time"

// peaks turns memory usage into one sample per interval, the highest. The sample is in the histogram from the interval's
// beginning on, with the time of its end, and is replaced when usage grows beyond it.
type peaks struct {
	interval time.Duration
	// end is that of the current interval, zero before the first sample.
	end time.Time
	// last is the time of the newest sample or kill that counted.
	last time.Time
	// sampled is the interval's highest usage that counted, killed what a kill in it asked for.
	sampled, killed amount
	// seen is the highest usage of the current interval as it was measured, before that of the one before: what a container
	// needed of late, whatever counted.
	seen, before amount
}

// add takes a usage and says whether it counted. It is refused when it is older than the one before.
func (p *peaks) add(h *Histogram, used amount, at time.Time) bool {
	if at.Before(p.last) {
		return false
	}
	p.put(h, used, at, &p.sampled)
	p.seen = max(p.seen, used)
	return true
}

// kill takes a kill of a container that had an amount of memory, and says whether it counted. It is refused when it is older than
// an interval.
func (p *peaks) kill(h *Histogram, had amount, at time.Time, ratio, bump float64) bool {
	if !p.last.IsZero() && at.Before(p.last.Add(-p.interval)) {
		return false
	}
	// What an earlier kill asked for is left out, else a series of them would run away.
	had = max(had, p.sampled)
	p.put(h, max(had+toAmount(bump), had.times(ratio)), at, &p.killed)
	return true
}

// put places a value in the interval of its time, as a peak of the given kind.
func (p *peaks) put(h *Histogram, value amount, at time.Time, kind *amount) {
	p.last = at
	if p.end.IsZero() {
		p.end = at
	}
	if at.Before(p.end) {
		old := max(p.sampled, p.killed)
		// An interval that began with a usage of 0 takes no other any more. That is how the original does it.
		if old == 0 || value <= old {
			return
		}
		h.Subtract(float64(old), 1, p.end)
	} else {
		steps := at.Sub(p.end).Truncate(p.interval) + p.interval
		if p.before = 0; steps == p.interval {
			p.before = p.seen
		}
		p.seen = 0
		p.end = p.end.Add(steps)
		p.sampled, p.killed = 0, 0
	}
	h.Add(float64(value), 1, p.end)
	*kind = value
}

// recent is the highest usage of the current and of the previous interval.
func (p *peaks) recent() amount { return max(p.seen, p.before) }
