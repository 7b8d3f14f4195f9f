package columnar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

// A part is an immutable file of blocks of one table and, as a rule, one UTC day:
//
//	magic   8 bytes  "YGRPRT" and the format version, big-endian
//	blocks
//	index, footer
//	index, footer    the same again
//
// The index, compressed with zstd, is
//
//	streams uvarint  count, then for each: cluster and namespace as strings, the
//	                 count of labels, their names and values as strings
//	blocks  uvarint  count, then for each
//	  header uvarint size of the block's header; blocks lie one behind the other
//	  size   uvarint size of the block
//	  raw    uvarint uncompressed size of its columns
//	  least  varint  its least timestamp
//	  span   uvarint its greatest timestamp minus the least
//	  runs   uvarint count, then for each
//	    stream uvarint  index in streams, as difference to the run before
//	    rows   uvarint
//	    least  uvarint  the run's least timestamp minus the block's
//	    span   uvarint
//
// and the footer
//
//	offset uint64  of the index before it
//	stored uint32  size of the index on disk
//	size   uint32  uncompressed
//	crc    uint32  CRC-32C of the stored index
//	magic  8 bytes as at the start of the file
//	crc    uint32  CRC-32C of the footer so far
//
// Streams are sorted by tenant and labels and blocks by (stream, time). The index
// is there twice because it is the one piece whose loss would cost more than a
// block; the manifest knows where the first one is.
const (
	partVersion    = 1
	partHeaderSize = 8
	partFooterSize = 32
)

var partMagic = []byte{'Y', 'G', 'R', 'P', 'R', 'T', 0, partVersion}

// blockMeta is what is kept in memory of a block.
type blockMeta struct {
	offset        int64
	least, latest int64
	header        uint32 // bytes of the header
	size          uint32 // bytes of header and data
	raw           uint32 // uncompressed bytes of all columns
	rows          uint32
	firstRun      uint32 // in part.runs
	runs          uint32
}

// runMeta is one stream's rows in one block.
type runMeta struct {
	least, latest int64
	stream        uint32 // index in part.streams
	rows          uint32
}

// part is an open part. It is immutable but for the count of its users.
type part struct {
	partMeta
	path    string
	file    *os.File
	streams []*stream
	blocks  []blockMeta
	runs    []runMeta

	registry *registry
	retained atomic.Int64 // partMeta.RetainedFrom, which retention raises
	users    atomic.Int64
	obsolete atomic.Bool // remove the file when the last user is gone
}

func (p *part) overlaps(from, to int64) bool { return p.Latest >= from && p.Least < to }

// visible reports whether the block counts, which retention may have ended.
func (p *part) visible(b *blockMeta) bool { return b.latest >= p.retained.Load() }

func (p *part) hold() { p.users.Add(1) }

func (p *part) release() {
	if p.users.Add(-1) > 0 {
		return
	}
	for _, s := range p.streams {
		p.registry.release(s)
	}
	// The file was only read: closing it cannot lose anything.
	_ = p.file.Close()
	if p.obsolete.Load() {
		// What cannot be removed now is removed as a leftover at the next start.
		_ = os.Remove(p.path)
	}
}

// current is the part's manifest entry as it is now.
func (p *part) current() partMeta {
	m := p.partMeta
	m.RetainedFrom = p.retained.Load()
	return m
}

// eachStream calls fn for the streams with a run in [from, to).
func (p *part) eachStream(from, to int64, fn func(*stream)) {
	for i := range p.blocks {
		b := &p.blocks[i]
		if b.latest < from || b.least >= to || !p.visible(b) {
			continue
		}
		for _, r := range p.runs[b.firstRun : b.firstRun+b.runs] {
			if r.latest >= from && r.least < to {
				fn(p.streams[r.stream])
			}
		}
	}
}

// partStream is a stream as the index has it.
type partStream struct {
	tenant Tenant
	labels labels.Labels
}

// partIndex is a decoded index.
type partIndex struct {
	streams []partStream
	blocks  []blockMeta
	runs    []runMeta
}

func appendPartIndex(dst []byte, streams []*stream, blocks []blockMeta, runs []runMeta) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, s := range streams {
		dst = appendStreamHead(dst, s.tenant, s.labels)
	}
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	for i := range blocks {
		b := &blocks[i]
		dst = binary.AppendUvarint(dst, uint64(b.header))
		dst = binary.AppendUvarint(dst, uint64(b.size))
		dst = binary.AppendUvarint(dst, uint64(b.raw))
		dst = binary.AppendVarint(dst, b.least)
		dst = binary.AppendUvarint(dst, uint64(b.latest-b.least))
		dst = binary.AppendUvarint(dst, uint64(b.runs))
		prev := uint32(0)
		for _, r := range runs[b.firstRun : b.firstRun+b.runs] {
			dst = binary.AppendUvarint(dst, uint64(r.stream-prev))
			dst = binary.AppendUvarint(dst, uint64(r.rows))
			dst = binary.AppendUvarint(dst, uint64(r.least-b.least))
			dst = binary.AppendUvarint(dst, uint64(r.latest-r.least))
			prev = r.stream
		}
	}
	return dst
}

