package columnar

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Retain implements Engine. Parts whose rows are all older go at once; in the
// others the blocks that are older become invisible and go with the next merge.
// Rows in memory are written to parts, without the older ones.
func (s *Store) Retain(ctx context.Context, before time.Time) error {
	limit := before.UnixNano()
	if before.Unix() > math.MaxInt64/int64(time.Second) || before.Unix() < math.MinInt64/int64(time.Second) {
		return fmt.Errorf("retain: %s is outside what nanoseconds can say", before)
	}
	if s.closed() {
		return ErrClosed
	}
	if s.memHasOlder(limit) {
		if err := s.flushFrom(ctx, limit); err != nil {
			return fmt.Errorf("retain: %w", err)
		}
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	var removed []*part
	changed := false
	s.mu.RLock()
	for _, p := range s.parts {
		switch {
		case p.Latest < limit:
			removed = append(removed, p)
		case p.Least < limit && p.retained.Load() < limit:
			p.retained.Store(limit)
			changed = true
		}
	}
	s.mu.RUnlock()
	lost := s.lostParts[:0:0]
	for _, m := range s.lostParts {
		if m.Latest >= limit {
			lost = append(lost, m)
		}
	}
	if !changed && len(removed) == 0 && len(lost) == len(s.lostParts) {
		return nil
	}
	s.lostParts = lost
	if err := s.commitParts(s.manifest, nil, removed, func() {}); err != nil {
		return fmt.Errorf("retain: %w", err)
	}
	for _, p := range removed {
		s.metrics.retained.Add(float64(p.Bytes))
	}
	s.forgetTimes(limit)
	return nil
}

func (s *Store) memHasOlder(limit int64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.sealed != nil && s.sealed.mem.least() < limit {
		return true
	}
	return s.mem.least() < limit
}

// forgetTimes clears the newest time of streams that have no visible row left,
// although a part still lists them.
func (s *Store) forgetTimes(limit int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	stale := map[*stream]int64{}
	for _, p := range s.parts {
		for _, st := range p.streams {
			if newest := st.maxTime.Load(); newest < limit {
				stale[st] = newest
			}
		}
	}
	for _, p := range s.parts {
		p.eachStream(minTime, maxTime, func(st *stream) { delete(stale, st) })
	}
	for st, newest := range stale {
		if !s.mem.has(st) && (s.sealed == nil || !s.sealed.mem.has(st)) {
			// A row that arrives right now raises the time, and then it stays.
			st.maxTime.CompareAndSwap(newest, minTime)
		}
	}
}
