package forecast

import (
	"slices"
	"time"
)

// Held is a forecast that stands until its horizon has passed.
type Held struct {
	Replicas int32
	Until    time.Time
	Reason   string
}

// Standing are the forecasts of a workload whose horizons have not passed yet. The highest of them counts, so that what was bought for
// a forecast is kept until it could have come true. Its zero value is empty. It is not safe for concurrent use.
type Standing struct {
	// held ends later and is lower from each to the next: what is neither higher nor later than another does not matter.
	held []Held
}

// maxHeld bounds what is kept; of more the shortest-lived go first.
const maxHeld = 128

// Add takes a forecast in.
func (s *Standing) Add(f Held) {
	at := 0
	for at < len(s.held) && s.held[at].Replicas > f.Replicas {
		if !s.held[at].Until.Before(f.Until) {
			return // a higher one stands for as long
		}
		at++
	}
	if at < len(s.held) && s.held[at].Replicas == f.Replicas && s.held[at].Until.After(f.Until) {
		return
	}
	end := at
	for end < len(s.held) && !s.held[end].Until.After(f.Until) {
		end++
	}
	s.held = slices.Replace(s.held, at, end, f)
	if len(s.held) > maxHeld {
		s.held = slices.Delete(s.held, 0, len(s.held)-maxHeld)
	}
}

// Highest is the one that counts, false when none stands any more.
func (s *Standing) Highest(now time.Time) (Held, bool) {
	n := 0
	for n < len(s.held) && !s.held[n].Until.After(now) {
		n++
	}
	s.held = slices.Delete(s.held, 0, n)
	if len(s.held) == 0 {
		return Held{}, false
	}
	return s.held[0], true
}
