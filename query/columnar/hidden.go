package columnar

import (
	"slices"
)

// hiddenRows says which rows of a part do not count although they are still on
// disk: those that are too old for their stream, and those of deletions. It never
// changes; retention and deletion give the part a new one. A reader takes it once,
// when it takes the part, so that its answer is of one instant.
//
// The rows of memory tables are never hidden: a deletion writes them to parts
// first, so that what a part holds came before it as a whole or after it.
//
// The methods work on nil, which hides nothing.
type hiddenRows struct {
	floors    []int64 // by index in part.streams: rows that are older are hidden; or nil
	deletions []partDeletion
}

// partDeletion is a deletion that may hide rows of a part.
type partDeletion struct {
	*deletion
	streams []bool // by index in part.streams
}

// floor is the least timestamp that counts of the part's stream.
func (h *hiddenRows) floor(stream uint32) int64 {
	if h == nil || h.floors == nil {
		return minTime
	}
	return h.floors[stream]
}

// touches reports whether some row of the run may be hidden. What the headers say
// of a run is exact for queries only if not.
func (h *hiddenRows) touches(r *runMeta) bool {
	if h == nil {
		return false
	}
	if r.least < h.floor(r.stream) {
		return true
	}
	for i := range h.deletions {
		d := &h.deletions[i]
		if d.streams[r.stream] && r.latest >= d.From && r.least < d.To {
			return true
		}
	}
	return false
}

// touchesBlock reports whether some row of the block may be hidden.
func (h *hiddenRows) touchesBlock(p *part, b *blockMeta) bool {
	if h == nil {
		return false
	}
	for i := b.firstRun; i < b.firstRun+b.runs; i++ {
		if h.touches(&p.runs[i]) {
			return true
		}
	}
	return false
}

// hides decides about one whole row: it returns the reason for which the row does
// not count, or nothing.
func (h *hiddenRows) hides(stream uint32, ts int64, line string, fields []Field) string {
	if h == nil {
		return ""
	}
	if ts < h.floor(stream) {
		return dropAge
	}
	for i := range h.deletions {
		d := &h.deletions[i]
		if d.streams[stream] && ts >= d.From && ts < d.To && d.pred.holdLine(line) && d.pred.holdFields(fields) {
			return dropDeletion
		}
	}
	return ""
}

// hidesAll reports whether no row of the part counts, as far as its bounds tell.
func (h *hiddenRows) hidesAll(p *part) bool {
	if h == nil {
		return false
	}
	for i := range p.runs {
		if !h.hidesRun(&p.runs[i]) {
			return false
		}
	}
	return true
}

// hidesRun reports whether no row of the run counts, as far as its bounds tell.
func (h *hiddenRows) hidesRun(r *runMeta) bool {
	if h == nil {
		return false
	}
	return r.latest < h.floor(r.stream) || slices.ContainsFunc(h.deletions, func(d partDeletion) bool {
		return d.streams[r.stream] && r.least >= d.From && r.latest < d.To && d.pred.empty()
	})
}

// dropHidden takes the rows of deletions out of the selected rows, in place. The
// floors are the caller's, who selects by time anyway.
func (s *selection) dropHidden(p *part, r *blockReader, selected []uint32) ([]uint32, error) {
	h := s.hidden[p]
	if h == nil {
		return selected, nil
	}
	for i := range h.deletions {
		d := &h.deletions[i]
		candidates := d.candidates(r, selected)
		if len(candidates) == 0 {
			continue
		}
		deleted, err := s.filter(&d.pred, r, candidates)
		if err != nil {
			return nil, err
		}
		// Both are in ascending order.
		kept, next := selected[:0], 0
		for _, row := range selected {
			if next < len(deleted) && deleted[next] == row {
				next++
				continue
			}
			kept = append(kept, row)
		}
		selected = kept
	}
	return selected, nil
}

// candidates copies the selected rows of the deletion's streams and time range.
func (d *partDeletion) candidates(r *blockReader, selected []uint32) []uint32 {
	var out []uint32
	first := uint32(0)
	for _, run := range r.header.runs {
		end := first + uint32(run.rows)
		if d.streams[run.stream] {
			lo, _ := slices.BinarySearch(selected, first)
			hi, _ := slices.BinarySearch(selected, end)
			for _, row := range selected[lo:hi] {
				if ts := r.times[row]; ts >= d.From && ts < d.To {
					out = append(out, row)
				}
			}
		}
		first = end
	}
	return out
}

// hidden decides which rows of a part do not count: known are the deletions that
// it was asked about before, fresh those that it was not.
func (s *Store) hidden(p *part, known []partDeletion, fresh []*deletion) *hiddenRows {
	h := &hiddenRows{floors: s.floorsOf(p)}
	for _, d := range known {
		if d.number > p.purged.Load() && slices.Contains(s.deletions, d.deletion) {
			h.deletions = append(h.deletions, d)
		}
	}
	for _, d := range fresh {
		if streams := d.streamsOf(p); streams != nil && d.number > p.purged.Load() && !d.Done {
			h.deletions = append(h.deletions, partDeletion{d, streams})
		}
	}
	if h.floors == nil && h.deletions == nil {
		return nil
	}
	return h
}

// floorsOf is the least timestamp that counts of each stream, or nil when all rows
// are above.
func (s *Store) floorsOf(p *part) []int64 {
	least := p.retained.Load()
	for _, f := range s.floors {
		least = max(least, f)
	}
	if least <= p.Least {
		return nil
	}
	floors, any := make([]int64, len(p.streams)), false
	for i := range floors {
		floors[i] = p.retained.Load()
		if s.floors != nil {
			floors[i] = max(floors[i], s.floors[p.rules[i]])
		}
		any = any || floors[i] > p.Least
	}
	if !any {
		return nil
	}
	return floors
}
