package nodes

import "time"

// batcher decides when pods that came without a place are planned for: when none has come for a while, and never later than a bound
// after the first. Its zero value has nothing to plan.
type batcher struct {
	idle, max   time.Duration
	first, last time.Time
}

// note says that there is something to plan for.
func (b *batcher) note(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// due is when to plan, false when there is nothing to plan for.
func (b *batcher) due() (time.Time, bool) {
	if b.first.IsZero() {
		return time.Time{}, false
	}
	idle, bound := b.last.Add(b.idle), b.first.Add(b.max)
	if idle.Before(bound) {
		return idle, true
	}
	return bound, true
}

// take reports whether it is time to plan, and begins the next batch if so.
func (b *batcher) take(now time.Time) bool {
	due, ok := b.due()
	if !ok || now.Before(due) {
		return false
	}
	b.first, b.last = time.Time{}, time.Time{}
	return true
}
