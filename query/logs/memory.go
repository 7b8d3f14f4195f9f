package logs

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// errMemoryBusy is not the fault of the query that gets it.
var errMemoryBusy = errors.New("other queries hold the memory that maxMemory gives to all; come again")

// memoryStep is how much a query takes of the common memory at a time.
const memoryStep = 1 << 20

// memoryLease is what one query holds of the memory that all queries share: the
// samples of its windows, its series, and its answer until that is complete. It is
// safe for concurrent use. Without a budget, and nil, it holds anything.
type memoryLease struct {
	budget *semaphore.Weighted
	limit  int64 // of the budget

	mu           sync.Mutex
	held, leased int64
}

// hold takes n more bytes.
func (l *memoryLease) hold(n int64) error {
	if l == nil || l.budget == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held += n; l.held <= l.leased {
		return nil
	}
	more := (l.held - l.leased + memoryStep - 1) / memoryStep * memoryStep
	if l.leased+more > l.limit {
		return &LimitError{Limit: "maxMemory", Detail: fmt.Sprintf(
			"it alone needs more than the %d bytes that all queries share; shorten its time range, or aggregate or filter more", l.limit)}
	}
	if !l.budget.TryAcquire(more) {
		return errMemoryBusy
	}
	l.leased += more
	return nil
}

// release gives all of it back.
func (l *memoryLease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leased > 0 {
		l.budget.Release(l.leased)
	}
	l.held, l.leased = 0, 0
}

// heldItems leases memory for many small things of the same size: a lock for each
// would cost more than they do. It is for one goroutine.
type heldItems struct {
	lease      *memoryLease
	size       int64 // bytes
	n, covered int64
}

// heldBatch is how many things are leased at once.
const heldBatch = 1024

func (h *heldItems) add() error {
	if h.n++; h.n <= h.covered {
		return nil
	}
	h.covered += heldBatch
	return h.lease.hold(heldBatch * h.size)
}

// drop makes room for n others. The memory stays with the query, as the slices do
// that the things were in.
func (h *heldItems) drop(n int) { h.n -= int64(n) }
