package columnar

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/klauspost/compress/zstd"
)

// partWriter writes one part from rows sorted by (stream, time).
type partWriter struct {
	store   *Store
	meta    partMeta
	path    string
	file    *os.File
	sum     *sumWriter
	out     *bufio.Writer
	offset  int64
	builder *blockBuilder
	values  valueWriter
	grams   gramWriter
	buf     []byte
	adopted adoption

	streams []*stream
	index   partIndex
}

// newPartWriter creates the part's file. The streams of the rows that follow come
// in part order.
func (s *Store) newPartWriter(m partMeta, enc *zstd.Encoder) (*partWriter, error) {
	m.ID = s.nextPart.Add(1)
	w := &partWriter{store: s, meta: m, path: s.partPath(m), builder: newBlockBuilder(enc), offset: partHeaderSize}
	w.values.table = m.Table
	w.meta.Least, w.meta.Latest, w.meta.RetainedFrom = maxTime, minTime, minTime
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create part: %w", err)
	}
	w.file, w.sum = f, &sumWriter{file: f}
	w.out = bufio.NewWriterSize(w.sum, 256<<10)
	if _, err := w.out.Write(partMagic); err != nil {
		return nil, errors.Join(fmt.Errorf("write part: %w", err), w.abort())
	}
	return w, nil
}

// spanBlocks is by how much blocks of spans are smaller than those of logs. A trace
// is a few spans of many streams, each in a block of its own that has to be opened:
// this finds one three times as fast, for 2% more bytes.
const spanBlocks = 4

// blockBytes is the uncompressed size at which a block is closed.
func (w *partWriter) blockBytes() int64 {
	n := int64(w.store.cfg.BlockBytes)
	if w.meta.Table == Spans {
		n = max(n/spanBlocks, 4<<10)
	}
	return n
}

// add appends a row of a stream.
func (w *partWriter) add(st *stream, ts int64, line string, fields []Field) error {
	limit := w.blockBytes()
	if n := len(w.streams); n == 0 || w.streams[n-1] != st {
		// A stream with enough rows of its own starts its own block; a small one
		// shares the block of its neighbours.
		if w.builder.size() >= limit/2 {
			if err := w.finishBlock(); err != nil {
				return err
			}
		}
		w.streams = append(w.streams, st)
	}
	w.values.line(line)
	if w.meta.Table == Logs {
		w.grams.line(line)
	}
	w.builder.add(uint32(len(w.streams)-1), ts, line, fields)
	if w.builder.size() >= limit {
		return w.finishBlock()
	}
	return nil
}

func (w *partWriter) finishBlock() error {
	b := w.builder
	if b.rows() == 0 {
		return nil
	}
	var meta blockMeta
	digits := w.values.finish(b)
	w.buf, meta = w.encodeBlock(w.buf[:0])
	meta.offset, meta.firstRun, meta.runs = w.offset, uint32(len(w.index.runs)), uint32(len(b.runs))
	meta.digits = digits
	for _, r := range b.runs {
		r.block = uint32(len(w.index.blocks))
		w.index.runs = append(w.index.runs, r)
	}
	w.index.blocks = append(w.index.blocks, meta)
	w.meta.Rows += int64(meta.rows)
	w.meta.RawBytes += int64(meta.raw)
	w.meta.Least, w.meta.Latest = min(w.meta.Least, meta.least), max(w.meta.Latest, meta.latest)
	b.reset()
	w.offset += int64(len(w.buf))
	if _, err := w.out.Write(w.buf); err != nil {
		return fmt.Errorf("write part %s: %w", w.path, err)
	}
	if w.meta.Table == Logs {
		w.grams.finish()
	}
	if w.grams.full() {
		if err := w.writeGrams(); err != nil {
			return err
		}
	}
	if w.values.full() {
		if err := w.writeSections(); err != nil {
			return err
		}
	}
	if cap(w.buf) > 8<<20 {
		w.buf = nil
	}
	return nil
}

// writeSections writes what there is to say about the blocks since the last ones.
func (w *partWriter) writeSections() error {
	if w.values.blocks == 0 {
		return nil
	}
	if err := w.writeSection(sectionRollup, w.values.rollup.section(w.buf[:0], w.builder.enc)); err != nil {
		return err
	}
	return w.writeSection(sectionValues, w.values.section(w.buf[:0]))
}

func (w *partWriter) writeGrams() error {
	if data := w.grams.section(w.buf[:0], w.builder.enc); len(data) > 0 {
		return w.writeSection(sectionGrams, data)
	}
	return nil
}

func (w *partWriter) writeSection(kind byte, data []byte) error {
	w.buf = data
	w.index.sections = append(w.index.sections, section{
		kind: kind, after: uint32(len(w.index.blocks)), size: uint32(len(data)), offset: w.offset,
	})
	w.offset += int64(len(data))
	if _, err := w.out.Write(data); err != nil {
		return fmt.Errorf("write part %s: %w", w.path, err)
	}
	return nil
}

// finish makes the file durable and opens the part. A part without rows comes
// back as nil and leaves no file.
func (w *partWriter) finish() (*part, error) {
	if err := w.finishBlock(); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	if len(w.index.blocks) == 0 {
		return nil, w.abort()
	}
	if err := w.writeSections(); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	if err := w.writeGrams(); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	if err := w.writeIndex(); err != nil {
		return nil, errors.Join(fmt.Errorf("write part %s: %w", w.path, err), w.abort())
	}
	p := &part{partMeta: w.meta, path: w.path, file: w.file, registry: w.store.registry, streams: w.streams, blocks: w.index.blocks, runs: w.index.runs, sections: w.index.sections}
	for i, st := range w.streams {
		p.streams[i] = w.store.registry.hold(st.table, st.tenant, st.labels)
	}
	p.retained.Store(w.meta.RetainedFrom)
	p.purged.Store(w.meta.Purged)
	p.admit(w.store.rules)
	p.noteTimes()
	p.hold()
	return p, nil
}

func (w *partWriter) writeIndex() error {
	raw := appendPartIndex(nil, w.streams, &w.index)
	if len(raw) > maxBlockBytes {
		return fmt.Errorf("index of %d bytes: %w", len(raw), errBadLength)
	}
	stored := w.builder.enc.EncodeAll(raw, nil)
	for i := range 2 {
		if _, err := w.out.Write(stored); err != nil {
			return err
		}
		f := partFooter{offset: w.offset, stored: len(stored), size: len(raw), crc: checksum(stored)}
		w.offset += int64(len(stored))
		if _, err := w.out.Write(f.append(nil)); err != nil {
			return err
		}
		w.offset += partFooterSize
		if i == 0 {
			w.meta.FirstIndexEnd = w.offset
		}
	}
	w.meta.Bytes = w.offset
	if err := w.out.Flush(); err != nil {
		return err
	}
	w.meta.Checksum = w.sum.sum
	return w.file.Sync()
}

// sumWriter keeps the CRC-32C of everything written.
type sumWriter struct {
	file *os.File // or nil
	sum  uint32
}

func (w *sumWriter) Write(b []byte) (int, error) {
	n, err := len(b), error(nil)
	if w.file != nil {
		n, err = w.file.Write(b)
	}
	w.sum = crc32.Update(w.sum, castagnoli, b[:n])
	return n, err
}

// abort removes the file.
func (w *partWriter) abort() error {
	return errors.Join(w.file.Close(), os.Remove(w.path))
}
