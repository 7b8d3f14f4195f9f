package usage

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// watch is what looking for urgent things remembers. Only one look is under way at a time.
type watch struct {
	counters             map[counterKey]counted
	kills, health, heaps time.Time
	failing              bool
}

// due reports whether something is due, and notes that it is done now.
func due(last *time.Time, now time.Time, every time.Duration) bool {
	if age := now.Sub(*last); age >= 0 && age < every {
		return false
	}
	*last = now
	return true
}

// watchAll looks for kills, at health and at heaps, as far as that is due.
func (f *Feeder) watchAll(ctx context.Context) {
	now := f.deps.Clock.Now()
	workloads := f.all()
	var group errgroup.Group
	group.SetLimit(f.cfg.Concurrency + 2)
	if due(&f.watch.kills, now, time.Duration(f.cfg.OOMInterval)) {
		group.Go(func() error { return f.pollKills(ctx, workloads) })
	}
	if due(&f.watch.health, now, healthEvery) {
		for _, w := range workloads {
			if w.asksHealth() {
				group.Go(func() error { f.pollHealth(ctx, w); return nil })
			}
		}
	}
	if due(&f.watch.heaps, now, time.Duration(f.cfg.HeapInterval)) {
		group.Go(func() error { return f.pollHeaps(ctx, workloads) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return
	}
	// Once when it begins: this runs every second.
	if err != nil && !f.watch.failing {
		f.log.Warn("cannot look for kills and heaps", "err", err)
	}
	f.watch.failing = err != nil
}

func (w *workload) asksHealth() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.subs {
		if s.target.Health != nil {
			return true
		}
	}
	return false
}
