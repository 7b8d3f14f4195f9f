package columnar

import (
	"errors"
	"slices"
	"time"
)

const (
	secondsPerDay = 24 * 60 * 60
	nanosPerDay   = secondsPerDay * int64(time.Second)
	// mixedDays is the partition of rows whose days are too many for parts of
	// their own: one flush of rows with senseless timestamps must not leave
	// thousands of files.
	mixedDays = minTime
	// maxFlushDays is how many days one flush gives parts of their own.
	maxFlushDays = 16
	// maxPartitions is how many days have parts of their own, beside those about now:
	// rows with senseless timestamps must not leave a part each in the long run either.
	maxPartitions = 1000
)

// dayOf is the UTC day of a timestamp, counted from 1970.
func dayOf(ts int64) int64 {
	day := ts / nanosPerDay
	if ts%nanosPerDay < 0 {
		day--
	}
	return day
}

// flushLoop writes sealed memory tables.
func (s *Store) flushLoop() {
	defer s.background.Done()
	for {
		select {
		case <-s.closing:
			return
		case <-s.flushes:
		}
		for !s.tryFlush() {
			select {
			case <-s.closing:
				return
			case <-s.clock.After(time.Second):
			}
		}
		notify(s.mergeable)
		notify(s.retentions)
	}
}

// tryFlush writes the sealed table and reports whether none is left.
func (s *Store) tryFlush() bool {
	s.mu.RLock()
	sealed := s.sealed
	s.mu.RUnlock()
	if sealed == nil {
		return true
	}
	start := s.clock.Now()
	err := s.flush(sealed)
	if err == nil {
		s.metrics.flushes.WithLabelValues("ok").Inc()
		s.log.Debug("wrote memory table", "rows", sealed.mem.rows, "bytes", sealed.mem.bytes, "took", s.clock.Since(start))
		return true
	}
	s.metrics.flushes.WithLabelValues("failed").Inc()
	s.log.Error("cannot write the memory table; trying again", "err", err)
	s.mu.Lock()
	s.flushErr = err
	close(sealed.ended) // whoever waits for room is to hear of it
	sealed.ended = make(chan struct{})
	s.mu.Unlock()
	return false
}

// flush writes the table's parts, commits them, and only then lets go of the log.
func (s *Store) flush(sealed *sealedTable) error {
	var parts []*part
	for _, t := range tables {
		written, err := s.writeTable(sealed, t)
		parts = append(parts, written...)
		if err != nil {
			discard(parts)
			return err
		}
	}
	s.commitMu.Lock()
	m := s.manifest
	m.LastRecord = sealed.lastRecord
	m.setSenders(sealed.senders)
	for _, p := range parts {
		// A deletion has written what came before it to parts first.
		p.purged.Store(m.LastDeletion)
	}
	err := s.commitParts(m, parts, nil, func() { s.sealed, s.flushErr = nil, nil })
	unsynced := s.unsynced
	s.commitMu.Unlock()
	if err != nil {
		discard(parts)
		return err
	}
	close(sealed.ended)
	sealed.mem.release()
	if unsynced != nil {
		return nil
	}
	if err := s.wal.remove(sealed.lastSegment); err != nil {
		// Its records are covered, so a replay skips them; the next flush removes it.
		s.log.Error("cannot remove write-ahead segments", "err", err)
	}
	return nil
}

// discard removes parts that no manifest lists.
func discard(parts []*part) {
	for _, p := range parts {
		p.obsolete.Store(true)
		p.release()
	}
}

// without splits the store's parts into those that stay and those that go. A part
// that is gone already is in neither: it must not be let go of twice.
func (s *Store) without(removed []*part) (kept, gone []*part) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.parts {
		if slices.Contains(removed, p) {
			gone = append(gone, p)
		} else {
			kept = append(kept, p)
		}
	}
	return kept, gone
}

