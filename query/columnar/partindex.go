package columnar

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"

	"github.com/prometheus/prometheus/model/labels"
)

// A part is an immutable file of blocks of one table and, as a rule, one UTC day:
//
//	magic   8 bytes  "YGRPRT" and the format version, big-endian
//	blocks, and sections between them
//	index, footer
//	index, footer    the same again
//
// The index, compressed with zstd, is
//
//	streams uvarint  count, then for each: cluster and namespace as strings, the
//	                 count of labels, their names and values as strings
//	blocks  uvarint  count, then for each
//	  header uvarint size of the block's header
//	  size   uvarint size of the block
//	  raw    uvarint uncompressed size of its columns
//	  least  varint  its least timestamp
//	  span   uvarint its greatest timestamp minus the least
//	  digits byte    length of the longest run of hexadecimal digits in its lines
//	                 (255: as long or longer, or not known); since version 2
//	  runs   uvarint count, then for each
//	    stream uvarint  index in streams, as difference to the run before
//	    rows   uvarint
//	    least  uvarint  the run's least timestamp minus the block's
//	    span   uvarint
//	    text   uvarint  bytes of the run's lines; since version 2
//	sections uvarint count, then for each; since version 2
//	  kind   byte    sectionValues, sectionRollup or sectionGrams; others are
//	                 skipped
//	  after  uvarint number of blocks before it, as difference to the section before
//	  size   uvarint
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
// Streams are sorted by tenant and labels and blocks by (stream, time). Blocks and
// sections lie one behind the other without gaps. The index is there twice because
// it is the one piece whose loss would cost more than a block; the manifest knows
// where the first one is.
//
// Version 1 had no sections and did not know the size of lines; its parts are
// read, and become parts of the current version when they are merged.
const (
	partVersion    = 2
	partHeaderSize = 8
	partFooterSize = 32
)

var partMagic = []byte{'Y', 'G', 'R', 'P', 'R', 'T', 0, partVersion}

// unknownText is runMeta.text of a part that does not say it.
const unknownText = -1

// unknownDigits is blockMeta.digits when a block may hold runs of any length.
const unknownDigits = math.MaxUint8

// partStream is a stream as the index has it.
type partStream struct {
	tenant Tenant
	labels labels.Labels
}

// section is a piece of a part beside its blocks.
type section struct {
	kind   byte
	after  uint32 // number of blocks before it
	size   uint32
	offset int64
}

// partIndex is an index, decoded or to be encoded.
type partIndex struct {
	streams  []partStream
	blocks   []blockMeta
	runs     []runMeta
	sections []section
}

func appendPartIndex(dst []byte, streams []*stream, x *partIndex) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, s := range streams {
		dst = appendStreamHead(dst, s.tenant, s.labels)
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.blocks)))
	for i := range x.blocks {
		b := &x.blocks[i]
		dst = binary.AppendUvarint(dst, uint64(b.header))
		dst = binary.AppendUvarint(dst, uint64(b.size))
		dst = binary.AppendUvarint(dst, uint64(b.raw))
		dst = binary.AppendVarint(dst, b.least)
		dst = binary.AppendUvarint(dst, uint64(b.latest-b.least))
		dst = append(dst, b.digits)
		dst = binary.AppendUvarint(dst, uint64(b.runs))
		prev := uint32(0)
		for _, r := range x.runs[b.firstRun : b.firstRun+b.runs] {
			dst = binary.AppendUvarint(dst, uint64(r.stream-prev))
			dst = binary.AppendUvarint(dst, uint64(r.rows))
			dst = binary.AppendUvarint(dst, uint64(r.least-b.least))
			dst = binary.AppendUvarint(dst, uint64(r.latest-r.least))
			dst = binary.AppendUvarint(dst, uint64(r.text))
			prev = r.stream
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.sections)))
	prev := uint32(0)
	for _, s := range x.sections {
		dst = append(dst, s.kind)
		dst = binary.AppendUvarint(dst, uint64(s.after-prev))
		dst = binary.AppendUvarint(dst, uint64(s.size))
		prev = s.after
	}
	return dst
}

// decodePartIndex reads an index of the format version.
func decodePartIndex(data []byte, version int) (*partIndex, error) {
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
	for range d.count(6) {
		b := blockMeta{firstRun: uint32(len(x.runs)), digits: unknownDigits}
		header, size, raw := d.uvarint(), d.uvarint(), d.uvarint()
		b.least = d.varint()
		b.latest = b.least + int64(d.uvarint())
		if size > math.MaxUint32 || header > size || raw > math.MaxUint32 {
			d.fail(errBadLength)
			break
		}
		b.header, b.size, b.raw = uint32(header), uint32(size), uint32(raw)
		if version > 1 {
			b.digits = d.byte()
		}
		x.readRuns(d, &b, version)
		if d.err != nil {
			break
		}
		x.blocks = append(x.blocks, b)
	}
	if version > 1 {
		x.readSections(d)
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("part index: %w", d.err)
	}
	x.place()
	return x, nil
}

// readRuns reads the runs of a block. Over the whole part they are in the order of
// the streams, which searching them relies on.
func (x *partIndex) readRuns(d *decoder, b *blockMeta, version int) {
	last := uint64(0)
	if n := len(x.runs); n > 0 {
		last = uint64(x.runs[n-1].stream)
	}
	stream, rows := uint64(0), uint64(0)
	for range d.count(4) {
		stream += d.uvarint()
		n := d.uvarint()
		r := runMeta{block: uint32(len(x.blocks)), least: b.least + int64(d.uvarint()), text: unknownText}
		r.latest = r.least + int64(d.uvarint())
		if version > 1 {
			r.text = int64(d.uvarint())
		}
		if rows += n; stream >= uint64(len(x.streams)) || stream < last || r.text < unknownText || n > math.MaxUint32 || rows > math.MaxUint32 {
			d.fail(errBadLength)
			return
		}
		r.stream, r.rows = uint32(stream), uint32(n)
		last = stream
		x.runs = append(x.runs, r)
		b.runs++
	}
	b.rows = uint32(rows)
}

func (x *partIndex) readSections(d *decoder) {
	after := uint64(0)
	for range d.count(3) {
		s := section{kind: d.byte()}
		after += d.uvarint()
		size := d.uvarint()
		if after > uint64(len(x.blocks)) || size > maxBlockBytes {
			d.fail(errBadLength)
			return
		}
		s.after, s.size = uint32(after), uint32(size)
		x.sections = append(x.sections, s)
	}
}

// place finds where blocks and sections lie.
func (x *partIndex) place() {
	offset := int64(partHeaderSize)
	next := 0
	for i := 0; ; i++ {
		for ; next < len(x.sections) && int(x.sections[next].after) == i; next++ {
			x.sections[next].offset = offset
			offset += int64(x.sections[next].size)
		}
		if i == len(x.blocks) {
			return
		}
		x.blocks[i].offset = offset
		offset += int64(x.blocks[i].size)
	}
}

type partFooter struct {
	version int
	offset  int64
	stored  int
	size    int
	crc     uint32
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
	version := binary.BigEndian.Uint16(b[26:28])
	if version > partVersion {
		return partFooter{}, fmt.Errorf("part of version %d: %w", version, ErrNewerFormat)
	}
	f := partFooter{
		version: int(version),
		offset:  int64(binary.LittleEndian.Uint64(b)),
		stored:  int(binary.LittleEndian.Uint32(b[8:])),
		size:    int(binary.LittleEndian.Uint32(b[12:])),
		crc:     binary.LittleEndian.Uint32(b[16:]),
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
	return decodePartIndex(data, f.version)
}
