package actuation

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// brakeWindow is the time over which changed pods are counted.
const brakeWindow = time.Hour

// brake counts the pods that were changed within brakeWindow. It is safe for concurrent use.
type brake struct {
	share   float64
	atLeast int
	metrics *Metrics

	mu      sync.Mutex
	watched int
	changed map[types.UID]time.Time
	oldest  time.Time // no entry is older; zero when there is none
}

func newBrake(cfg Config, metrics *Metrics) *brake {
	return &brake{share: cfg.ChangedShare, atLeast: cfg.ChangedAtLeast, metrics: metrics, changed: map[types.UID]time.Time{}}
}

// allowance is how many pods may be changed in a window. The caller holds the lock.
func (b *brake) allowance() int {
	return max(b.atLeast, int(b.share*float64(b.watched)))
}

// state reports whether one more pod may be changed, and why not.
func (b *brake) state(now time.Time) (open bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune(now)
	if open = len(b.changed) < b.allowance(); !open {
		reason = fmt.Sprintf("%d of %d pods were changed within %s, and no more than %d may be", len(b.changed), b.watched, brakeWindow, b.allowance())
	}
	return open, reason
}

// take counts a pod. It returns whether the pod may be changed, and whether it was not counted before. Whoever is urgent passes;
// so does whoever takes back a change that is counted already.
func (b *brake) take(pod types.UID, now time.Time, urgent, rollBack bool) (allowed, added bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prune(now)
	_, counted := b.changed[pod]
	if len(b.changed) >= b.allowance() && !urgent && !(rollBack && counted) {
		return false, false
	}
	b.set(pod, now)
	b.report()
	return true, !counted
}

// untake lets go of a pod that take added and that was not changed after all.
func (b *brake) untake(pod types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.changed, pod)
	b.report()
}

// learn counts a pod that was changed before this process began.
func (b *brake) learn(pod types.UID, at, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at.After(now.Add(-brakeWindow)) && at.After(b.changed[pod]) {
		b.set(pod, at)
		b.report()
	}
}

func (b *brake) set(pod types.UID, at time.Time) {
	b.changed[pod] = at
	if b.oldest.IsZero() || at.Before(b.oldest) {
		b.oldest = at
	}
}

// watch changes the number of pods of which a share may be changed.
func (b *brake) watch(more int) {
	if more == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched += more
	b.report()
}

func (b *brake) prune(now time.Time) {
	limit := now.Add(-brakeWindow)
	if !b.oldest.IsZero() && !b.oldest.After(limit) {
		b.oldest = time.Time{}
		for pod, at := range b.changed {
			if !at.After(limit) {
				delete(b.changed, pod)
			} else if b.oldest.IsZero() || at.Before(b.oldest) {
				b.oldest = at
			}
		}
	}
	b.report()
}

func (b *brake) report() {
	b.metrics.changed.Set(float64(len(b.changed)))
	b.metrics.watched.Set(float64(b.watched))
	closed := 0.0
	if len(b.changed) >= b.allowance() {
		closed = 1
	}
	b.metrics.braking.Set(closed)
}

// rate bounds how many things happen in any minute. It is safe for concurrent use.
type rate struct {
	limit int

	mu    sync.Mutex
	times []time.Time // within the last minute, oldest first
}

// newRate makes a rate. What happened before this process began is unknown, so it supposes that its predecessor used the rate up
// evenly: one is free at once, and the others become so one after the other within a minute.
func newRate(limit int, c clock.PassiveClock) *rate {
	r := &rate{limit: limit}
	now := c.Now()
	for i := limit - 1; i > 0; i-- {
		r.times = append(r.times, now.Add(-time.Minute*time.Duration(i)/time.Duration(limit)))
	}
	return r
}

// take uses one up, if one is left, and returns how to give it back.
func (r *rate) take(now time.Time) (giveBack func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.times) > 0 && !r.times[0].After(now.Add(-time.Minute)) {
		r.times = r.times[1:]
	}
	if len(r.times) >= r.limit {
		return nil, false
	}
	r.times = append(r.times, now)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := len(r.times) - 1; i >= 0; i-- {
			if r.times[i].Equal(now) {
				r.times = append(r.times[:i], r.times[i+1:]...)
				return
			}
		}
	}, true
}

// full reports whether none is left.
func (r *rate) full(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := 0
	for _, at := range r.times {
		if at.After(now.Add(-time.Minute)) {
			recent++
		}
	}
	return recent >= r.limit
}