// commitParts adds and removes parts in the manifest and in the view; also runs
// under the view's lock. The caller holds commitMu.
//
// What is hidden of each part is decided anew here; fresh are deletions that the
// parts were not asked about before.
func (s *Store) commitParts(m manifest, added, removed []*part, also func(), fresh ...*deletion) error {
	kept, removed := s.without(removed)
	kept = append(kept, added...)
	sortParts(kept)
	hidden := make(map[*part]*hiddenRows, len(kept))
	for _, p := range kept {
		if before := p.hidden.Load(); before != nil {
			hidden[p] = s.hidden(p, before.deletions, fresh)
		} else {
			hidden[p] = s.hidden(p, nil, fresh)
		}
	}
	for _, p := range added {
		hidden[p] = s.hidden(p, nil, s.deletions)
	}
	deletions := s.settleDeletions(hidden)
	m.Deletions = nil
	for _, d := range deletions {
		m.Deletions = append(m.Deletions, d.entry())
	}
	m.Parts = s.lostMetas()
	for _, p := range kept {
		m.Parts = append(m.Parts, p.current())
	}
	if err := s.storeManifest(m, len(added) == 0 && len(m.Parts) < len(s.manifest.Parts)); err != nil {
		return err
	}
	s.setDeletions(deletions)
	s.mu.Lock()
	s.parts = kept
	for p, h := range hidden {
		p.hidden.Store(h)
	}
	also()
	s.mu.Unlock()
	for _, p := range added {
		s.partBytes.Add(p.Bytes)
	}
	for _, p := range removed {
		s.partBytes.Add(-p.Bytes)
		p.obsolete.Store(s.unsynced == nil)
		p.release()
	}
	s.keepReserve()
	return nil
}

// writeTable writes one part for each day of the table's rows.
func (s *Store) writeTable(sealed *sealedTable, t Table) ([]*part, error) {
	runs := sealed.mem.all(t)
	var parts []*part
	own := flushDays(runs, sealed.dropBefore, s.partitions(t))
	for _, day := range own {
		p, err := s.writeDay(runs, partMeta{Table: t, Day: day, Generation: sealed.lastRecord}, func(ts int64) bool {
			if ts < sealed.dropBefore {
				return false
			}
			d := dayOf(ts)
			if day == mixedDays {
				return !slices.Contains(own, d)
			}
			return d == day
		})
		if err != nil {
			return parts, err
		}
		if p != nil {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// partitions tells the days that may have parts of their own: while there are few
// all of them, and later those that have some, and those about now.
func (s *Store) partitions(t Table) func(day int64) bool {
	known := map[int64]bool{}
	s.mu.RLock()
	for _, p := range s.parts {
		if p.Table == t {
			known[p.Day] = true
		}
	}
	s.mu.RUnlock()
	today := dayOf(s.clock.Now().UnixNano())
	return func(day int64) bool {
		return len(known) < maxPartitions || known[day] || day >= today-1 && day <= today+1
	}
}

// flushDays lists the partitions that a flush writes: the days with the most
// rows, and mixedDays if there are more.
func flushDays(runs []memRun, dropBefore int64, allowed func(day int64) bool) []int64 {
	count := map[int64]int{}
	for _, run := range runs {
		for i := 0; i < len(run.rows); {
			day := dayOf(run.rows[i].ts)
			n := 1
			for i+n < len(run.rows) && dayOf(run.rows[i+n].ts) == day {
				n++
			}
			if run.rows[i+n-1].ts >= dropBefore {
				count[day] += n
			}
			i += n
		}
	}
	days := make([]int64, 0, len(count))
	for d := range count {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b int64) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return int(max(min(b-a, 1), -1))
	})
	own := slices.DeleteFunc(slices.Clone(days), func(day int64) bool { return !allowed(day) })
	own = own[:min(len(own), maxFlushDays)]
	if len(own) < len(days) {
		own = append(own, mixedDays)
	}
	return own
}

// writeDay writes the rows that belong to one part.
func (s *Store) writeDay(runs []memRun, m partMeta, belongs func(ts int64) bool) (*part, error) {
	w, err := s.newPartWriter(m, s.codec.flush)
	if err != nil {
		return nil, err
	}
	var fields []Field
	for _, run := range runs {
		for _, r := range run.rows {
			if !belongs(r.ts) {
				continue
			}
			ch := run.chunks[r.chunk]
			fields = ch.appendFields(fields[:0], r.off, nil)
			if err := w.add(run.stream, r.ts, ch.line(r.off), fields); err != nil {
				return nil, errors.Join(err, w.abort())
			}
		}
	}
	return w.finish()
}
