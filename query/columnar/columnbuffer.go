package columnar

import (
	"encoding/binary"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// columnBuffer gathers the values of a column while a block is built.
type columnBuffer struct {
	text  []byte
	ends  []uint32 // of each entry in text
	rows  []uint32
	types []byte
}

func (c *columnBuffer) add(row uint32, value string, t ValueType) {
	c.text = append(c.text, value...)
	c.ends = append(c.ends, uint32(len(c.text)))
	c.rows = append(c.rows, row)
	c.types = append(c.types, byte(t))
}

func (c *columnBuffer) reset() {
	c.text, c.ends, c.rows, c.types = c.text[:0], c.ends[:0], c.rows[:0], c.types[:0]
}

func (c *columnBuffer) value(i int) []byte {
	if i == 0 {
		return c.text[:c.ends[0]]
	}
	return c.text[c.ends[i-1]:c.ends[i]]
}

// dense reports whether every one of the block's rows has exactly one entry.
func (c *columnBuffer) dense(rows int) bool {
	if len(c.rows) != rows {
		return false
	}
	for i, r := range c.rows {
		if r != uint32(i) {
			return false
		}
	}
	return true
}

// encode appends the column to the sections. times are those of all rows.
func (c *columnBuffer) encode(dst *shred.Sections, times []int64, enc *shred.Encoder) {
	if !c.appendHead(dst, valuesSections, len(times)) {
		times = nil // which go by row, not by entry
	}
	enc.Values(dst, c.text, c.ends, times)
}

// encodeLines is encode for the lines of a block. refs are the fields that lines
// may refer to, which are the block's columns with the indexes in columns.
func (c *columnBuffer) encodeLines(dst *shred.Sections, times []int64, refs []shred.Ref, columns []int, enc *shred.Encoder) {
	c.appendHead(dst, valuesLines, len(times))
	dst.Main = binary.AppendUvarint(dst.Main, uint64(len(columns)))
	for _, i := range columns {
		dst.Main = binary.AppendUvarint(dst.Main, uint64(i))
	}
	if !enc.Lines(dst, c.text, c.ends, times, refs) {
		dst.Reset()
		c.encode(dst, times, enc)
	}
}

// appendHead appends what comes before the values and reports whether the column
// is dense.
func (c *columnBuffer) appendHead(dst *shred.Sections, encoding byte, rows int) bool {
	flags := byte(0)
	dense := c.dense(rows)
	if !dense {
		flags |= columnSparse
	}
	mixed := false
	for _, t := range c.types {
		mixed = mixed || t != c.types[0]
	}
	if mixed {
		flags |= columnMixedTypes
	}
	out := append(dst.Main, flags, encoding)
	out = binary.AppendUvarint(out, uint64(len(c.ends)))
	if !dense {
		prev := uint32(0)
		for _, r := range c.rows {
			out = binary.AppendUvarint(out, uint64(r-prev))
			prev = r
		}
	}
	if mixed {
		out = append(out, c.types...)
	} else {
		out = append(out, c.types[0])
	}
	dst.Main = out
	return dense
}
