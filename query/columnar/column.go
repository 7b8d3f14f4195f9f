package columnar

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// A column holds the values of one name in the rows of one block (the lines of a
// block are a column too). Its main piece is
//
//	flags     byte    bit 0: sparse, bit 1: types differ
//	encoding  byte    sections or lines
//	entries   uvarint number of values; a row has none, one or several
//	rows      uvarint each, if sparse: difference to the row of the entry before;
//	          a dense column has exactly one entry for each row
//	types     byte    one for all, or one for each entry if they differ
//	refs      only of lines: uvarint count, then for each the index in the block's
//	          columns of a field that lines refer to, uvarint
//	values    what shred.Values or shred.Lines has in Main
//
// and its other pieces are the other sections of package shred. Columns of version 1
// have one piece only and other encodings:
//
//	plain       a uvarint length for each value, then the text of all
//	constant    a string
//	dictionary  uvarint count, the strings, one byte for each entry
//	hex         uvarint n, then n bytes for each entry, whose text is their 2n
//	            lower-case hexadecimal digits
//
// The timestamps of a block are encoded apart, see timecolumn.go.
const (
	columnSparse     = 1 << 0
	columnMixedTypes = 1 << 1
)

const (
	valuesPlain = iota
	valuesConstant
	valuesDictionary
	valuesHex
	valuesSections
	valuesLines
	// valuesPacked is in memory only: sections whose entries become text one by one.
	valuesPacked
)

// column is a decoded column. It shares the memory it was decoded from.
type column struct {
	entries  int
	encoding byte
	sparse   bool
	typ      byte
	types    []byte   // nil when all have typ
	starts   []uint32 // sparse: the entries of row r are starts[r] to starts[r+1]
	rows     []uint32 // sparse: the row of each entry
	text     []byte   // plain and hex
	ends     []uint32 // plain
	width    int      // hex: digits of a value
	dict     []string // dictionary and constant
	index    []uint32 // dictionary: of each entry in dict

	values   shred.Values
	shredded shred.Lines
	refs     []int  // lines: the block's columns that they refer to
	unhexed  []byte // memory behind text and dict, when they were packed

	// Shredded lines are rebuilt, and packed values become text, one by one.
	times  []int64
	fields []*column // by reference
	built  []lineSpan
}

// lineSpan is where a rebuilt line or value lies in column.unhexed; end is 0 if it does not.
type lineSpan struct{ start, end uint32 }

// mainless is a source whose main section is what is left of a column's main piece.
type mainless struct {
	shred.Source
	main []byte
}

func (m *mainless) Load(s shred.Section) ([]byte, error) {
	if s == shred.Main {
		return m.main, nil
	}
	return m.Source.Load(s)
}

// open reads what an encoded column is, of a block with so many rows. It reuses the
// slices that c holds. Columns of version 1 can be used at once, others after load.
func (c *column) open(src shred.Source, rows int) error {
	main, err := src.Load(shred.Main)
	if err != nil {
		return err
	}
	d := decoder{b: main}
	flags, encoding := d.byte(), d.byte()
	if d.err == nil && flags&^(columnSparse|columnMixedTypes) != 0 {
		return fmt.Errorf("column has unknown flags %#x", flags)
	}
	n := d.uvarint()
	if n > maxBlockBytes || (flags&columnSparse == 0 && n != uint64(rows)) {
		return fmt.Errorf("column has %d entries for %d rows: %w", n, rows, errBadLength)
	}
	c.entries, c.encoding, c.sparse, c.typ, c.types = int(n), encoding, flags&columnSparse != 0, 0, nil
	c.starts, c.rows, c.ends, c.dict = c.starts[:0], c.rows[:0], c.ends[:0], c.dict[:0]
	c.index, c.unhexed, c.refs = c.index[:0], c.unhexed[:0], c.refs[:0]
	c.text, c.width, c.times = nil, 0, nil
	if c.sparse {
		c.decodeRows(&d, rows)
	}
	if flags&columnMixedTypes != 0 {
		c.types = d.bytes(c.entries)
		for _, t := range c.types {
			c.checkType(&d, t)
		}
	} else {
		c.typ = d.byte()
		c.checkType(&d, c.typ)
	}
	switch encoding {
	case valuesPlain:
		c.decodePlain(&d)
	case valuesConstant:
		c.dict = append(c.dict, d.view())
	case valuesDictionary:
		c.decodeDictionary(&d)
	case valuesHex:
		c.decodeHex(&d)
	case valuesSections:
		c.openValues(&d, src)
	case valuesLines:
		c.openLines(&d, src)
	default:
		return fmt.Errorf("column has unknown encoding %d", encoding)
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return fmt.Errorf("column: %w", d.err)
	}
	return nil
}

