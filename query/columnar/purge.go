package columnar

import (
	"fmt"
	"slices"
	"time"
)

// Rows that do not count leave the disk when their part is written anew: by a merge
// that happens anyway, or for their sake. For deletions that is as soon as they are
// older than Config.DeletionDelay; for retention, once for each rule, when all of a
// part is older than the rule keeps, or when half of the part is hidden.

// exclusion is what a rewrite of parts leaves out.
type exclusion struct {
	hidden   []*hiddenRows // by part
	retained []int64       // by part: part.retained then
	last     uint64        // no part of the outcome holds rows of deletions up to it
	rows     map[string]int64
}

// beginExclusion takes what is hidden now of each part.
func (s *Store) beginExclusion(parts []*part) *exclusion {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	x := &exclusion{last: s.manifest.LastDeletion, rows: map[string]int64{}}
	for _, p := range parts {
		x.hidden = append(x.hidden, p.hidden.Load())
		x.retained = append(x.retained, p.retained.Load())
	}
	return x
}

// excludes decides about the scanner's current row, and counts it.
func (x *exclusion) excludes(sc *partScanner, line string, fields []Field) bool {
	h := x.hidden[sc.order]
	if h == nil {
		return false
	}
	reason := h.hides(sc.reader.header.runs[sc.run].stream, sc.time, line, fields)
	if reason == "" {
		return false
	}
	x.rows[reason]++
	return true
}

// checkExclusion refuses the outcome when a deletion was canceled meanwhile: its
// rows count again. The caller holds commitMu.
func (s *Store) checkExclusion(x *exclusion) error {
	for _, h := range x.hidden {
		if h == nil {
			continue
		}
		for _, d := range h.deletions {
			if !slices.Contains(s.deletions, d.deletion) {
				return fmt.Errorf("deletion %q was canceled meanwhile", d.ID)
			}
		}
	}
	return nil
}

// endExclusion counts what has left the disk. The caller holds commitMu.
func (s *Store) endExclusion(x *exclusion) {
	for reason, n := range x.rows {
		s.metrics.droppedRows.WithLabelValues(reason).Add(float64(n))
	}
	if len(x.rows) > 0 {
		s.lowerTimes()
	}
}

// deletionIsFresh reports whether the part has rows of a deletion that may still be
// canceled. Such a part is left as it is.
func (s *Store) deletionIsFresh(p *part) bool {
	h := p.hidden.Load()
	if h == nil || s.cfg.DeletionDelay < 0 {
		return false
	}
	now := s.clock.Now()
	return slices.ContainsFunc(h.deletions, func(d partDeletion) bool {
		return now.Sub(d.Created) < time.Duration(s.cfg.DeletionDelay)
	})
}

// pickWork holds and returns the parts that are to be written anew next, or nil.
func (s *Store) pickWork(purgeFirst bool) []*part {
	first, second := s.pickMerge, s.pickPurge
	if purgeFirst {
		first, second = second, first
	}
	if parts := first(); parts != nil {
		return parts
	}
	return second()
}

// pickPurge holds and returns a part with rows that are due to leave the disk.
func (s *Store) pickPurge() []*part {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.parts {
		h := p.hidden.Load()
		if h == nil || s.deletionIsFresh(p) || s.rests(p) || len(h.deletions) == 0 && !h.worthDropping(p) {
			continue
		}
		if free, err := freeDisk(s.dir); err != nil || free-p.Bytes < max(s.cfg.MinFreeDisk, 0) {
			s.metrics.merges.WithLabelValues("deferred").Inc()
			continue
		}
		p.hold()
		return []*part{p}
	}
	return nil
}

// worthDropping reports whether what is too old makes a rewrite worth it.
func (h *hiddenRows) worthDropping(p *part) bool {
	var hidden, all int64
	for _, r := range p.runs {
		floor := h.floor(r.stream)
		if p.Latest < floor {
			return true // nothing of the rule is left to keep
		}
		if r.latest < floor {
			hidden += int64(r.rows)
		}
		all += int64(r.rows)
	}
	return hidden*2 >= all
}

// rewrite writes the parts anew, as one and without what is hidden. A single part
// that turns out to have nothing to leave out stays as it is.
func (s *Store) rewrite(parts []*part) error {
	if len(parts) > 1 {
		return s.merge(parts)
	}
	p := parts[0]
	h := p.hidden.Load()
	if h == nil {
		return nil // what was to go counts again
	}
	if h.hidesAll(p) {
		return s.dropHiddenPart(p, h)
	}
	needed := h.floors != nil
	for i := 0; i < len(h.deletions) && !needed; i++ {
		var err error
		if needed, err = s.hasRows(p, &h.deletions[i]); err != nil {
			return err
		}
	}
	if needed {
		return s.merge(parts)
	}
	return s.markPurged(p, h)
}

// hasRows reports whether the deletion covers a row of the part. A damaged block
// may hold one.
func (s *Store) hasRows(p *part, d *partDeletion) (bool, error) {
	sel := &selection{store: s}
	r := takeReader()
	defer r.recycle()
	alone := &hiddenRows{deletions: []partDeletion{*d}}
	for i := range p.blocks {
		b := &p.blocks[i]
		if s.closed() {
			return false, ErrClosed
		}
		if !p.visible(b) || !alone.touchesBlock(p, b) {
			continue
		}
		if some, err := sel.covers(d, p, b, r); some || err != nil {
			return true, nil
		}
	}
	return false, nil
}

// covers reports whether the deletion covers a row of the block.
func (s *selection) covers(d *partDeletion, p *part, b *blockMeta, r *blockReader) (some bool, err error) {
	defer r.guard(&err)
	if err := r.load(p, b, s.store.codec); err != nil {
		return false, err
	}
	every := make([]uint32, b.rows)
	for i := range every {
		every[i] = uint32(i)
	}
	rows, err := s.filter(&d.pred, r, d.candidates(r, every))
	return len(rows) > 0, err
}

// markPurged notes that the part has no rows of the deletions it was asked about.
func (s *Store) markPurged(p *part, h *hiddenRows) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	for _, d := range h.deletions {
		p.purged.Store(max(p.purged.Load(), d.number))
	}
	if err := s.commitParts(s.manifest, nil, nil, func() {}); err != nil {
		return fmt.Errorf("note that a part has no rows of a deletion: %w", err)
	}
	return nil
}

// dropHiddenPart drops a part of which no row counts.
func (s *Store) dropHiddenPart(p *part, h *hiddenRows) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := s.checkExclusion(&exclusion{hidden: []*hiddenRows{h}}); err != nil {
		return err
	}
	reason := dropAge
	if len(h.deletions) > 0 {
		reason = dropDeletion
	}
	if err := s.dropParts([]droppedPart{{p, reason}}); err != nil {
		return fmt.Errorf("drop a part without rows that count: %w", err)
	}
	s.lowerTimes()
	return nil
}
