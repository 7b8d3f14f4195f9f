package columnar

import (
	"math"
	"strconv"
)

// numberCondition holds for blocks in which the name has a number in a range, or
// with another comparison for those that have the name.
type numberCondition struct {
	name string
	op   FieldOp
	than float64
}

func (c *numberCondition) holds(b *rollupBlock) bool {
	if b.about&rollupRange == 0 {
		return true
	}
	switch c.op {
	case FieldLess:
		return b.least < c.than
	case FieldLessOrEqual:
		return b.least <= c.than
	case FieldGreater:
		return b.latest > c.than
	case FieldGreaterOrEqual:
		return b.latest >= c.than
	}
	return true
}

// numberBlocks is the set of blocks that satisfy the condition.
func (s *selection) numberBlocks(p *part, c *numberCondition) blockSet {
	set := newBlockSet(len(p.blocks))
	first := 0
	for i := range p.sections {
		if p.sections[i].kind != sectionRollup {
			continue
		}
		end := int(p.sections[i].after)
		r, err := s.store.rollup(p, i)
		if err != nil {
			s.store.indexDamaged(p, err)
			set.addRange(first, end)
		} else if n := r.names[c.name]; n != nil {
			for j := range n.blocks {
				b := &n.blocks[j]
				if at := uint64(first) + uint64(b.block); at < uint64(end) && c.holds(b) {
					set.add(int(at))
				}
			}
		}
		first = end
	}
	set.addRange(first, len(p.blocks))
	return set
}

// newNumberCondition is the condition of a numeric comparison.
func newNumberCondition(p *FieldPredicate) (numberCondition, bool) {
	switch p.Op {
	case FieldLess, FieldLessOrEqual, FieldGreater, FieldGreaterOrEqual:
	default:
		return numberCondition{}, false
	}
	than, err := strconv.ParseFloat(p.Text, 64)
	if err != nil || math.IsNaN(than) {
		return numberCondition{}, false
	}
	return numberCondition{name: p.Name, op: p.Op, than: than}, true
}
