package host

import "time"

// Ticks lie on multiples of the interval since the epoch of the clock, so that
// they never drift, the samples of all nodes line up, and equal distances between
// samples compress well in the store.

// nextTick returns the first tick after now.
func nextTick(now time.Time, interval time.Duration) time.Time {
	return now.Truncate(interval).Add(interval)
}

// tickTolerance is how late a reading may begin and still carry the time of its
// tick: an error of a hundredth of a 1 s rate, and seldom reached.
const tickTolerance = 10 * time.Millisecond

// stamp returns the time that samples read at now carry: the tick's own when the
// reading is on time, else the truth.
func stamp(tick, now time.Time) time.Time {
	if late := now.Sub(tick); late > tickTolerance || late < -tickTolerance {
		return now
	}
	return tick
}

// skipped returns how many ticks lie between tick and next, neither included.
func skipped(tick, next time.Time, interval time.Duration) int {
	return max(0, int(next.Sub(tick)/interval)-1)
}
