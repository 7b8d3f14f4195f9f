package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/s2"
)

// A write-ahead segment is a file of records, written once from front to back:
//
//	magic    8 bytes  "YGRWAL" and the format version, big-endian
//	records
//
// and a record is one Append:
//
//	magic      4 bytes   "YWR1"
//	length     uint32    of the payload
//	number     uint64    grows by one per record over all segments
//	time       int64     of the Append, Unix milliseconds
//	payloadCRC uint32    CRC-32C
//	headerCRC  uint32    CRC-32C of the 28 bytes before
//	payload    bytes     one S2 block of the batch encoding
//
// Integers are little-endian. The header has a checksum of its own so that a
// damaged payload is stepped over by its length, and a magic so that after a
// damaged header the next record is found by searching: either costs one record.
const (
	walVersion      = 1
	walFileHeader   = 8
	walRecordHeader = 32
)

var (
	walFileMagic   = []byte{'Y', 'G', 'R', 'W', 'A', 'L', 0, walVersion}
	walRecordMagic = []byte("YWR1")
)

// ErrNewerFormat means that a file was written by a newer version of the program.
var ErrNewerFormat = errors.New("file format is newer than this program")

type walRecord struct {
	number uint64
	time   time.Time
	batch  *chunk
}

// appendWALRecord appends the record's header and compressed payload to dst. The
// number is set later by numberWALRecord, since it is known only in commit order.
func appendWALRecord(dst []byte, now time.Time, data []byte) []byte {
	at := len(dst)
	need := walRecordHeader + s2.MaxEncodedLen(len(data))
	if cap(dst)-at < need {
		dst = append(make([]byte, 0, at+need), dst...)
	}
	dst = dst[:at+walRecordHeader]
	payload := s2.Encode(dst[at+walRecordHeader:at+need], data)
	dst = dst[:at+walRecordHeader+len(payload)]
	h := dst[at:]
	copy(h, walRecordMagic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(h[16:], uint64(now.UnixMilli()))
	binary.LittleEndian.PutUint32(h[24:], checksum(payload))
	return dst
}

func numberWALRecord(record []byte, number uint64) {
	binary.LittleEndian.PutUint64(record[8:], number)
	binary.LittleEndian.PutUint32(record[28:], checksum(record[:28]))
}

type walHeader struct {
	length     int
	number     uint64
	time       time.Time
	payloadCRC uint32
}

func readWALHeader(b []byte) (walHeader, bool) {
	if len(b) < walRecordHeader || !bytes.Equal(b[:4], walRecordMagic) ||
		checksum(b[:28]) != binary.LittleEndian.Uint32(b[28:]) {
		return walHeader{}, false
	}
	h := walHeader{
		length:     int(binary.LittleEndian.Uint32(b[4:])),
		number:     binary.LittleEndian.Uint64(b[8:]),
		time:       time.UnixMilli(int64(binary.LittleEndian.Uint64(b[16:]))),
		payloadCRC: binary.LittleEndian.Uint32(b[24:]),
	}
	return h, h.length <= maxRecordBytes
}

// walDamage is a stretch of a segment that holds no readable record.
type walDamage struct {
	offset, length int64
	err            error
}

// errTorn is the damage of a write that a crash cut short, or whose end the file
// system filled with zeros because it knew the length and not the bytes. It was
// never synced, so it is no loss beyond what Config.Fsync allows.
var errTorn = errors.New("record is cut short")

// walScan goes through the segments of a log in their order.
type walScan struct {
	// final means that nothing was written after this segment.
	final bool
	// covered is the last record that parts had when the log was opened.
	covered uint64
	// seen is the number of the last record found, and most the greatest number that
	// can have been given up to there; skipped counts the bytes since then that are no
	// readable record.
	seen, most uint64
	skipped    int64
}

func newWALScan(covered uint64) *walScan { return &walScan{covered: covered, most: covered} }

func (sc *walScan) note(number uint64) {
	sc.seen, sc.most, sc.skipped = number, max(number, sc.covered), 0
}

// segmentsMissing allows for any number of records before the next one.
func (sc *walScan) segmentsMissing() { sc.most = math.MaxUint64 >> 1 }

// plausible reports whether a record with this number can come after gap bytes
// without one. Whoever sends the bytes of a record as a line has them stored within
// a payload, and when the header of that is damaged they look like a record.
func (sc *walScan) plausible(number uint64, gap int) bool {
	slots := uint64(sc.skipped+int64(gap)) / walRecordHeader
	return number > sc.seen && (number <= sc.most || number-sc.most <= 1+slots)
}

// segment calls fn for each readable record and returns what lies between.
// It stops at fn's first error.
func (sc *walScan) segment(data []byte, fn func(walRecord) error) ([]walDamage, error) {
	off, err := walStart(data)
	if err != nil {
		return nil, err
	}
	var damages []walDamage
	lose := func(end int, err error) {
		if sc.final && err != errTorn && zeroed(data, off, end) {
			end, err = len(data), errTorn
		}
		damages = append(damages, walDamage{int64(off), int64(end - off), err})
		sc.skipped += int64(end - off)
		off = end
	}
	for off < len(data) {
		h, ok := readWALHeader(data[off:])
		if !ok {
			next := sc.resync(data, off)
			lose(next, tailError(data[off:], next == len(data)))
			continue
		}
		sc.note(h.number)
		end := off + walRecordHeader + h.length
		if end > len(data) {
			// The header is whole, so this is all of its payload that there is.
			lose(len(data), errTorn)
			continue
		}
		batch, err := decodeWALPayload(h, data[off+walRecordHeader:end])
		if errors.Is(err, ErrNewerFormat) {
			return damages, err
		}
		if err != nil {
			lose(end, err)
			continue
		}
		if err := fn(walRecord{number: h.number, time: h.time, batch: batch}); err != nil {
			return damages, err
		}
		off = end
	}
	return damages, nil
}

// walStart is where the records of a segment start.
func walStart(data []byte) (int, error) {
	switch {
	case len(data) < walFileHeader:
		return 0, nil
	case bytes.Equal(data[:walFileHeader], walFileMagic):
		return walFileHeader, nil
	case bytes.Equal(data[:6], walFileMagic[:6]) && binary.BigEndian.Uint16(data[6:]) > walVersion:
		if _, ok := readWALHeader(data[walFileHeader:]); !ok {
			return 0, fmt.Errorf("write-ahead segment of version %d: %w", binary.BigEndian.Uint16(data[6:]), ErrNewerFormat)
		}
		return walFileHeader, nil // a known record follows: the version itself is damaged
	}
	return 0, nil
}

// sectorSize is the least that a disk writes at once.
const sectorSize = 512

// zeroed reports whether the damage at data[off:end] is that from some point in it
// on there are only zeros up to the end of the file. Within a record that point is
// the start of a sector, and more than its last few bytes are missing.
func zeroed(data []byte, off, end int) bool {
	rest := len(bytes.TrimRight(data[off:], "\x00"))
	if rest == 0 {
		return true
	}
	start := (off + rest + sectorSize - 1) / sectorSize * sectorSize
	return start < end && len(data)-start >= walRecordHeader
}

// tailError tells a header that was cut short from one that was changed.
func tailError(b []byte, last bool) error {
	if last && len(b) < walRecordHeader && (bytes.HasPrefix(walRecordMagic, b[:min(4, len(b))]) || bytes.HasPrefix(walFileMagic, b)) {
		return errTorn
	}
	return errChecksum
}

// resync finds the next record behind a damaged header.
func (sc *walScan) resync(data []byte, off int) int {
	for from := off + 1; from < len(data); {
		i := bytes.Index(data[from:], walRecordMagic)
		if i < 0 {
			break
		}
		if h, ok := readWALHeader(data[from+i:]); ok && sc.plausible(h.number, from+i-off) {
			return from + i
		}
		from += i + 1
	}
	return len(data)
}

func decodeWALPayload(h walHeader, payload []byte) (*chunk, error) {
	if checksum(payload) != h.payloadCRC {
		return nil, errChecksum
	}
	n, err := s2.DecodedLen(payload)
	if err != nil {
		return nil, fmt.Errorf("decompress record: %w", err)
	}
	if n > maxRecordBytes {
		return nil, fmt.Errorf("decompress record: %w", errBadLength)
	}
	data, err := s2.Decode(make([]byte, n), payload)
	if err != nil {
		return nil, fmt.Errorf("decompress record: %w", err)
	}
	return decodeBatch(data)
}
