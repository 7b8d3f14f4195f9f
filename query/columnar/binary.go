package columnar

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"unsafe"
)

// Sanity bounds that decoders hold against lengths found on disk, so that a
// damaged length cannot ask for more memory than any honest file needs.
const (
	maxRecordBytes = 128 << 20
	maxBlockBytes  = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

var (
	errTruncated = errors.New("data ends too early")
	errBadLength = errors.New("length is out of range")
	errChecksum  = errors.New("checksum mismatch")
)

// decoder reads the integers and strings that all formats here are made of.
// After the first error every read returns a zero value, so callers check err
// once per structure.
type decoder struct {
	b   []byte
	off int
	err error
}

func (d *decoder) left() int { return len(d.b) - d.off }

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.off = len(d.b)
}

func (d *decoder) uvarint() uint64 {
	// The one-byte case is nearly every length and reference.
	if d.off < len(d.b) && d.b[d.off] < 0x80 {
		d.off++
		return uint64(d.b[d.off-1])
	}
	v, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.off += n
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b[d.off:])
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.off += n
	return v
}

func (d *decoder) byte() byte {
	if d.off >= len(d.b) {
		d.fail(errTruncated)
		return 0
	}
	d.off++
	return d.b[d.off-1]
}

func (d *decoder) uint32() uint32 {
	if d.left() < 4 {
		d.fail(errTruncated)
		return 0
	}
	d.off += 4
	return binary.LittleEndian.Uint32(d.b[d.off-4:])
}

// count reads a number of elements of at least minBytes each.
func (d *decoder) count(minBytes int) int {
	n := d.uvarint()
	if n > uint64(d.left()/minBytes) {
		d.fail(errBadLength)
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > d.left() {
		d.fail(errTruncated)
		return nil
	}
	d.off += n
	return d.b[d.off-n : d.off : d.off]
}

// view is a string that shares the decoder's memory.
func (d *decoder) view() string {
	n := d.uvarint()
	if n > uint64(d.left()) {
		d.fail(errTruncated)
		return ""
	}
	return viewString(d.bytes(int(n)))
}

// viewString shares b's memory, which must not change while the string lives.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// viewBytes shares the string's memory, which must not be written to.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
