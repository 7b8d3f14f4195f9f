package columnar

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// blockReader decodes one block, column by column as asked. It may be loaded with
// one block after another; what it returned for the last one is then invalid.
type blockReader struct {
	part   *part
	meta   *blockMeta
	header *blockHeader
	times  []int64

	timed   bool   // times are loaded
	whole   bool   // read all of a block, however big
	block   []byte // all of it, or nothing
	stored  []byte // what was read from disk, one piece at a time
	found   []foundLines
	rawTime [pieceCount][]byte
	columns []blockReaderColumn // by index in header.columns

	captured shred.Captured
	selected []uint32 // scratch space of whoever filters the rows

	// What was read of this block so far.
	bytes, compressed int64
}

type blockReaderColumn struct {
	column
	pieces  pieceSource
	opened  bool
	decoded bool
}

// damageError is a piece of a part that is not what was written. The block's rows
// are lost; other errors may be of the moment.
type damageError struct {
	path   string
	offset int64
	what   string
	err    error
}

func (e *damageError) Error() string {
	return fmt.Sprintf("block of %s at offset %d is damaged: %s: %v", e.path, e.offset, e.what, e.err)
}

func (e *damageError) Unwrap() error { return e.err }

// readError is a read that failed, which says nothing about the data. A query takes
// one of a bad sector for damage too; a rewrite must not, since the rows may be there.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

func (r *blockReader) damage(what string, err error) error {
	if errors.As(err, new(*damageError)) || errors.As(err, new(*readError)) {
		return err // which is about a piece of it, or of the moment
	}
	// A block of a newer version is no damage, and nobody must go on without it.
	if errors.Is(err, ErrNewerFormat) {
		return fmt.Errorf("%s at offset %d: %w", r.part.path, r.meta.offset, err)
	}
	return &damageError{path: r.part.path, offset: r.meta.offset, what: what, err: err}
}

// guard turns a panic while the block is decoded into damage of it: a file that a
// decoder does not expect costs the rows of one block, not the process.
func (r *blockReader) guard(err *error) {
	if v := recover(); v != nil {
		*err = r.damage("decoding", panicked(v))
	}
}

// load reads a block's header and timestamps.
func (r *blockReader) load(p *part, b *blockMeta, codec *blockCodec) error {
	if err := r.loadHeader(p, b); err != nil {
		return err
	}
	return r.loadTimes(codec)
}

// loadMatching is load for the rows that satisfy the predicates. It reports false,
// and reads no timestamps, when the encoded lines say that there are none.
func (r *blockReader) loadMatching(p *part, b *blockMeta, pred *predicates, codec *blockCodec) (bool, error) {
	if err := r.loadHeader(p, b); err != nil {
		return false, err
	}
	for i := range pred.lines {
		if none, err := r.excludes(&pred.lines[i], codec); none || err != nil {
			return false, err
		}
	}
	return true, r.loadTimes(codec)
}

// maxWhole is the size up to which a block is read at once: a call costs as much as
// copying a few thousand bytes.
const maxWhole = 128 << 10

func (r *blockReader) loadHeader(p *part, b *blockMeta) error {
	r.part, r.meta, r.header, r.timed = p, b, nil, false
	r.bytes, r.compressed = 0, 0
	r.block = r.block[:0]
	clear(r.found)
	r.found = r.found[:0]
	if b.size <= maxWhole || r.whole {
		whole, err := r.read(b.offset, int(b.size), &r.block)
		if err != nil {
			return err
		}
		r.block = whole
	}
	data, err := r.read(b.offset, int(b.header), &r.stored)
	if err != nil {
		return err
	}
	h, err := decodeBlockHeader(data, b.offset)
	if err != nil {
		return r.damage("header", err)
	}
	if h.rows != int(b.rows) || len(h.runs) != int(b.runs) {
		return r.damage("header", errors.New("it is not the block that the index names"))
	}
	r.header = h
	for i := range r.columns {
		r.columns[i].opened, r.columns[i].decoded = false, false
	}
	if n := len(h.columns); n > len(r.columns) {
		r.columns = append(r.columns, make([]blockReaderColumn, n-len(r.columns))...)
	}
	return nil
}

