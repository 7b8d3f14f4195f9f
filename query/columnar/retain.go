package columnar

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// retentionInterval is how often retention looks at the clock and the disk, beside
// after each flush.
const retentionInterval = time.Minute

// Retain implements Engine. Parts whose rows are all older go at once; in the
// others the older rows become invisible and go with the next merge. Rows in memory
// are written to parts, without the older ones.
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
	var drops []droppedPart
	changed := false
	s.mu.RLock()
	for _, p := range s.parts {
		switch {
		case p.Latest < limit:
			drops = append(drops, droppedPart{p, dropRequested})
		case p.Least < limit && p.retained.Load() < limit:
			p.retained.Store(limit)
			changed = true
		}
	}
	s.mu.RUnlock()
	var lost []droppedLost
	for _, l := range s.lostParts {
		if l.Latest < limit {
			lost = append(lost, droppedLost{l, dropRequested})
		}
	}
	if err := s.dropLost(lost); err != nil {
		return fmt.Errorf("retain: %w", err)
	}
	if !changed && len(drops) == 0 {
		return nil
	}
	if err := s.dropParts(drops); err != nil {
		return fmt.Errorf("retain: %w", err)
	}
	s.lowerTimes()
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

// droppedPart is a part that goes, and why.
type droppedPart struct {
	*part
	reason string
}

// dropParts takes parts out of the store, but for those that something else has
// taken out since the caller looked. Called with none it writes down what changed of
// the others. The caller holds commitMu.
func (s *Store) dropParts(wanted []droppedPart) error {
	s.mu.RLock()
	drops := slices.DeleteFunc(slices.Clone(wanted), func(d droppedPart) bool { return !slices.Contains(s.parts, d.part) })
	s.mu.RUnlock()
	if len(drops) == 0 && len(wanted) > 0 {
		return nil
	}
	removed := make([]*part, len(drops))
	for i, d := range drops {
		removed[i] = d.part
	}
	if err := s.commitParts(s.manifest, nil, removed, func() {}); err != nil {
		return err
	}
	for _, d := range drops {
		s.metrics.dropped.WithLabelValues(d.reason).Add(float64(d.Bytes))
		s.metrics.droppedRows.WithLabelValues(d.reason).Add(float64(d.Rows))
		s.metrics.droppedParts.WithLabelValues(d.reason).Inc()
		s.log.Info("dropped a part", "reason", d.reason, "file", d.path, "rows", d.Rows, "bytes", d.Bytes, "newest", time.Unix(0, d.Latest).UTC())
	}
	return nil
}

// retentionLoop applies the configured retention.
func (s *Store) retentionLoop() {
	defer s.background.Done()
	tick := s.clock.NewTicker(retentionInterval)
	defer tick.Stop()
	for {
		if err := s.applyRetention(); err != nil {
			// Nothing was dropped; the next round tries again.
			s.log.Error("cannot apply retention", "err", err)
		}
		select {
		case <-s.closing:
			return
		case <-tick.C():
			notify(s.mergeable) // deletions and hidden rows may be due now
		case <-s.retentions:
		}
	}
}

// applyRetention hides what is too old and drops the parts that the plan names.
func (s *Store) applyRetention() error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if s.closed() {
		return nil
	}
	s.floors = floors(s.rules, s.clock.Now())
	s.mu.RLock()
	parts := s.parts
	s.mu.RUnlock()
	input := make([]retentionPart, len(parts))
	for i, p := range parts {
		input[i] = retentionPart{bytes: p.Bytes, latest: p.Latest, keepFrom: s.keepFrom(p)}
		before := p.hidden.Load()
		var known []partDeletion
		if before != nil {
			known = before.deletions
		}
		if h := s.hidden(p, known, nil); h != nil || before != nil {
			p.hidden.Store(h)
		}
	}
	for i := range s.lostParts {
		l := &s.lostParts[i]
		input = append(input, retentionPart{bytes: l.size, latest: l.Latest, keepFrom: s.keepLostFrom(l)})
	}
	disk, err := s.diskUse()
	if err != nil {
		return err
	}
	plan := s.cfg.Retention.plan(input, s.cfg.retainedBytes(), disk)
	if len(plan) == 0 {
		return nil
	}
	var drops []droppedPart
	var lost []droppedLost
	for _, d := range plan {
		if d.part < len(parts) {
			drops = append(drops, droppedPart{parts[d.part], d.reason})
		} else {
			lost = append(lost, droppedLost{s.lostParts[d.part-len(parts)], d.reason})
		}
	}
	if err := s.dropLost(lost); err != nil {
		return err
	}
	if len(drops) == 0 {
		return nil
	}
	if err := s.dropParts(drops); err != nil {
		return err
	}
	s.lowerTimes()
	return nil
}

// keepFrom is the least timestamp that some stream of the part keeps.
func (s *Store) keepFrom(p *part) int64 {
	least := int64(maxTime)
	for _, r := range p.rules {
		least = min(least, s.floors[r])
	}
	return max(least, p.retained.Load())
}

func (s *Store) diskUse() (diskUse, error) {
	u := diskUse{used: s.diskBytes()}
	if s.cfg.Retention.MinFreeShare == 0 {
		return u, nil
	}
	var err error
	if u.free, u.total, err = diskSpace(s.dir); err != nil {
		return u, fmt.Errorf("free disk space: %w", err)
	}
	return u, nil
}

// lowerTimes corrects the newest time of streams whose newest rows are gone. The
// caller holds commitMu, so that no part comes or goes.
func (s *Store) lowerTimes() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	parts, mems := s.parts, []*memTable{s.mem}
	if s.sealed != nil {
		mems = append(mems, s.sealed.mem)
	}
	newest := map[*stream]int64{}
	for _, p := range parts {
		h := p.hidden.Load()
		for _, st := range p.streams {
			if _, ok := newest[st]; !ok {
				newest[st] = minTime
			}
		}
		for _, r := range p.runs {
			if st := p.streams[r.stream]; r.latest >= h.floor(r.stream) {
				newest[st] = max(newest[st], r.latest)
			}
		}
	}
	// While the tables are locked no row can arrive that the times leave out.
	for _, m := range mems {
		m.mu.RLock()
		defer m.mu.RUnlock()
	}
	for st, ts := range newest {
		if inMemory(st, mems) {
			continue
		}
		if now := st.maxTime.Load(); now > ts {
			st.maxTime.CompareAndSwap(now, ts)
		}
	}
}

// inMemory reports whether one of the tables, which the caller has locked, has
// rows of the stream.
func inMemory(st *stream, mems []*memTable) bool {
	for _, m := range mems {
		if m.streams[st] != nil {
			return true
		}
	}
	return false
}
