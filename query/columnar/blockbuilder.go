package columnar

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// blockBuilder gathers the rows of one block and encodes them. Its memory is used
// again for the next block.
type blockBuilder struct {
	enc *zstd.Encoder

	times   []int64
	runs    []runMeta // stream is an index in the part's streams
	least   int64
	latest  int64
	line    columnBuffer
	fields  map[string]*columnBuffer
	names   []string // of the fields in this block
	text    int64    // bytes of lines, and of field values
	columns []blockColumn
	raw     []byte // one encoded column
	data    []byte // all stored columns
	dict    map[string]byte
}

// maxIdleColumns bounds the column buffers that are kept between blocks.
const maxIdleColumns = 512

func newBlockBuilder(enc *zstd.Encoder) *blockBuilder {
	b := &blockBuilder{enc: enc, fields: map[string]*columnBuffer{}, dict: map[string]byte{}}
	b.reset()
	return b
}

func (b *blockBuilder) reset() {
	b.times, b.runs = b.times[:0], b.runs[:0]
	b.least, b.latest = math.MaxInt64, math.MinInt64
	b.line.reset()
	if len(b.fields) > maxIdleColumns {
		clear(b.fields)
	}
	for _, c := range b.fields {
		c.reset()
	}
	clear(b.names)
	b.names = b.names[:0]
	b.text = 0
	b.columns = b.columns[:0]
	b.data = b.data[:0]
}

func (b *blockBuilder) rows() int { return len(b.times) }

// size is about the block's uncompressed size.
func (b *blockBuilder) size() int64 { return b.text + int64(len(b.times))*8 }

// add appends a row. Rows come sorted by stream, then time.
func (b *blockBuilder) add(stream uint32, ts int64, line string, fields []Field) {
	row := uint32(len(b.times))
	if n := len(b.runs); n == 0 || b.runs[n-1].stream != stream {
		b.runs = append(b.runs, runMeta{stream: stream, least: ts, latest: ts})
	}
	run := &b.runs[len(b.runs)-1]
	run.rows++
	run.text += int64(len(line))
	run.latest = ts
	b.times = append(b.times, ts)
	b.least, b.latest = min(b.least, ts), max(b.latest, ts)
	b.line.add(row, line, String)
	b.text += int64(len(line))
	for _, f := range fields {
		c := b.fields[f.Name]
		if c == nil {
			c = &columnBuffer{}
			b.fields[string([]byte(f.Name))] = c // the name may be a view
		}
		if len(c.rows) == 0 {
			b.names = append(b.names, f.Name)
		}
		c.add(row, f.Value, f.Type)
		b.text += int64(len(f.Value)) + 2
	}
}

// encode appends the block to dst and returns it with its index entry, whose
// offset is the caller's.
func (b *blockBuilder) encode(dst []byte) ([]byte, blockMeta) {
	slices.Sort(b.names)
	raw := int64(0)
	counts := make([]int, len(b.runs))
	for i := range b.runs {
		counts[i] = int(b.runs[i].rows)
	}
	b.raw = appendTimes(b.raw[:0], b.times, counts, b.least)
	raw += b.column(columnTime, "")
	b.raw = b.line.appendColumn(b.raw[:0], len(b.times), b.dict)
	raw += b.column(columnLine, "")
	for _, name := range b.names {
		b.raw = b.fields[name].appendColumn(b.raw[:0], len(b.times), b.dict)
		raw += b.column(columnField, name)
	}
	start := len(dst)
	dst = b.appendHeader(dst)
	meta := blockMeta{
		header: uint32(len(dst) - start),
		rows:   uint32(len(b.times)),
		raw:    uint32(raw),
		least:  b.least,
		latest: b.latest,
	}
	dst = append(dst, b.data...)
	meta.size = uint32(len(dst) - start)
	return dst, meta
}

// column stores b.raw as a column and returns its uncompressed size.
func (b *blockBuilder) column(kind byte, name string) int64 {
	c := blockColumn{kind: kind, name: name, size: len(b.raw)}
	if len(b.raw) <= maxInline {
		c.method, c.inline = methodInline, slices.Clone(b.raw)
		b.columns = append(b.columns, c)
		return int64(c.size)
	}
	at := len(b.data)
	b.data = b.enc.EncodeAll(b.raw, b.data)
	c.method = methodZstd
	if len(b.data)-at >= len(b.raw) {
		b.data = append(b.data[:at], b.raw...)
		c.method = methodStored
	}
	c.stored = len(b.data) - at
	c.crc = checksum(b.data[at:])
	b.columns = append(b.columns, c)
	return int64(c.size)
}

func (b *blockBuilder) appendHeader(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, blockMagic...)
	dst = binary.AppendUvarint(dst, uint64(len(b.times)))
	dst = binary.AppendVarint(dst, b.least)
	dst = binary.AppendUvarint(dst, uint64(b.latest-b.least))
	dst = binary.AppendUvarint(dst, uint64(len(b.runs)))
	prev := uint32(0)
	for _, r := range b.runs {
		dst = binary.AppendUvarint(dst, uint64(r.stream-prev))
		dst = binary.AppendUvarint(dst, uint64(r.rows))
		prev = r.stream
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.columns)))
	for i := range b.columns {
		c := &b.columns[i]
		dst = append(dst, c.kind)
		if c.kind == columnField {
			dst = appendString(dst, c.name)
		}
		dst = append(dst, c.method)
		dst = binary.AppendUvarint(dst, uint64(c.size))
		if c.method == methodInline {
			dst = append(dst, c.inline...)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(c.stored))
		dst = binary.LittleEndian.AppendUint32(dst, c.crc)
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}
