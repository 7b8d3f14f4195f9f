package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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

// errTorn is the damage of a write that a crash cut short. It was never
// acknowledged, so it is no loss.
var errTorn = errors.New("record is cut short")

// scanSegment calls fn for each readable record and returns what lies between.
// It stops at fn's first error.
func scanSegment(data []byte, fn func(walRecord) error) ([]walDamage, error) {
	var damages []walDamage
	off := 0
	switch {
	case len(data) < walFileHeader:
		if len(data) == 0 {
			return nil, nil
		}
		return []walDamage{{0, int64(len(data)), errTorn}}, nil
	case bytes.Equal(data[:walFileHeader], walFileMagic):
		off = walFileHeader
	case bytes.Equal(data[:6], walFileMagic[:6]) && binary.BigEndian.Uint16(data[6:]) > walVersion:
		if _, ok := readWALHeader(data[walFileHeader:]); !ok {
			return nil, fmt.Errorf("write-ahead segment of version %d: %w", binary.BigEndian.Uint16(data[6:]), ErrNewerFormat)
		}
		off = walFileHeader // a known record follows: the version itself is damaged
	}
	for off < len(data) {
		h, ok := readWALHeader(data[off:])
		if !ok {
			next := nextWALHeader(data, off+1)
			damages = append(damages, walDamage{int64(off), int64(next - off), tailError(data[off:], next == len(data))})
			off = next
			continue
		}
		end := off + walRecordHeader + h.length
		if end > len(data) {
			next := nextWALHeader(data, off+1)
			err := errTorn
			if next < len(data) {
				err = errBadLength
			}
			damages = append(damages, walDamage{int64(off), int64(next - off), err})
			off = next
			continue
		}
		batch, err := decodeWALPayload(h, data[off+walRecordHeader:end])
		if errors.Is(err, ErrNewerFormat) {
			return damages, err
		}
		if err != nil {
			damages = append(damages, walDamage{int64(off), int64(end - off), err})
		} else if err := fn(walRecord{number: h.number, time: h.time, batch: batch}); err != nil {
			return damages, err
		}
		off = end
	}
	return damages, nil
}

// tailError tells a header that was cut short from one that was changed.
func tailError(b []byte, last bool) error {
	if last && len(b) < walRecordHeader && bytes.HasPrefix(walRecordMagic, b[:min(4, len(b))]) {
		return errTorn
	}
	return errChecksum
}

func nextWALHeader(data []byte, from int) int {
	for from < len(data) {
		i := bytes.Index(data[from:], walRecordMagic)
		if i < 0 {
			break
		}
		if _, ok := readWALHeader(data[from+i:]); ok {
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
