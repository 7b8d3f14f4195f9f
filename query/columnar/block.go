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
//	  magic    4 bytes  "YBLK"
//	  rows     uvarint
//	  least    varint   the least timestamp
//	  span     uvarint  the greatest minus the least
//	  runs     uvarint  count, then for each
//	    stream uvarint  index in the part's streams, as difference to the run before
//	    rows   uvarint
//	  columns  uvarint  count, then for each
//	    kind   byte     time, line or field
//	    name   string   of a field
//	    method byte     stored, zstd or inline
//	    size   uvarint  uncompressed
//	    stored uvarint  on disk; an inline column has its bytes here instead
//	    crc    uint32   CRC-32C of the stored bytes; not if inline
//	  crc      uint32   CRC-32C of the header so far
//	data       the columns that are not inline, in header order
//
// Each column has its own checksum because a query reads only the columns it
// wants. Columns of a few bytes, constants above all, are inline: reading them
// costs nothing beyond the header.
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

// maxInline is the size up to which a column lies in the header.
const maxInline = 48

var blockMagic = []byte("YBLK")

// blockRun is a run in a block's header.
type blockRun struct {
	stream uint32
	rows   int
}

// blockColumn is a column's entry in a block's header.
type blockColumn struct {
	kind   byte
	name   string
	method byte
	size   int    // uncompressed
	stored int    // on disk
	offset int64  // in the part's file
	crc    uint32 // of the stored bytes
	inline []byte
}

// blockHeader is a decoded header. Its strings are its own.
type blockHeader struct {
	rows    int
	least   int64
	runs    []blockRun
	columns []blockColumn
	line    int // index of the line column
}

// decodeBlockHeader reads a header that lies at offset in the file.
func decodeBlockHeader(b []byte, offset int64) (*blockHeader, error) {
	if len(b) < 8 || string(b[:4]) != string(blockMagic) {
		return nil, fmt.Errorf("block header: no block starts here")
	}
	body := b[:len(b)-4]
	if checksum(body) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("block header: %w", errChecksum)
	}
	d := decoder{b: slices.Clone(body), off: 4}
	h := &blockHeader{line: -1}
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
		c.method = d.byte()
		size := d.uvarint()
		if c.kind > columnField || c.method > methodInline || size > maxBlockBytes {
			d.fail(errBadLength)
			break
		}
		c.size = int(size)
		if c.method == methodInline {
			c.inline = d.bytes(c.size)
		} else {
			stored := d.uvarint()
			if stored > maxBlockBytes || (c.method == methodStored && stored != size) {
				d.fail(errBadLength)
				break
			}
			c.stored, c.offset, c.crc = int(stored), at, d.uint32()
			at += int64(stored)
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
