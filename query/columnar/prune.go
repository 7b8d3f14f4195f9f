package columnar

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// A prune says which blocks can hold rows of a query. It is a conjunction: a block
// must satisfy every one of the conditions that the predicates imply.
type prune struct {
	values  []valueCondition
	numbers []numberCondition
	grams   []gramCondition
}

// valueCondition holds for blocks whose value index has one of the keys.
type valueCondition struct {
	keys []uint64
	// digits: blocks whose lines have longer runs of hexadecimal digits hold it, too.
	digits int
}

// newPrune derives what the value indexes can decide. pred is the compiled form of
// the query.
func newPrune(q *Query, pred *predicates) prune {
	var out prune
	for i := range q.Fields {
		byValue, ok := fieldCondition(&q.Fields[i], pred.fields[i].missing)
		if ok {
			out.values = append(out.values, byValue)
		}
		if c, ok := newNumberCondition(&q.Fields[i]); ok {
			out.numbers = append(out.numbers, c)
		} else if len(byValue.keys) == 0 && !pred.fields[i].missing {
			// Rows without the name are none of the answer.
			out.numbers = append(out.numbers, numberCondition{name: q.Fields[i].Name, op: q.Fields[i].Op})
		}
	}
	for i := range pred.lines {
		if p := &pred.lines[i]; !p.negated {
			out.grams = append(out.grams, gramConditions(p.clauses)...)
			for _, clause := range p.clauses {
				if len(clause) == 1 {
					out.values = append(out.values, idConditions(clause[0])...)
				}
			}
		}
	}
	return out
}

func (p *prune) empty() bool { return len(p.values)+len(p.numbers)+len(p.grams) == 0 }

// maxAlternatives bounds how many values of one predicate are looked up.
const maxAlternatives = 64

// fieldCondition is the condition of a predicate that asks for one of some values.
// missing says that it holds for rows without the field.
func fieldCondition(p *FieldPredicate, missing bool) (valueCondition, bool) {
	if missing {
		return valueCondition{}, false
	}
	values := []string{p.Text}
	switch p.Op {
	case FieldEqual:
	case FieldMatches:
		m, err := labels.NewFastRegexMatcher(p.Text)
		if err != nil {
			return valueCondition{}, false
		}
		values = m.SetMatches()
		if len(values) == 0 || len(values) > maxAlternatives {
			return valueCondition{}, false
		}
	default:
		return valueCondition{}, false
	}
	name := nameHash(p.Name)
	c := valueCondition{keys: []uint64{anyHash(name)}, digits: math.MaxInt}
	for _, v := range values {
		c.keys = append(c.keys, valueHash(name, v))
	}
	return c, true
}

// idConditions are the conditions of lines that contain the literal. A run of
// hexadecimal digits inside it is one of the line; a run at its edge may be a piece
// of a longer one.
func idConditions(literal string) []valueCondition {
	var out []valueCondition
	hexRuns(literal, func(start, end int) {
		c := valueCondition{keys: []uint64{idHash(literal[start:end]), anyLine}, digits: math.MaxInt}
		if start == 0 || end == len(literal) {
			c.digits = end - start
			if c.digits >= traceDigits {
				// The pieces of longer runs are indexed, but for the longest ones.
				c.keys[0] = idHash(literal[start:][:traceDigits])
				c.digits = unknownDigits - 1
			}
		}
		out = append(out, c)
	})
	return out
}

// blockSet is a set of block numbers of a part.
type blockSet []uint64

func newBlockSet(blocks int) blockSet { return make(blockSet, (blocks+63)/64) }

func (s blockSet) has(block int) bool { return s[block/64]>>(block%64)&1 != 0 }
func (s blockSet) add(block int)      { s[block/64] |= 1 << (block % 64) }
func (s blockSet) remove(block int)   { s[block/64] &^= 1 << (block % 64) }

func (s blockSet) addRange(from, to int) {
	for ; from < to && from%64 != 0; from++ {
		s.add(from)
	}
	for ; from+64 <= to; from += 64 {
		s[from/64] = math.MaxUint64
	}
	for ; from < to; from++ {
		s.add(from)
	}
}