func (c *column) checkType(d *decoder, t byte) {
	if ValueType(t) > JSON {
		d.fail(fmt.Errorf("unknown value type %d", t))
	}
}

func (c *column) decodeRows(d *decoder, rows int) {
	if c.entries > d.left() {
		d.fail(errBadLength)
		return
	}
	row := uint64(0)
	for i := range c.entries {
		row += d.uvarint()
		if row >= uint64(rows) {
			d.fail(errBadLength)
			return
		}
		for len(c.starts) <= int(row) {
			c.starts = append(c.starts, uint32(i))
		}
		c.rows = append(c.rows, uint32(row))
	}
	for len(c.starts) <= rows {
		c.starts = append(c.starts, uint32(c.entries))
	}
}

func (c *column) decodePlain(d *decoder) {
	if c.entries > d.left() {
		d.fail(errBadLength)
		return
	}
	end := uint64(0)
	for range c.entries {
		end += d.uvarint()
		if end > maxBlockBytes {
			d.fail(errBadLength)
			return
		}
		c.ends = append(c.ends, uint32(end))
	}
	c.text = d.bytes(int(end))
}

func (c *column) decodeDictionary(d *decoder) {
	n := d.count(1)
	for range n {
		c.dict = append(c.dict, d.view())
	}
	for _, i := range d.bytes(c.entries) {
		if int(i) >= n {
			d.fail(errBadLength)
			return
		}
		c.index = append(c.index, uint32(i))
	}
}

func (c *column) decodeHex(d *decoder) {
	width := d.uvarint()
	if width == 0 || width > maxBlockBytes || uint64(c.entries)*width != uint64(d.left()) {
		d.fail(errBadLength)
		return
	}
	c.width = int(width) * 2
	c.unhexed = hex.AppendEncode(c.unhexed, d.bytes(d.left()))
	c.text = c.unhexed
}

func (c *column) openValues(d *decoder, src shred.Source) {
	if c.entries == 0 {
		d.fail(errBadLength)
	}
	if d.err != nil {
		return
	}
	if err := c.values.Open(&mainless{src, d.bytes(d.left())}, c.entries); err != nil {
		d.fail(err)
	} else if c.values.NeedsTimes() && c.sparse {
		d.fail(errBadLength)
	}
}

func (c *column) openLines(d *decoder, src shred.Source) {
	for range d.count(1) {
		c.refs = append(c.refs, int(min(d.uvarint(), maxBlockBytes)))
	}
	if d.err != nil {
		return
	}
	if err := c.shredded.Open(&mainless{src, d.bytes(d.left())}); err != nil {
		d.fail(err)
	} else if c.sparse || c.types != nil || c.shredded.Rows() != c.entries || c.shredded.Refs() > len(c.refs) {
		d.fail(errBadLength)
	}
	c.built = c.built[:0]
}

// load leaves values as a constant, a dictionary, plain or packed. times are those of the
// block's rows.
func (c *column) load(times []int64) error {
	if c.encoding != valuesSections {
		return nil
	}
	v := &c.values
	if err := v.Load(); err != nil {
		return fmt.Errorf("column: %w", err)
	}
	if dict, index, ok := v.Dictionary(&c.unhexed); ok {
		for _, text := range dict {
			c.dict = append(c.dict, viewString(text))
		}
		if c.encoding = valuesConstant; index != nil {
			c.encoding = valuesDictionary
			for _, i := range index {
				c.index = append(c.index, uint32(i))
			}
		}
		return nil
	}
	if text, ends, ok := v.Text(); ok {
		c.encoding = valuesPlain
		c.text, c.ends = text, append(c.ends, ends...)
		return nil
	}
	// Numbers and packed ids become text one by one, when they are asked for: a
	// search mostly wants a few rows of a block, and making text of all of them took
	// two thirds of the time of finding a trace by its id.
	c.encoding, c.times = valuesPacked, times
	c.built = slices.Grow(c.built[:0], c.entries)[:c.entries]
	clear(c.built)
	return nil
}

