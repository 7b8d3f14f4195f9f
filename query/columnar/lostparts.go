package columnar

import (
	"os"
	"slices"
	"time"
)

// lostPart is a part that the manifest lists and that cannot be opened. It stays on
// disk, for whoever wants to repair it, until retention has a reason to drop it.
type lostPart struct {
	partMeta
	size int64 // of the file
}

// lose notes a part that cannot be opened.
func (s *Store) lose(m partMeta, why error) {
	l := lostPart{partMeta: m}
	if info, err := os.Stat(s.partPath(m)); err == nil {
		l.size = info.Size()
	}
	s.metrics.rowsLost.WithLabelValues(m.Table.String()).Add(float64(m.Rows))
	s.log.Error("part cannot be opened; its rows are missing", "file", s.partPath(m), "rows", m.Rows, "err", why)
	s.lostParts = append(s.lostParts, l)
	s.partBytes.Add(l.size)
}

// lostWithin counts the lost parts that may have rows in [from, to). Of which
// streams they are is lost with them. The caller holds mu.
func (s *Store) lostWithin(t Table, from, to int64) int64 {
	n := int64(0)
	for i := range s.lostParts {
		m := &s.lostParts[i]
		if m.Table == t && m.Latest >= max(from, m.RetainedFrom) && m.Least < to {
			n++
		}
	}
	return n
}

// lostMetas are the entries of the lost parts in the manifest.
func (s *Store) lostMetas() []partMeta {
	var out []partMeta
	for i := range s.lostParts {
		out = append(out, s.lostParts[i].partMeta)
	}
	return out
}

// keepLostFrom is the least timestamp of a lost part that some rule keeps.
func (s *Store) keepLostFrom(l *lostPart) int64 {
	least := int64(maxTime)
	for i, r := range s.rules {
		if r.table == 0 || r.table == l.Table {
			least = min(least, s.floors[i])
		}
	}
	return max(least, l.RetainedFrom)
}

// droppedLost is a lost part that goes, and why.
type droppedLost struct {
	lostPart
	reason string
}

// setLostParts replaces the list. The caller holds commitMu.
func (s *Store) setLostParts(all []lostPart) {
	s.mu.Lock()
	s.lostParts = all
	s.mu.Unlock()
}

// dropLost takes lost parts and their files out of the store. The caller holds
// commitMu.
func (s *Store) dropLost(drops []droppedLost) error {
	if len(drops) == 0 {
		return nil
	}
	before := s.lostParts
	s.setLostParts(slices.DeleteFunc(slices.Clone(before), func(l lostPart) bool {
		return slices.ContainsFunc(drops, func(d droppedLost) bool { return d.ID == l.ID })
	}))
	if err := s.commitParts(s.manifest, nil, nil, func() {}); err != nil {
		s.setLostParts(before)
		return err
	}
	for _, d := range drops {
		// Its rows count as lost already.
		s.partBytes.Add(-d.size)
		s.metrics.dropped.WithLabelValues(d.reason).Add(float64(d.size))
		s.metrics.droppedParts.WithLabelValues(d.reason).Inc()
		path := s.partPath(d.partMeta)
		s.log.Info("dropped a part that cannot be opened", "reason", d.reason, "file", path, "bytes", d.size, "newest", time.Unix(0, d.Latest).UTC())
		if s.unsynced != nil {
			continue // the next Open removes it
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			s.log.Error("cannot remove a part that was dropped", "err", err)
		}
	}
	return nil
}
