package autoscaler

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// fence is the lease as this process holds it, with the time since it was renewed last. The elector says that leadership is lost by a
// timer, which a process that was stopped for a while has yet to run; by the clock it is known at once.
type fence struct {
	resourcelock.Interface
	clock clock.PassiveClock
	// deadline is how long the lease holds after a renewal was asked for. Others wait longer than that before they take it.
	deadline time.Duration

	mu      sync.Mutex
	renewed time.Time // when the last renewal that was granted was asked for; zero while somebody else holds the lease
}

// Create takes the lease that nobody has ever held.
func (f *fence) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return f.note(record, func() error { return f.Interface.Create(ctx, record) })
}

// Update takes the lease, renews it or gives it back.
func (f *fence) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return f.note(record, func() error { return f.Interface.Update(ctx, record) })
}

// note remembers when a write was asked for that was granted. The time of the answer would be too late: others count from the write.
func (f *fence) note(record resourcelock.LeaderElectionRecord, write func() error) error {
	asked := f.clock.Now()
	if record.HolderIdentity != f.Identity() {
		f.set(time.Time{}) // given back: not ours from before the write on
		return write()
	}
	err := write()
	if err == nil {
		f.set(asked)
	}
	return err
}

func (f *fence) set(renewed time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed = renewed
}

// holds reports whether nobody else can have taken the lease. It is safe for concurrent use.
func (f *fence) holds() bool {
	f.mu.Lock()
	renewed := f.renewed
	f.mu.Unlock()
	if renewed.IsZero() {
		return false
	}
	now := f.clock.Now()
	// The monotonic clock stands still while a machine is suspended, and the other one may be set back. The longer time counts.
	return max(now.Sub(renewed), now.Round(0).Sub(renewed.Round(0))) <= f.deadline
}
