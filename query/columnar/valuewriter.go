package columnar

import (
	"cmp"
	"math"
	"slices"
)

// valueWriter gathers the value indexes and rollups of a part while its blocks are
// built.
type valueWriter struct {
	table  Table
	pairs  []uint64 // of finished blocks, see blockKey
	blocks int      // that pairs are about

	digits  int     // longest run of hexadecimal digits in the block's lines
	ids     hashSet // in the block's lines
	columns []columnKeys
	set     hashSet
	rollup  rollupWriter
}

// columnKeys are the keys of one column of a block.
type columnKeys struct {
	name uint64 // hash
	keys []uint64
}

// maxKeysPerRow bounds what a block's index may cost, at about 2.2 bytes a key: 2.7
// bytes a log line, of which an ordinary one takes a quarter, and twice that of a
// span, which is searched by more names.
var maxKeysPerRow = [...]float64{Logs: 1.25, Spans: 2.5}

var traceIDHash = nameHash("trace_id")

// minBlockKeys lets small blocks have an index of everything.
const minBlockKeys = 512

// unindexed are columns of spans that are unique by row and that nobody searches
// for their exact value, except within a trace.
var unindexed = map[string]bool{
	"span_id": true, "parent_span_id": true, "duration_ns": true, "events": true, "links": true,
}

// line notes the ids of a line of the block being built.
func (w *valueWriter) line(line string) {
	hexRuns(line, func(start, end int) {
		w.digits = max(w.digits, end-start)
		w.ids.add(idHash(line[start:end]))
		if end-start < unknownDigits {
			for ; end-start > traceDigits; start++ {
				w.ids.add(idHash(line[start:][:traceDigits]))
			}
			w.ids.add(idHash(line[start:end]))
		}
	})
}

// finish takes the keys of the block that is complete. It returns its
// blockMeta.digits.
func (w *valueWriter) finish(b *blockBuilder) uint8 {
	w.gather(b)
	room := max(minBlockKeys, int(maxKeysPerRow[w.table]*float64(b.rows())))
	// Ids of lines and traces come first, then the columns with few values. Ids of
	// fields are mostly those of the lines, and are counted once.
	w.set.reset()
	if len(w.ids.keys) <= room {
		for _, k := range w.ids.keys {
			w.set.add(k)
		}
	} else {
		w.set.add(anyLine)
	}
	slices.SortFunc(w.columns, func(a, b columnKeys) int {
		switch traceIDHash {
		case a.name:
			return -1
		case b.name:
			return 1
		}
		return cmp.Compare(len(a.keys), len(b.keys))
	})
	for _, c := range w.columns {
		if c.keys == nil {
			w.set.add(anyHash(c.name))
			continue
		}
		before := len(w.set.keys)
		for _, k := range c.keys {
			w.set.add(k)
		}
		if len(w.set.keys) > room {
			// What was added for nothing would only open blocks in vain.
			keys := slices.Clone(w.set.keys[:before])
			w.set.reset()
			for _, k := range keys {
				w.set.add(k)
			}
			w.set.add(anyHash(c.name))
		}
	}
	for _, k := range w.set.keys {
		w.pairs = append(w.pairs, blockKey(k, w.blocks))
	}
	w.blocks++
	digits := uint8(min(w.digits, math.MaxUint8))
	w.digits = 0
	w.ids.reset()
	return digits
}

// gather counts the distinct values of the block's columns.
func (w *valueWriter) gather(b *blockBuilder) {
	w.columns = w.columns[:0]
	counts := &w.rollup.counts
	for _, name := range b.names {
		col := b.fields[name]
		k := columnKeys{name: nameHash(name)}
		counts.count(k.name, col)
		w.rollup.column(w.blocks, name, col)
		if w.table != Spans || !unindexed[name] {
			k.keys = make([]uint64, len(counts.values))
			for i := range counts.values {
				k.keys[i] = counts.values[i].key
			}
		}
		w.columns = append(w.columns, k)
	}
}

// full reports whether the sections should be written now.
func (w *valueWriter) full() bool {
	return len(w.pairs) >= segmentKeys || w.blocks >= 1<<blockBits || w.rollup.size >= maxRollupBytes
}

// section appends the value index of the blocks finished since the last one.
func (w *valueWriter) section(dst []byte) []byte {
	dst = appendValueIndex(dst, w.pairs)
	w.pairs, w.blocks = w.pairs[:0], 0
	return dst
}
