package columnar

import (
	"errors"
	"sync/atomic"
	"time"
)

// A part that could not be read is left out of merges and purges for a while, so
// that one bad sector does not keep all other parts from being merged.
const (
	shortestRest = time.Minute
	longestRest  = 6 * time.Hour
)

// restPeriod grows with every failure.
type restPeriod struct {
	failures atomic.Int64
	until    atomic.Int64 // Unix nanoseconds
}

// unreadablePart is a rewrite that failed because of one of its parts.
type unreadablePart struct {
	part *part
	err  error
}

func (e *unreadablePart) Error() string { return e.err.Error() }
func (e *unreadablePart) Unwrap() error { return e.err }

// restAfter lets the part that made a rewrite fail rest, and reports whether another
// rewrite may do better: other failures are of the disk or of the moment, but for a
// panic, which all of its parts are suspected of.
func (s *Store) restAfter(err error, parts []*part) bool {
	var unreadable *unreadablePart
	if errors.As(err, &unreadable) {
		parts = []*part{unreadable.part}
	} else if !errors.Is(err, errPanic) {
		return false
	}
	for _, p := range parts {
		d := shortestRest << min(p.rest.failures.Add(1)-1, 16)
		p.rest.until.Store(s.clock.Now().Add(min(d, longestRest)).UnixNano())
	}
	return true
}

// rests reports whether a rewrite of the part is not to be tried now.
func (s *Store) rests(p *part) bool {
	return p.rest.failures.Load() > 0 && s.clock.Now().UnixNano() < p.rest.until.Load()
}
