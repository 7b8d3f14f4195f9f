package columnar

import (
	"fmt"
	"slices"
)

// gramCondition holds for blocks that have all grams of one of some literals.
type gramCondition struct {
	literals [][]uint32 // slots, ascending
}

// gramConditions are the conditions of lines that contain a literal of each clause.
func gramConditions(clauses [][]string) []gramCondition {
	var out []gramCondition
clauses:
	for _, clause := range clauses {
		var c gramCondition
		for _, literal := range clause {
			slots := literalGrams(literal)
			if len(slots) == 0 {
				continue clauses // it may be anywhere
			}
			c.literals = append(c.literals, slots)
		}
		out = append(out, c)
	}
	return out
}

// literalGrams lists the slots of the literal's grams, of many some all over it.
func literalGrams(literal string) []uint32 {
	var slots []uint32
	eachGram(literal, func(slot uint32) { slots = append(slots, slot) })
	if n := len(slots); n > maxLiteralGrams {
		for i := range maxLiteralGrams {
			slots[i] = slots[i*(n-1)/(maxLiteralGrams-1)]
		}
		slots = slots[:maxLiteralGrams]
	}
	slices.Sort(slots)
	return slices.Compact(slots)
}

// dropByGrams takes the blocks that do not satisfy the condition out of the set.
func (s *selection) dropByGrams(p *part, c *gramCondition, set blockSet) {
	for i := range p.sections {
		if p.sections[i].kind != sectionGrams {
			continue
		}
		if err := s.dropBySection(p, i, c, set); err != nil {
			s.store.indexDamaged(p, err)
		}
	}
}

func (s *selection) dropBySection(p *part, at int, c *gramCondition, set blockSet) error {
	x, err := s.store.gramIndex(p, at)
	if err != nil {
		return err
	}
	end := int(p.sections[at].after)
	first := end - x.blocks
	if !set.any(first, end) {
		return nil
	}
	found := make([]bool, x.blocks)
	may := make([]bool, x.blocks)
	reader := gramReader{selection: s, part: p, index: x, page: -1}
	for _, slots := range c.literals {
		for b := range may {
			may[b] = true
		}
		for _, slot := range slots {
			page, err := reader.read(int(slot / gramPageSlots))
			if err != nil {
				return err
			}
			if !x.without(may, page, slot) {
				break
			}
		}
		for b := range may {
			found[b] = found[b] || may[b]
		}
	}
	for b, hit := range found {
		if !hit {
			set.remove(first + b)
		}
	}
	return nil
}

// gramReader reads the pages of a section.
type gramReader struct {
	*selection
	part  *part
	index *gramIndex

	page        int // which one raw is, or -1
	stored, raw []byte
}

func (r *gramReader) read(page int) ([]byte, error) {
	if r.page == page {
		return r.raw, nil
	}
	x := r.index
	n := int(x.offsets[page+1] - x.offsets[page])
	r.stored = slices.Grow(r.stored[:0], n)[:n]
	if err := r.part.readAt(r.stored, x.offsets[page]); err != nil {
		return nil, err
	}
	r.meter.compressed.Add(int64(n))
	if checksum(r.stored) != x.crcs[page] {
		return nil, fmt.Errorf("gram index: page: %w", errChecksum)
	}
	raw, err := r.store.codec.decompress(r.raw, r.stored, methodZstd, x.blocks*gramPageBytes)
	if err != nil {
		return nil, fmt.Errorf("gram index: page: %w", err)
	}
	r.raw, r.page = raw, page
	return raw, nil
}

// gramIndex is the head of a section, from the cache if it is there.
func (s *Store) gramIndex(p *part, at int) (*gramIndex, error) {
	key := indexKey{p.ID, at}
	if x, ok := s.indexes.get(key).(*gramIndex); ok {
		return x, nil
	}
	sec := &p.sections[at]
	data := make([]byte, min(maxGramHead, sec.size))
	if err := p.readAt(data, sec.offset); err != nil {
		return nil, err
	}
	x, err := decodeGramIndex(data, sec.offset, int64(sec.size), int(sec.after))
	if err != nil {
		return nil, err
	}
	s.indexes.put(key, x, gramIndexMemory)
	return x, nil
}