// unpack is the text of an entry that is stored as a number or in packed form.
func (c *column) unpack(i int) string {
	b := &c.built[i]
	if b.end == 0 {
		if len(c.unhexed) > maxBlockBytes {
			return "" // no honest block has so many digits
		}
		if c.unhexed == nil {
			c.unhexed = []byte{}
		}
		ts := int64(0)
		if !c.sparse && c.times != nil {
			ts = c.times[i]
		}
		b.start = uint32(len(c.unhexed))
		c.unhexed = c.values.Append(c.unhexed, i, ts)
		b.end = uint32(len(c.unhexed)) + 1
	}
	return viewString(c.unhexed[b.start : b.end-1])
}

// search reports for each entry whether it satisfies the condition, or nil when
// none does. The column is open and may be loaded. timeOf is asked for the time of
// a row when it matters.
func (c *column) search(condition shred.Condition, timeOf func(row int) (int64, error)) ([]bool, error) {
	if c.encoding == valuesSections {
		return c.values.Search(condition, timeOf)
	}
	var hits []bool
	for i := range c.entries {
		if condition.Holds(viewBytes(c.value(i))) {
			if hits == nil {
				hits = make([]bool, c.entries)
			}
			hits[i] = true
		}
	}
	return hits, nil
}

// prepare makes the lines of the rows, or of all of them if rows is nil, ready to be
// rebuilt. fields are the columns that they refer to, times those of the block's
// rows.
func (c *column) prepare(rows []uint32, fields []*column, times []int64) error {
	c.fields, c.times = fields, times
	if err := c.shredded.Prepare(rows); err != nil {
		return err
	}
	for k, f := range fields {
		if !f.sparse {
			continue
		}
		for i := range max(len(rows), c.entries) {
			row := uint32(i)
			if rows != nil {
				if i == len(rows) {
					break
				}
				row = rows[i]
			}
			if lo, hi := f.of(row); lo == hi && c.shredded.NeedsField(k, row) {
				return fmt.Errorf("line refers to a field that its row has not: %w", errBadLength)
			}
		}
	}
	if len(c.built) == 0 {
		c.built = slices.Grow(c.built, c.entries)[:c.entries]
		clear(c.built)
	}
	c.unhexed = slices.Grow(c.unhexed, c.shredded.Size()/c.entries*len(rows)) // about
	return nil
}

// field is the value that the row's line refers to as field k.
func (c *column) field(k, row int) string {
	lo, _ := c.fields[k].of(uint32(row))
	return c.fields[k].value(lo)
}

// line rebuilds a line that was prepared, once.
func (c *column) line(row int) string {
	b := &c.built[row]
	if b.end == 0 {
		if len(c.unhexed) > c.shredded.Size() {
			return "" // which checksums rule out: all lines are not bigger than that
		}
		if c.unhexed == nil {
			c.unhexed = []byte{}
		}
		b.start = uint32(len(c.unhexed))
		c.unhexed = c.shredded.Append(c.unhexed, row, c.times[row], c.field)
		b.end = uint32(len(c.unhexed)) + 1
	}
	return viewString(c.unhexed[b.start : b.end-1])
}

// passing is the text of an entry for a caller who needs it no longer than until the
// next call: shredded lines are then not kept. It uses *buf.
func (c *column) passing(i int, buf *[]byte) string {
	if c.encoding != valuesLines {
		return c.value(i)
	}
	*buf = c.shredded.Append((*buf)[:0], i, c.times[i], c.field)
	return viewString(*buf)
}

// value is the text of an entry.
func (c *column) value(i int) string {
	switch c.encoding {
	case valuesConstant:
		return c.dict[0]
	case valuesDictionary:
		return c.dict[c.index[i]]
	case valuesHex:
		return viewString(c.text[i*c.width : (i+1)*c.width])
	case valuesLines:
		return c.line(i)
	case valuesPacked:
		return c.unpack(i)
	}
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return viewString(c.text[start:c.ends[i]])
}

func (c *column) valueType(i int) ValueType {
	if c.types != nil {
		return ValueType(c.types[i])
	}
	return ValueType(c.typ)
}

// of returns the entries of a row as a half-open range.
func (c *column) of(row uint32) (int, int) {
	if !c.sparse {
		return int(row), int(row) + 1
	}
	return int(c.starts[row]), int(c.starts[row+1])
}
