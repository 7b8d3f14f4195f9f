package columnar

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// rollupWriter gathers the rollup of a part while its blocks are built.
type rollupWriter struct {
	names  map[string]*rollupName
	index  map[string]map[FieldValue]uint32 // place of a value in rollupName.values
	size   int                              // about what it has become
	counts valueCounter
}

// valueCounter counts the different values of one column of a block.
type valueCounter struct {
	slots  []uint32 // hash table of places in values, plus 1
	values []countedValue
}

type countedValue struct {
	hash  uint64 // of value and type
	key   uint64 // in the value index
	first int    // entry
	times uint32
}

func (c *valueCounter) reset() {
	c.values = c.values[:0]
	if len(c.slots) > 1<<17 {
		c.slots = nil
	}
	clear(c.slots)
}

// add counts an entry and returns its value's place.
func (c *valueCounter) add(key uint64, t ValueType, entry int) int {
	if 2*len(c.values) >= len(c.slots) {
		c.slots = make([]uint32, max(256, 2*len(c.slots)))
		for i := range c.values {
			*c.slot(c.values[i].hash) = uint32(i + 1)
		}
	}
	hash := key + uint64(t)*0x9e3779b97f4a7c15
	slot := c.slot(hash)
	if *slot == 0 {
		c.values = append(c.values, countedValue{hash: hash, key: key, first: entry})
		*slot = uint32(len(c.values))
	}
	i := int(*slot - 1)
	c.values[i].times++
	return i
}

func (c *valueCounter) slot(hash uint64) *uint32 {
	mask := uint64(len(c.slots) - 1)
	for i := hash >> 17 & mask; ; i = (i + 1) & mask {
		if s := &c.slots[i]; *s == 0 || c.values[*s-1].hash == hash {
			return s
		}
	}
}

// count counts the values of a column.
func (c *valueCounter) count(name uint64, col *columnBuffer) {
	c.reset()
	last, place := "", 0
	for i := range col.ends {
		v := viewString(col.value(i))
		// Neighbours are often equal.
		if i > 0 && v == last && col.types[i] == col.types[i-1] {
			c.values[place].times++
			continue
		}
		place = c.add(valueHash(name, v), ValueType(col.types[i]), i)
		last = v
	}
}

// column notes a column of the block with this number in the section, whose values
// were counted.
func (w *rollupWriter) column(block int, name string, col *columnBuffer) {
	if w.names == nil {
		w.names, w.index = map[string]*rollupName{}, map[string]map[FieldValue]uint32{}
	}
	n := w.names[name]
	if n == nil {
		name = string([]byte(name)) // it may be a view
		n = &rollupName{}
		w.names[name], w.index[name] = n, map[FieldValue]uint32{}
		w.size += len(name) + 4
	}
	b := rollupBlock{block: uint32(block), rows: col.distinctRows(), distinct: uint32(len(w.counts.values))}
	for _, t := range col.types {
		b.about |= 1 << t
	}
	if b.about&^(1<<Int|1<<Float) == 0 {
		b.about |= rollupRange
		b.least, b.latest = w.numericRange(col)
	}
	if w.listable(col) {
		b.about |= rollupListed
		w.list(n, w.index[name], &b, col)
	} else {
		if n.sketch == nil {
			n.sketch = &sketch{}
			w.size += len(n.sketch)
		}
		for i := range w.counts.values {
			n.sketch.add(mixHash(w.counts.values[i].key))
		}
	}
	n.blocks = append(n.blocks, b)
	w.size += 8 + 3*len(b.listed)
}

func (c *columnBuffer) distinctRows() uint32 {
	n := uint32(0)
	for i, r := range c.rows {
		if i == 0 || r != c.rows[i-1] {
			n++
		}
	}
	return n
}

// numericRange is the least and the greatest number, +Inf and -Inf when there is
// none.
func (w *rollupWriter) numericRange(col *columnBuffer) (least, latest float64) {
	least, latest = math.Inf(1), math.Inf(-1)
	for i := range w.counts.values {
		v, err := strconv.ParseFloat(viewString(col.value(w.counts.values[i].first)), 64)
		if err == nil && !math.IsNaN(v) {
			least, latest = min(least, v), max(latest, v)
		}
	}
	return least, latest
}

func (w *rollupWriter) listable(col *columnBuffer) bool {
	if len(w.counts.values) > min(max(minListed, len(col.ends)/8), maxListed) {
		return false
	}
	// Nobody picks an id from a list, and ids do not compress.
	for i := range w.counts.values {
		if v := col.value(w.counts.values[i].first); len(v) > maxListedBytes || isID(viewString(v)) && len(w.counts.values) > 1 {
			return false
		}
	}
	return true
}

func (w *rollupWriter) list(n *rollupName, index map[FieldValue]uint32, b *rollupBlock, col *columnBuffer) {
	for i := range w.counts.values {
		c := &w.counts.values[i]
		v := FieldValue{Value: viewString(col.value(c.first)), Type: ValueType(col.types[c.first])}
		place, ok := index[v]
		if !ok {
			v.Value = string([]byte(v.Value))
			place = uint32(len(n.values))
			n.values = append(n.values, v)
			index[v] = place
			w.size += len(v.Value) + 2
		}
		b.listed = append(b.listed, listedValue{place, c.times})
	}
}

// section appends the section of what was noted since the last one.
func (w *rollupWriter) section(dst []byte, enc *zstd.Encoder) []byte {
	raw := (&rollup{names: w.names}).append(nil)
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(raw)))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = enc.EncodeAll(raw, dst)
	binary.LittleEndian.PutUint32(dst[start+4:], checksum(dst[start+rollupHeadSize:]))
	w.names, w.index, w.size = nil, nil, 0
	return dst
}