// loadTimes decodes the timestamps, once.
func (r *blockReader) loadTimes(codec *blockCodec) error {
	if r.timed {
		return nil
	}
	h := r.header
	data, err := r.fetchAll(&h.columns[0], &r.rawTime, codec)
	if err != nil {
		return err
	}
	if h.version == 1 {
		r.times, err = decodeTimesV1(r.times[:0], data.Main, h.runs, h.least)
	} else {
		r.times, err = decodeTimes(r.times[:0], &data, h.rows, h.least)
	}
	if err != nil {
		return r.damage("timestamps", err)
	}
	r.timed = true
	return nil
}

// timeOf is the time of a row.
func (r *blockReader) timeOf(codec *blockCodec) func(row int) (int64, error) {
	return func(row int) (int64, error) {
		if err := r.loadTimes(codec); err != nil {
			return 0, err
		}
		return r.times[row], nil
	}
}

// read returns bytes of the file, in *buf unless they are here already.
func (r *blockReader) read(offset int64, n int, buf *[]byte) ([]byte, error) {
	if at := offset - r.meta.offset; at >= 0 && at+int64(n) <= int64(len(r.block)) {
		return r.block[at : at+int64(n)], nil
	}
	out := slices.Grow((*buf)[:0], n)[:n]
	*buf = out
	if _, err := r.part.file.ReadAt(out, offset); err != nil {
		failed := &readError{fmt.Errorf("read %s at offset %d: %w", r.part.path, offset, err)}
		if errors.Is(err, syscall.EIO) || errors.Is(err, io.EOF) {
			return nil, &damageError{path: r.part.path, offset: r.meta.offset, what: "unreadable", err: failed}
		}
		return nil, failed
	}
	r.compressed += int64(n)
	return out, nil
}

// fetchAll returns all pieces of a column, in bufs unless they are inline.
func (r *blockReader) fetchAll(c *blockColumn, bufs *[pieceCount][]byte, codec *blockCodec) (shred.Sections, error) {
	var out [pieceCount][]byte
	for i := range c.pieces {
		var err error
		if out[i], err = r.fetch(c, i, &bufs[i], codec); err != nil {
			return shred.Sections{}, err
		}
	}
	return shred.Sections{Main: out[pieceMain], Indexes: out[pieceIndexes], IDs: out[pieceIDs], Text: out[pieceText]}, nil
}

// fetch returns a piece's uncompressed bytes, in *buf unless they are inline.
func (r *blockReader) fetch(c *blockColumn, piece int, buf *[]byte, codec *blockCodec) ([]byte, error) {
	p := &c.pieces[piece]
	r.bytes += int64(p.size)
	if p.method == methodInline || p.stored == 0 {
		if len(p.inline) != p.size {
			return nil, r.damage(c.label(), errBadLength)
		}
		return p.inline, nil
	}
	stored, err := r.read(p.offset, p.stored, &r.stored)
	if err != nil {
		return nil, err
	}
	if checksum(stored) != p.crc {
		return nil, r.damage(c.label(), errChecksum)
	}
	if p.method == methodStored && len(r.block) > 0 {
		return stored, nil
	}
	out, err := codec.decompress(*buf, stored, p.method, p.size)
	*buf = out
	if err != nil {
		return nil, r.damage(c.label(), err)
	}
	return out, nil
}

func (c *blockColumn) label() string {
	switch c.kind {
	case columnTime:
		return "timestamps"
	case columnLine:
		return "lines"
	}
	return fmt.Sprintf("field %q", c.name)
}

// pieceSource reads the pieces of a column when they are needed.
type pieceSource struct {
	reader *blockReader
	codec  *blockCodec
	entry  *blockColumn
	raw    [pieceCount][]byte
	data   [pieceCount][]byte
	loaded [pieceCount]bool
}