// any reports whether a block of [from, to) is in the set.
func (s blockSet) any(from, to int) bool {
	for ; from < to; from++ {
		if s.has(from) {
			return true
		}
	}
	return false
}

func (s blockSet) intersect(o blockSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

// candidates is the set of blocks of the part that can hold rows of the query, or
// nil for all. What an index that cannot be read is about stays in the set.
func (s *selection) candidates(p *part) blockSet {
	if s.prune.empty() {
		return nil
	}
	out := newBlockSet(len(p.blocks))
	out.addRange(0, len(p.blocks))
	for i := range s.prune.values {
		out.intersect(s.valueBlocks(p, &s.prune.values[i]))
	}
	for i := range s.prune.numbers {
		out.intersect(s.numberBlocks(p, &s.prune.numbers[i]))
	}
	for i := range s.prune.grams {
		s.dropByGrams(p, &s.prune.grams[i], out)
	}
	return out
}

// valueBlocks is the set of blocks that satisfy the condition.
func (s *selection) valueBlocks(p *part, c *valueCondition) blockSet {
	set := newBlockSet(len(p.blocks))
	first := 0
	for i := range p.sections {
		sec := &p.sections[i]
		if sec.kind != sectionValues {
			continue
		}
		end := int(sec.after)
		if err := s.findValues(p, i, c.keys, first, end, set); err != nil {
			s.store.indexDamaged(p, err)
			set.addRange(first, end)
		}
		first = end
	}
	set.addRange(first, len(p.blocks)) // of before there were indexes
	if c.digits < math.MaxInt {
		for i := range p.blocks {
			if int(p.blocks[i].digits) > c.digits {
				set.add(i)
			}
		}
	}
	return set
}

// findValues adds the blocks in [first, end) that a section lists for the keys.
func (s *selection) findValues(p *part, at int, keys []uint64, first, end int, set blockSet) error {
	x, err := s.store.valueIndex(p, at)
	if err != nil {
		return err
	}
	var page []byte
	for _, key := range keys {
		offset, size, crc := x.page(key)
		page = slices.Grow(page[:0], size)[:size]
		if err := p.readAt(page, offset); err != nil {
			return err
		}
		s.meter.compressed.Add(int64(size))
		if checksum(page) != crc {
			return fmt.Errorf("value index: page: %w", errChecksum)
		}
		var outside error
		err := x.find(page, key, func(from, to uint64) {
			if from > to || to > uint64(end-first) {
				outside = errBadLength
				return
			}
			set.addRange(first+int(from), first+int(to))
		})
		if err == nil {
			err = outside
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// firstRead is how much of a section is read to find its head, which is rarely
// bigger.
const firstRead = 8 << 10

// valueIndex is the head of a section, from the cache if it is there.
func (s *Store) valueIndex(p *part, at int) (*valueIndex, error) {
	key := indexKey{p.ID, at}
	if x, ok := s.indexes.get(key).(*valueIndex); ok {
		return x, nil
	}
	sec := &p.sections[at]
	data := make([]byte, min(firstRead, sec.size))
	if err := p.readAt(data, sec.offset); err != nil {
		return nil, err
	}
	if n := min(valueHeadSize(data), int64(sec.size)); n > int64(len(data)) {
		data = make([]byte, n)
		if err := p.readAt(data, sec.offset); err != nil {
			return nil, err
		}
	}
	x, err := decodeValueIndex(data, sec.offset, int64(sec.size))
	if err != nil {
		return nil, err
	}
	s.indexes.put(key, x, x.memory())
	return x, nil
}

func (p *part) readAt(b []byte, offset int64) error {
	if _, err := p.file.ReadAt(b, offset); err != nil {
		return fmt.Errorf("read %s at offset %d: %w", p.path, offset, err)
	}
	return nil
}

// indexDamaged notes an index that cannot be used; the blocks it is about are
// searched instead. It is named once for each part.
func (s *Store) indexDamaged(p *part, err error) {
	s.metrics.corrupt.WithLabelValues("index").Inc()
	if p.damageNamed.CompareAndSwap(false, true) {
		s.log.Error("an index of a part is damaged; queries read the blocks it is about instead", "file", p.path, "err", err)
	}
}
