package columnar

import "time"

// pace keeps background work within a share of one core, by resting in proportion
// to the time it took. It goes by the real clock, since that is what the work takes.
type pace struct {
	share   float64 // at most 1, which is no bound
	closing <-chan struct{}
	rows    int
	since   time.Time
}

const (
	// paceRows is how often the clock is looked at.
	paceRows = 1024
	// paceStint is how long the work goes on between two rests.
	paceStint = 20 * time.Millisecond
)

func (s *Store) newPace() *pace {
	return &pace{share: s.cfg.MergeShare, closing: s.closing, since: time.Now()}
}

// row is called for each row that was worked on.
func (p *pace) row() {
	if p.share >= 1 {
		return
	}
	if p.rows++; p.rows%paceRows != 0 {
		return
	}
	busy := time.Since(p.since)
	if busy < paceStint {
		return
	}
	rest := time.NewTimer(p.restAfter(busy))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-p.closing:
	}
	p.since = time.Now()
}

// restAfter is how long to rest after some work.
func (p *pace) restAfter(busy time.Duration) time.Duration {
	return time.Duration(float64(busy) * (1 - p.share) / p.share)
}
