package columnar

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// A column holds the values of one name in the rows of one block (the lines of a
// block are a column too). Before compression it is
//
//	flags     byte    bit 0: sparse, bit 1: types differ
//	encoding  byte    plain, constant, dictionary or hex
//	entries   uvarint number of values; a row has none, one or several
//	rows      uvarint each, if sparse: difference to the row of the entry before;
//	          a dense column has exactly one entry for each row
//	types     byte    one for all, or one for each entry if they differ
//	values    plain:      a uvarint length for each, then the text of all
//	          constant:   a string
//	          dictionary: uvarint count, the strings, one byte for each entry
//	          hex:        uvarint n, then n bytes for each entry, whose text is
//	                      their 2n lower-case hexadecimal digits
//
// The timestamps of a block are encoded apart, see appendTimes.
const (
	columnSparse     = 1 << 0
	columnMixedTypes = 1 << 1
)

const (
	valuesPlain = iota
	valuesConstant
	valuesDictionary
	valuesHex
)

// maxDictionary keeps dictionaries to columns that really are enumerations.
const maxDictionary = 64

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

// appendColumn appends the encoded column; dict is scratch space.
func (c *columnBuffer) appendColumn(dst []byte, rows int, dict map[string]byte) []byte {
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
	encoding := c.chooseEncoding(dict)
	dst = append(dst, flags, encoding)
	dst = binary.AppendUvarint(dst, uint64(len(c.ends)))
	if !dense {
		prev := uint32(0)
		for _, r := range c.rows {
			dst = binary.AppendUvarint(dst, uint64(r-prev))
			prev = r
		}
	}
	if mixed {
		dst = append(dst, c.types...)
	} else {
		dst = append(dst, c.types[0])
	}
	switch encoding {
	case valuesConstant:
		dst = appendString(dst, viewString(c.value(0)))
	case valuesDictionary:
		dst = c.appendDictionary(dst, dict)
	case valuesHex:
		dst = c.appendHex(dst)
	default:
		prev := uint32(0)
		for _, end := range c.ends {
			dst = binary.AppendUvarint(dst, uint64(end-prev))
			prev = end
		}
		dst = append(dst, c.text...)
	}
	return dst
}

// chooseEncoding leaves the dictionary, if it is one, in dict.
func (c *columnBuffer) chooseEncoding(dict map[string]byte) byte {
	clear(dict)
	isHex, isDict := len(c.ends) > 0 && hexable(c.value(0)), true
	for i := range c.ends {
		v := c.value(i)
		if isHex && (len(v) != len(c.value(0)) || !hexable(v)) {
			isHex = false
		}
		if isDict {
			if _, ok := dict[string(v)]; !ok {
				if isDict = len(dict) < maxDictionary; isDict {
					dict[string(v)] = byte(len(dict))
				}
			}
		}
		if !isHex && !isDict {
			return valuesPlain
		}
	}
	switch {
	case isDict && len(dict) == 1:
		return valuesConstant
	case isDict:
		return valuesDictionary
	case isHex:
		return valuesHex
	}
	return valuesPlain
}

// hexable reports whether the text is at least 8 bytes as lower-case hex.
func hexable(v []byte) bool {
	if len(v) < 16 || len(v)%2 != 0 {
		return false
	}
	for _, b := range v {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

func (c *columnBuffer) appendDictionary(dst []byte, dict map[string]byte) []byte {
	ordered := make([]string, len(dict))
	for v, i := range dict {
		ordered[i] = v
	}
	dst = binary.AppendUvarint(dst, uint64(len(ordered)))
	for _, v := range ordered {
		dst = appendString(dst, v)
	}
	for i := range c.ends {
		dst = append(dst, dict[string(c.value(i))])
	}
	return dst
}

func (c *columnBuffer) appendHex(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.value(0))/2))
	// All digits were checked, so decoding the whole text at once cannot fail.
	n := len(dst)
	dst = append(dst, make([]byte, len(c.text)/2)...)
	_, _ = hex.Decode(dst[n:], c.text)
	return dst
}

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
	index    []byte   // dictionary

	unhexed []byte // memory behind text of hex columns
}

// decode reads an encoded column of a block with so many rows. It reuses the
// slices that c holds.
func (c *column) decode(data []byte, rows int) error {
	d := decoder{b: data}
	flags, encoding := d.byte(), d.byte()
	if d.err == nil && flags&^(columnSparse|columnMixedTypes) != 0 {
		return fmt.Errorf("column has unknown flags %#x", flags)
	}
	n := d.uvarint()
	if n > maxBlockBytes || (flags&columnSparse == 0 && n != uint64(rows)) {
		return fmt.Errorf("column has %d entries for %d rows: %w", n, rows, errBadLength)
	}
	*c = column{
		entries: int(n), encoding: encoding, sparse: flags&columnSparse != 0,
		starts: c.starts[:0], rows: c.rows[:0], ends: c.ends[:0], dict: c.dict[:0], unhexed: c.unhexed[:0],
	}
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
	c.index = d.bytes(c.entries)
	for _, i := range c.index {
		if int(i) >= n {
			d.fail(errBadLength)
			return
		}
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

// value is the text of an entry.
func (c *column) value(i int) string {
	switch c.encoding {
	case valuesConstant:
		return c.dict[0]
	case valuesDictionary:
		return c.dict[c.index[i]]
	case valuesHex:
		return viewString(c.text[i*c.width : (i+1)*c.width])
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
