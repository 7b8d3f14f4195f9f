package columnar

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/yagura-dev/yagura/query/columnar/shred"
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
	shred   *shred.Encoder
	raw     shred.Sections // of one column
	data    []byte         // all stored pieces
	numbers []int64
}

// maxIdleColumns bounds the column buffers that are kept between blocks.
const maxIdleColumns = 512

func newBlockBuilder(enc *zstd.Encoder) *blockBuilder {
	b := &blockBuilder{enc: enc, fields: map[string]*columnBuffer{}, shred: shred.NewEncoder()}
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
	b.raw.Reset()
	b.numbers = appendTimes(&b.raw, b.numbers[:0], b.times, b.least, b.shred)
	b.column(columnTime, "")
	b.raw.Reset()
	refs, columns := b.refs()
	b.line.encodeLines(&b.raw, b.times, refs, columns, b.shred)
	b.column(columnLine, "")
	for _, name := range b.names {
		b.raw.Reset()
		b.fields[name].encode(&b.raw, b.times, b.shred)
		b.column(columnField, name)
	}
	return b.finish(dst, b.data)
}

// adopt appends the block with columns that are encoded already. It holds the same
// rows as the one they come from, whose streams may have other numbers.
func (b *blockBuilder) adopt(dst []byte, h *blockHeader, data []byte) ([]byte, blockMeta) {
	b.columns = append(b.columns[:0], h.columns...)
	return b.finish(dst, data)
}

// finish appends the header and the stored pieces.
func (b *blockBuilder) finish(dst, data []byte) ([]byte, blockMeta) {
	start := len(dst)
	dst = b.appendHeader(dst)
	meta := blockMeta{
		header: uint32(len(dst) - start),
		rows:   uint32(len(b.times)),
		raw:    uint32(min(b.size(), math.MaxUint32)),
		least:  b.least,
		latest: b.latest,
	}
	dst = append(dst, data...)
	meta.size = uint32(len(dst) - start)
	return dst, meta
}

// minRefLength is the shortest value for which a field is worth a look.
const minRefLength = 16

// refs lists the fields whose values may stand in lines, with their places among
// the block's columns: behind the times and the lines.
func (b *blockBuilder) refs() ([]shred.Ref, []int) {
	var refs []shred.Ref
	var columns []int
	for i, name := range b.names {
		c := b.fields[name]
		if len(c.value(0)) < minRefLength || len(refs) == shred.MaxRefs {
			continue
		}
		refs = append(refs, shred.Ref{Text: c.text, Ends: c.ends, Rows: c.rows})
		columns = append(columns, i+2)
	}
	return refs, columns
}

// column stores b.raw as a column.
func (b *blockBuilder) column(kind byte, name string) {
	c := blockColumn{kind: kind, name: name}
	for i, raw := range [pieceCount][]byte{b.raw.Main, b.raw.Indexes, b.raw.IDs, b.raw.Text} {
		// Ids that somebody counts up, unlike random ones, compress.
		c.pieces[i] = b.piece(raw, i == pieceIDs && shred.Random(raw))
	}
	b.columns = append(b.columns, c)
}

// piece stores the bytes as a piece, compressed unless that is known to be in vain.
func (b *blockBuilder) piece(raw []byte, random bool) blockPiece {
	p := blockPiece{size: len(raw)}
	if len(raw) <= maxInline {
		p.method, p.inline = methodInline, slices.Clone(raw)
		return p
	}
	at := len(b.data)
	if !random {
		b.data = b.enc.EncodeAll(raw, b.data)
		p.method = methodZstd
	}
	if random || len(b.data)-at >= len(raw) {
		b.data = append(b.data[:at], raw...)
		p.method = methodStored
	}
	p.stored = len(b.data) - at
	p.crc = checksum(b.data[at:])
	return p
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
		at := len(dst)
		dst = append(dst, 0)
		for p := range c.pieces {
			if p == pieceMain || c.pieces[p].size > 0 {
				dst[at] |= 1 << p
				dst = c.pieces[p].append(dst)
			}
		}
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

func (p *blockPiece) append(dst []byte) []byte {
	dst = append(dst, p.method)
	dst = binary.AppendUvarint(dst, uint64(p.size))
	if p.method == methodInline {
		return append(dst, p.inline...)
	}
	dst = binary.AppendUvarint(dst, uint64(p.stored))
	return binary.LittleEndian.AppendUint32(dst, p.crc)
}
