package columnar

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// A rollup says what the columns of a run of blocks hold, so that the names and
// values of fields are known without reading the blocks, and blocks without a
// number in the wanted range are not opened. It is a section behind the blocks that
// it is about: all since the rollup before it.
//
//	size  uint32  uncompressed
//	crc   uint32  CRC-32C of the rest
//	names, compressed with zstd: uvarint count, then for each
//	  name     string
//	  values   uvarint count, then for each: byte type, string
//	  sketch   byte 1 and 256 bytes, if some block has values that are not listed,
//	           see type sketch; or byte 0
//	  blocks   uvarint count, then for each block that has the name
//	    block    uvarint difference to the block before
//	    about    byte    bits 0 to 5: the value types seen; bit 6: there is a range;
//	                     bit 7: values are listed
//	    rows     uvarint rows with the name
//	    distinct uvarint different values
//	    range    two float64, the least and the greatest number, both inclusive
//	    listed   uvarint count, then for each: uvarint index in values, uvarint times
//
// Values are listed unless they are ids, or nearly as many as rows. A range is about all
// values of the column that are numbers.
const (
	rollupRange  = 1 << 6
	rollupListed = 1 << 7
)

const (
	// maxListed is how many values of a column of one block are listed at least; of a
	// column with many rows, up to an eighth of them.
	minListed, maxListed = 64, 1024
	// maxListedBytes keeps columns of long texts out.
	maxListedBytes = 128
	// maxRollupBytes is about how big a rollup grows before it is written.
	maxRollupBytes = 2 << 20
)

// rollup is a decoded section.
type rollup struct {
	names  map[string]*rollupName
	memory int64
}

// rollupName is what a rollup says about one name.
type rollupName struct {
	values []FieldValue // without Rows
	sketch *sketch
	blocks []rollupBlock // ascending
}

// rollupBlock is what a rollup says about a name in one block.
type rollupBlock struct {
	block          uint32 // counted from the section's first
	about          byte
	rows, distinct uint32
	least, latest  float64 // if about says so
	listed         []listedValue
}

type listedValue struct{ value, times uint32 }

// append appends the names, uncompressed.
func (r *rollup) append(dst []byte) []byte {
	names := make([]string, 0, len(r.names))
	for name := range r.names {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range names {
		dst = appendString(dst, name)
		dst = r.names[name].append(dst)
	}
	return dst
}

func (n *rollupName) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(n.values)))
	for _, v := range n.values {
		dst = append(dst, byte(v.Type))
		dst = appendString(dst, v.Value)
	}
	if n.sketch == nil {
		dst = append(dst, 0)
	} else {
		dst = append(append(dst, 1), n.sketch[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(n.blocks)))
	prev := uint32(0)
	for i := range n.blocks {
		b := &n.blocks[i]
		dst = binary.AppendUvarint(dst, uint64(b.block-prev))
		dst = append(dst, b.about)
		dst = binary.AppendUvarint(dst, uint64(b.rows))
		dst = binary.AppendUvarint(dst, uint64(b.distinct))
		if b.about&rollupRange != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(b.least))
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(b.latest))
		}
		if b.about&rollupListed != 0 {
			dst = binary.AppendUvarint(dst, uint64(len(b.listed)))
			for _, l := range b.listed {
				dst = binary.AppendUvarint(dst, uint64(l.value))
				dst = binary.AppendUvarint(dst, uint64(l.times))
			}
		}
		prev = b.block
	}
	return dst
}

// decodeRollup reads the names of a rollup, whose strings share the memory of data.
func decodeRollup(data []byte) (*rollup, error) {
	d := &decoder{b: data}
	r := &rollup{names: map[string]*rollupName{}, memory: int64(len(data))}
	for range d.count(4) {
		name := d.view()
		n := &rollupName{}
		n.decode(d)
		if d.err != nil {
			break
		}
		r.names[name] = n
		r.memory += int64(128 + len(n.values)*32 + len(n.blocks)*64)
		for i := range n.blocks {
			r.memory += int64(len(n.blocks[i].listed)) * 8
		}
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("rollup: %w", d.err)
	}
	return r, nil
}

func (n *rollupName) decode(d *decoder) {
	for range d.count(2) {
		v := FieldValue{Type: ValueType(d.byte()), Value: d.view()}
		if v.Type > JSON {
			d.fail(errBadLength)
			return
		}
		n.values = append(n.values, v)
	}
	if d.byte() != 0 {
		if b := d.bytes(len(n.sketch)); b != nil {
			n.sketch = (*sketch)(b)
		}
	}
	block := uint64(0)
	for range d.count(4) {
		block += d.uvarint()
		b := rollupBlock{block: uint32(block), about: d.byte()}
		rows, distinct := d.uvarint(), d.uvarint()
		if max(block, rows, distinct) > math.MaxUint32 {
			d.fail(errBadLength)
			return
		}
		b.rows, b.distinct = uint32(rows), uint32(distinct)
		if b.about&rollupRange != 0 {
			b.least, b.latest = d.float64(), d.float64()
		}
		if b.about&rollupListed != 0 {
			n.decodeListed(d, &b)
		}
		n.blocks = append(n.blocks, b)
	}
}

func (n *rollupName) decodeListed(d *decoder, b *rollupBlock) {
	for range d.count(2) {
		value, times := d.uvarint(), d.uvarint()
		if value >= uint64(len(n.values)) || times > math.MaxUint32 {
			d.fail(errBadLength)
			return
		}
		b.listed = append(b.listed, listedValue{uint32(value), uint32(times)})
	}
}

func (d *decoder) float64() float64 {
	if b := d.bytes(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

const rollupHeadSize = 8

// rollup is a section of the part, from the cache if it is there.
func (s *Store) rollup(p *part, at int) (*rollup, error) {
	key := indexKey{p.ID, at}
	if r, ok := s.indexes.get(key).(*rollup); ok {
		return r, nil
	}
	sec := &p.sections[at]
	stored := make([]byte, sec.size)
	if err := p.readAt(stored, sec.offset); err != nil {
		return nil, err
	}
	if len(stored) < rollupHeadSize {
		return nil, fmt.Errorf("rollup: %w", errTruncated)
	}
	size := binary.LittleEndian.Uint32(stored)
	if size > maxBlockBytes {
		return nil, fmt.Errorf("rollup: %w", errBadLength)
	}
	if checksum(stored[rollupHeadSize:]) != binary.LittleEndian.Uint32(stored[4:]) {
		return nil, fmt.Errorf("rollup: %w", errChecksum)
	}
	data, err := s.codec.decompress(nil, stored[rollupHeadSize:], methodZstd, int(size))
	if err != nil {
		return nil, fmt.Errorf("rollup: %w", err)
	}
	r, err := decodeRollup(data)
	if err != nil {
		return nil, err
	}
	s.indexes.put(key, r, r.memory)
	return r, nil
}