// Size implements shred.Source.
func (s *pieceSource) Size(x shred.Section) int { return s.entry.pieces[x].size }

// Load implements shred.Source.
func (s *pieceSource) Load(x shred.Section) ([]byte, error) {
	if !s.loaded[x] {
		var err error
		if s.data[x], err = s.reader.fetch(s.entry, int(x), &s.raw[x], s.codec); err != nil {
			return nil, err
		}
		s.loaded[x] = true
	}
	return s.data[x], nil
}

// open reads what the column with this index in the header is, once, and no more of
// it than that takes.
func (r *blockReader) open(i int, codec *blockCodec) (*column, error) {
	c := &r.columns[i]
	if c.opened {
		return &c.column, nil
	}
	c.pieces = pieceSource{reader: r, codec: codec, entry: &r.header.columns[i], raw: c.pieces.raw}
	err := c.column.open(&c.pieces, r.header.rows)
	if err == nil && (i == r.header.line && c.sparse || i != r.header.line && c.encoding == valuesLines) {
		err = errBadLength
	}
	for _, k := range c.refs {
		if err == nil && (k >= len(r.header.columns) || r.header.columns[k].kind != columnField) {
			err = errBadLength
		}
	}
	if err != nil {
		return nil, r.damage(r.header.columns[i].label(), err)
	}
	c.opened = true
	return &c.column, nil
}

// column decodes the column with this index in the header, once.
func (r *blockReader) column(i int, codec *blockCodec) (*column, error) {
	c, err := r.open(i, codec)
	if err != nil || r.columns[i].decoded {
		return c, err
	}
	if err = r.loadTimes(codec); err != nil {
		return nil, err
	}
	if c.encoding == valuesLines {
		err = r.prepare(c, nil, codec)
	} else {
		err = c.load(r.times)
	}
	if err != nil {
		return nil, r.damage(r.header.columns[i].label(), err)
	}
	r.columns[i].decoded = true
	return c, nil
}

// lines decodes what the lines of the rows need.
func (r *blockReader) lines(rows []uint32, codec *blockCodec) (*column, error) {
	c, err := r.open(r.header.line, codec)
	if err != nil || r.columns[r.header.line].decoded {
		return c, err
	}
	if c.encoding != valuesLines {
		return r.column(r.header.line, codec)
	}
	if err := r.loadTimes(codec); err != nil {
		return nil, err
	}
	if err := r.prepare(c, rows, codec); err != nil {
		return nil, r.damage("lines", err)
	}
	return c, nil
}

// prepare decodes the fields that lines refer to, and what the lines of the rows
// need.
func (r *blockReader) prepare(lines *column, rows []uint32, codec *blockCodec) error {
	fields := make([]*column, len(lines.refs))
	for k, i := range lines.refs {
		var err error
		if fields[k], err = r.column(i, codec); err != nil {
			return err
		}
	}
	return lines.prepare(rows, fields, r.times)
}

// maxReaderBytes is the most memory that a reader takes to the next query; one
// that met rows of many megabytes or thousands of columns is left to the garbage
// collector.
const maxReaderBytes = 8 << 20

// recycle offers the reader to other queries.
func (r *blockReader) recycle() {
	size := cap(r.stored) + cap(r.block) + cap(r.times)*8 + cap(r.selected)*4 + len(r.columns)*256 + r.captured.Memory()
	for i := range r.columns {
		c := &r.columns[i]
		for _, raw := range c.pieces.raw {
			size += cap(raw)
		}
		size += cap(c.unhexed) + 4*(cap(c.ends)+cap(c.rows)+cap(c.starts)+cap(c.index)) + 16*cap(c.dict) + c.values.Memory() + c.shredded.Memory() + 8*cap(c.built)
	}
	if size > maxReaderBytes {
		return
	}
	r.part, r.meta, r.header, r.whole = nil, nil, nil, false
	readers.Put(r)
}