func decodePartIndex(data []byte) (*partIndex, error) {
	d := &decoder{b: data}
	x := &partIndex{}
	sb := labels.NewScratchBuilder(8)
	for range d.count(3) {
		t, ls := readStreamHead(d, &sb)
		if d.err != nil {
			break
		}
		x.streams = append(x.streams, partStream{tenant: t, labels: ls})
	}
	offset := int64(partHeaderSize)
	for range d.count(6) {
		b := blockMeta{offset: offset, firstRun: uint32(len(x.runs))}
		header, size, raw := d.uvarint(), d.uvarint(), d.uvarint()
		b.least = d.varint()
		b.latest = b.least + int64(d.uvarint())
		if size > math.MaxUint32 || header > size || raw > math.MaxUint32 {
			d.fail(errBadLength)
			break
		}
		b.header, b.size, b.raw = uint32(header), uint32(size), uint32(raw)
		x.readRuns(d, &b)
		if d.err != nil {
			break
		}
		offset += int64(size)
		x.blocks = append(x.blocks, b)
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("part index: %w", d.err)
	}
	return x, nil
}

func (x *partIndex) readRuns(d *decoder, b *blockMeta) {
	stream, rows := uint64(0), uint64(0)
	for range d.count(4) {
		stream += d.uvarint()
		n := d.uvarint()
		r := runMeta{least: b.least + int64(d.uvarint())}
		r.latest = r.least + int64(d.uvarint())
		if rows += n; stream >= uint64(len(x.streams)) || n > math.MaxUint32 || rows > math.MaxUint32 {
			d.fail(errBadLength)
			return
		}
		r.stream, r.rows = uint32(stream), uint32(n)
		x.runs = append(x.runs, r)
		b.runs++
	}
	b.rows = uint32(rows)
}

type partFooter struct {
	offset int64
	stored int
	size   int
	crc    uint32
}

func (f partFooter) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.offset))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.stored))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.size))
	dst = binary.LittleEndian.AppendUint32(dst, f.crc)
	dst = append(dst, partMagic...)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

func decodePartFooter(b []byte) (partFooter, error) {
	if len(b) != partFooterSize {
		return partFooter{}, fmt.Errorf("part footer: %w", errTruncated)
	}
	if checksum(b[:28]) != binary.LittleEndian.Uint32(b[28:]) {
		return partFooter{}, fmt.Errorf("part footer: %w", errChecksum)
	}
	if v := binary.BigEndian.Uint16(b[26:28]); v > partVersion {
		return partFooter{}, fmt.Errorf("part of version %d: %w", v, ErrNewerFormat)
	}
	f := partFooter{
		offset: int64(binary.LittleEndian.Uint64(b)),
		stored: int(binary.LittleEndian.Uint32(b[8:])),
		size:   int(binary.LittleEndian.Uint32(b[12:])),
		crc:    binary.LittleEndian.Uint32(b[16:]),
	}
	if f.offset < partHeaderSize || f.stored > maxBlockBytes || f.size > maxBlockBytes || f.stored < 0 || f.size < 0 {
		return partFooter{}, fmt.Errorf("part footer: %w", errBadLength)
	}
	return f, nil
}

// readPartIndex reads the index that the footer ending at end points to.
func readPartIndex(file *os.File, codec *blockCodec, end int64) (*partIndex, error) {
	if end < partHeaderSize+partFooterSize {
		return nil, fmt.Errorf("part footer: %w", errTruncated)
	}
	buf := make([]byte, partFooterSize)
	if _, err := file.ReadAt(buf, end-partFooterSize); err != nil {
		return nil, fmt.Errorf("read part footer: %w", err)
	}
	f, err := decodePartFooter(buf)
	if err != nil {
		return nil, err
	}
	stored := make([]byte, f.stored)
	if _, err := file.ReadAt(stored, f.offset); err != nil {
		return nil, fmt.Errorf("read part index: %w", err)
	}
	if checksum(stored) != f.crc {
		return nil, fmt.Errorf("part index: %w", errChecksum)
	}
	data, err := codec.decompress(nil, stored, methodZstd, f.size)
	if err != nil {
		return nil, fmt.Errorf("part index: %w", err)
	}
	return decodePartIndex(data)
}

// openPart opens a listed part. damaged is the error of an index that could not
// be read when the other could.
func (s *Store) openPart(m partMeta) (p *part, damaged, err error) {
	path := s.partPath(m)
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open part: %w", err)
	}
	index, err := readPartIndex(file, s.codec, m.Bytes)
	if err != nil && !errors.Is(err, ErrNewerFormat) {
		damaged = err
		index, err = readPartIndex(file, s.codec, m.FirstIndexEnd)
	}
	if err != nil {
		return nil, damaged, errors.Join(fmt.Errorf("part %s: %w", path, err), file.Close())
	}
	p = &part{partMeta: m, path: path, file: file, registry: s.registry, blocks: index.blocks, runs: index.runs}
	p.streams = make([]*stream, len(index.streams))
	for i, ps := range index.streams {
		p.streams[i] = s.registry.hold(m.Table, ps.tenant, ps.labels)
	}
	p.retained.Store(m.RetainedFrom)
	p.noteTimes()
	p.hold()
	return p, damaged, nil
}

// noteTimes tells the streams of their newest rows.
func (p *part) noteTimes() {
	for i := range p.blocks {
		b := &p.blocks[i]
		if !p.visible(b) {
			continue
		}
		for _, r := range p.runs[b.firstRun : b.firstRun+b.runs] {
			p.streams[r.stream].noteTime(r.latest)
		}
	}
}

func (s *Store) partPath(m partMeta) string {
	return filepath.Join(s.partsDir(), m.fileName())
}

// sortParts keeps the order in which data arrived within each table.
func sortParts(parts []*part) {
	slices.SortFunc(parts, func(a, b *part) int {
		if a.Table != b.Table {
			return int(a.Table) - int(b.Table)
		}
		if a.Generation != b.Generation {
			if a.Generation < b.Generation {
				return -1
			}
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
}
