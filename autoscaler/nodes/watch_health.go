package nodes

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// quiet is how long a watch must not have failed before it counts as working again. Informers try anew at least every half minute.
const quiet = 45 * time.Second

// WatchHealth tells whether informers are fed. Who watches reports every failure to it. It is safe for concurrent use.
type WatchHealth struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	kinds map[string]*failing
}

// failing is a kind that cannot be watched.
type failing struct {
	since, last time.Time
	err         error
}

// NewWatchHealth begins with everything working.
func NewWatchHealth(c clock.PassiveClock) *WatchHealth {
	return &WatchHealth{clock: c, kinds: map[string]*failing{}}
}

// Failed reports that watching a kind of object has failed, and will be tried again.
func (h *WatchHealth) Failed(kind string, err error) {
	now := h.clock.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.kinds[kind]
	if f == nil || now.Sub(f.last) > quiet {
		f = &failing{since: now}
		h.kinds[kind] = f
	}
	f.last, f.err = now, err
}

// Broken reports whether a kind could not be watched for longer than that, and says which and why.
func (h *WatchHealth) Broken(longer time.Duration) (string, bool) {
	now := h.clock.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, f := range h.kinds {
		if now.Sub(f.last) > quiet {
			delete(h.kinds, kind)
			continue
		}
		if lasts := now.Sub(f.since); lasts > longer {
			return fmt.Sprintf("%s could not be watched for %s: %v", kind, lasts.Round(time.Second), f.err), true
		}
	}
	return "", false
}
