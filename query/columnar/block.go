package columnar

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A block is the rows of one stream, or of several that are small, sorted by
// stream and then by time. The rows of one stream in it are a run. It is
//
//	header
//	  magic    4 bytes  "YBK" and the format version
//	  rows     uvarint
//	  least    varint   the least timestamp
//	  span     uvarint  the greatest minus the least
//	  runs     uvarint  count, then for each
//	    stream uvarint  index in the part's streams, as difference to the run before
//	    rows   uvarint
//	  columns  uvarint  count, then for each
//	    kind   byte     time, line or field
//	    name   string   of a field
//	    pieces byte     bit p: piece p is there; then for each that is
//	      method byte     stored, zstd or inline
//	      size   uvarint  uncompressed
//	      stored uvarint  on disk; an inline piece has its bytes here instead
//	      crc    uint32   CRC-32C of the stored bytes; not if inline
//	  crc      uint32   CRC-32C of the header so far
//	data       the pieces that are not inline, in header order
//
// The pieces of a column are the sections of package shred: descriptions and
// dictionaries, small numbers, packed ids, text. They compress apart because they
// compress differently (ids not at all, so they are stored as they are and can be
// searched at no cost), and because a query reads only the columns and pieces it
// wants, each has its own checksum. Pieces of a few bytes, constants above all, are
// inline: reading them costs nothing beyond the header.
//
// Version 1 began with "YBLK". Its columns have one piece each, whose entry has no
// byte for the pieces before it.
const blockVersion = 2

const (
	columnTime byte = iota
	columnLine
	columnField
)

const (
	methodStored byte = iota
	methodZstd
	methodInline
)

// The pieces of a column.
const (
	pieceMain = iota
	pieceIndexes
	pieceIDs
	pieceText
	pieceCount
)

// maxInline is the size up to which a piece lies in the header.
const maxInline = 48

var (
	blockMagic   = []byte{'Y', 'B', 'K', blockVersion}
	blockMagicV1 = []byte("YBLK")
)

// blockRun is a run in a block's header.
type blockRun struct {
	stream uint32
	rows   int
}

// blockColumn is a column's entry in a block's header.
type blockColumn struct {
	kind   byte
	name   string
	pieces [pieceCount]blockPiece
}

// blockPiece is where a piece of a column lies; one that is not there is empty.
type blockPiece struct {
	method byte
	size   int    // uncompressed
	stored int    // on disk
	offset int64  // in the part's file
	crc    uint32 // of the stored bytes
	inline []byte
}

// blockHeader is a decoded header. Its strings are its own.
type blockHeader struct {
	version byte
	rows    int
	least   int64
	runs    []blockRun
	columns []blockColumn
	line    int // index of the line column
}

// decodeBlockHeader reads a header that lies at offset in the file.
func decodeBlockHeader(b []byte, offset int64) (*blockHeader, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("block header: %w", errTruncated)
	}
	h := &blockHeader{line: -1, version: b[3]}
	switch {
	case string(b[:4]) == string(blockMagicV1):
		h.version = 1
	case string(b[:3]) != string(blockMagic[:3]) || h.version == 0:
		return nil, fmt.Errorf("block header: no block starts here")
	}
	body := b[:len(b)-4]
	if checksum(body) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("block header: %w", errChecksum)
	}
	// Only now, since a flipped bit is no newer version.
	if h.version > blockVersion {
		return nil, fmt.Errorf("block of version %d: %w", h.version, ErrNewerFormat)
	}
	d := decoder{b: slices.Clone(body), off: 4}
	rows := d.uvarint()
	h.least = d.varint()
	d.uvarint()
	h.readRuns(&d, rows)
	at := offset + int64(len(b))
	for range d.count(3) {
		c := blockColumn{kind: d.byte()}
		if c.kind == columnField {
			c.name = d.view()
		}
		pieces := byte(1 << pieceMain)
		if h.version > 1 {
			pieces = d.byte()
		}
		if c.kind > columnField || pieces>>pieceCount != 0 || pieces&(1<<pieceMain) == 0 {
			d.fail(errBadLength)
		}
		for i := range c.pieces {
			if pieces>>i&1 != 0 {
				c.pieces[i].read(&d, &at)
			}
		}
		if d.err != nil {
			break
		}
		if c.kind == columnLine {
			h.line = len(h.columns)
		}
		h.columns = append(h.columns, c)
	}
	if d.err == nil && (d.left() != 0 || h.line < 0 || h.columns[0].kind != columnTime) {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("block header: %w", d.err)
	}
	return h, nil
}

// read reads a piece's entry; its data is the next that lies at *at.
func (p *blockPiece) read(d *decoder, at *int64) {
	p.method = d.byte()
	size := d.uvarint()
	if p.method > methodInline || size > maxBlockBytes {
		d.fail(errBadLength)
		return
	}
	p.size = int(size)
	if p.method == methodInline {
		p.inline = d.bytes(p.size)
		return
	}
	stored := d.uvarint()
	// Either there are bytes on disk and in memory, or in neither.
	if stored > maxBlockBytes || (p.method == methodStored && stored != size) || (stored == 0) != (size == 0) {
		d.fail(errBadLength)
		return
	}
	p.stored, p.offset, p.crc = int(stored), *at, d.uint32()
	*at += int64(stored)
}

func (h *blockHeader) readRuns(d *decoder, rows uint64) {
	stream, sum := uint64(0), uint64(0)
	for range d.count(2) {
		stream += d.uvarint()
		n := d.uvarint()
		if sum += n; n == 0 || n > maxBlockBytes || sum > maxBlockBytes || stream > math.MaxUint32 {
			d.fail(errBadLength)
			return
		}
		h.runs = append(h.runs, blockRun{stream: uint32(stream), rows: int(n)})
	}
	if sum != rows || sum == 0 {
		d.fail(errBadLength)
	}
	h.rows = int(sum)
}

// field finds a field's column, or returns -1.
func (h *blockHeader) field(name string) int {
	for i := range h.columns {
		if h.columns[i].kind == columnField && h.columns[i].name == name {
			return i
		}
	}
	return -1
}

// blockCodec compresses and decompresses for the whole store.
type blockCodec struct {
	flush, merge *zstd.Encoder // each used by one goroutine
	dec          *zstd.Decoder
}

func newBlockCodec() (*blockCodec, error) {
	flush, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(2<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("compressor: %w", err)
	}
	merge, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(2<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxBlockBytes), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("decompressor: %w", err)
	}
	return &blockCodec{flush: flush, merge: merge, dec: dec}, nil
}

// decompress appends the column's bytes to dst[:0].
func (c *blockCodec) decompress(dst, stored []byte, method byte, size int) ([]byte, error) {
	if method == methodStored {
		return append(dst[:0], stored...), nil
	}
	// The capacity is the limit of what the frame may expand to.
	dst = slices.Grow(dst[:0], size)
	out, err := c.dec.DecodeAll(stored, dst[:0:size])
	if err != nil {
		return dst, fmt.Errorf("decompress: %w", err)
	}
	if len(out) != size {
		return dst, fmt.Errorf("decompress: %w", errBadLength)
	}
	if size > 0 && &out[0] == &dst[:1][0] {
		return dst[:size], nil // with all of its capacity, for the next time
	}
	return out, nil
}
