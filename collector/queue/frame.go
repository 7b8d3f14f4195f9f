package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A segment file is fileMagic (8 bytes) followed by frames. All integers are
// little-endian.
//
//	offset size
//	     0    4  frameMagic
//	     4    1  kind: 1 record, 2 positions, 3 checkpoint
//	     5    3  zero
//	     8    8  sequence of the record; in other kinds the next sequence
//	    16    8  time of the append, Unix milliseconds
//	    24    4  length of the positions block (see positions.go)
//	    28    4  length of the payload
//	    32    4  CRC32C of bytes 4 to 31
//	    36    4  CRC32C of positions block and payload
//	    40       positions block, then payload
//
// Both checksums start from the segment's salt, a random number in the file's
// name. A payload that happens to contain (or was made to contain) the bytes of a
// frame is therefore never taken for one when a reader searches for the next frame
// behind damage. The header has a checksum of its own so that behind a damaged
// payload the next frame is found without a search.
const (
	fileMagic       = "YAGURAQ1"
	frameHeaderSize = 40

	// maxPayload bounds one record, and with it the memory of a reader. It is far
	// above what a source should send in one request.
	maxPayload = 32 << 20
	// maxPositions bounds the positions block: at 150 bytes for each source this is
	// more than 100,000 files.
	maxPositions = 16 << 20
)

var frameMagic = [4]byte{0xF1, 'Y', 'g', 'q'}

type frameKind uint8

const (
	recordFrame     frameKind = 1 // a payload, with the positions it moves
	positionsFrame  frameKind = 2 // positions without a payload
	checkpointFrame frameKind = 3 // every position of the stream; the first frame of a segment
)

// frame is one decoded frame. positions and payload are valid until the reader
// that returned them reads again.
type frame struct {
	kind      frameKind
	sequence  uint64
	time      int64 // Unix milliseconds
	positions []byte
	payload   []byte
}

func frameSize(positions, payload int) int64 {
	return frameHeaderSize + int64(positions) + int64(payload)
}

// errDamaged is any content that is not a frame of the segment.
var errDamaged = errors.New("damaged frame")

// frameHeader is a header whose checksum was right.
type frameHeader struct {
	kind      frameKind
	sequence  uint64
	time      int64
	positions uint32
	payload   uint32
	bodySum   uint32
}

func (h frameHeader) size() int64 {
	return frameSize(int(h.positions), int(h.payload))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saltSum is the checksum of the salt, from which the others go on.
func saltSum(salt uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], salt)
	return crc32.Update(0, castagnoli, b[:])
}

// appendFrame appends the encoding of f to dst.
func appendFrame(dst []byte, salt uint32, f frame) []byte {
	body := crc32.Update(salt, castagnoli, f.positions)
	body = crc32.Update(body, castagnoli, f.payload)

	start := len(dst)
	dst = append(dst, frameMagic[:]...)
	dst = append(dst, byte(f.kind), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, f.sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.time))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.positions)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Update(salt, castagnoli, dst[start+4:]))
	dst = binary.LittleEndian.AppendUint32(dst, body)
	dst = append(dst, f.positions...)
	return append(dst, f.payload...)
}

// decodeHeader reads a frame header from the start of b.
func decodeHeader(b []byte, salt uint32) (frameHeader, error) {
	if len(b) < frameHeaderSize {
		return frameHeader{}, fmt.Errorf("%w: %d bytes are less than a header", errDamaged, len(b))
	}
	if [4]byte(b[:4]) != frameMagic {
		return frameHeader{}, fmt.Errorf("%w: no frame starts here", errDamaged)
	}
	if binary.LittleEndian.Uint32(b[32:]) != crc32.Update(salt, castagnoli, b[4:32]) {
		return frameHeader{}, fmt.Errorf("%w: header checksum is wrong", errDamaged)
	}
	h := frameHeader{
		kind:      frameKind(b[4]),
		sequence:  binary.LittleEndian.Uint64(b[8:]),
		time:      int64(binary.LittleEndian.Uint64(b[16:])),
		positions: binary.LittleEndian.Uint32(b[24:]),
		payload:   binary.LittleEndian.Uint32(b[28:]),
		bodySum:   binary.LittleEndian.Uint32(b[36:]),
	}
	if h.kind < recordFrame || h.kind > checkpointFrame {
		return frameHeader{}, fmt.Errorf("%w: unknown kind %d", errDamaged, h.kind)
	}
	if h.positions > maxPositions || h.payload > maxPayload {
		return frameHeader{}, fmt.Errorf("%w: lengths %d and %d are out of bounds", errDamaged, h.positions, h.payload)
	}
	if h.sequence == 0 || h.sequence == math.MaxUint64 {
		return frameHeader{}, fmt.Errorf("%w: sequence %d is out of bounds", errDamaged, h.sequence)
	}
	return h, nil
}

// frameReader reads the frames of one segment. It is not safe for concurrent use.
type frameReader struct {
	file io.ReaderAt
	salt uint32
	end  int64 // bytes of the file that may be read
	body []byte
}

// header reads the header of the frame at offset.
func (r *frameReader) header(offset int64) (frameHeader, error) {
	var b [frameHeaderSize]byte
	if offset+frameHeaderSize > r.end {
		return frameHeader{}, fmt.Errorf("%w: file ends inside a header", errDamaged)
	}
	if _, err := r.file.ReadAt(b[:], offset); err != nil {
		return frameHeader{}, fmt.Errorf("read header at offset %d: %w", offset, err)
	}
	h, err := decodeHeader(b[:], r.salt)
	if err != nil {
		return frameHeader{}, err
	}
	if offset+h.size() > r.end {
		return frameHeader{}, fmt.Errorf("%w: file ends inside the frame", errDamaged)
	}
	return h, nil
}

// frame reads the body that belongs to the header at offset.
func (r *frameReader) frame(offset int64, h frameHeader) (frame, error) {
	n := int(h.positions) + int(h.payload)
	if cap(r.body) < n {
		r.body = make([]byte, n)
	}
	body := r.body[:n]
	// An empty read at the end of a file is an error to some readers.
	if _, err := r.file.ReadAt(body, offset+frameHeaderSize); err != nil && n > 0 {
		return frame{}, fmt.Errorf("read frame at offset %d: %w", offset, err)
	}
	if crc32.Update(r.salt, castagnoli, body) != h.bodySum {
		return frame{}, fmt.Errorf("%w: body checksum is wrong", errDamaged)
	}
	return frame{
		kind: h.kind, sequence: h.sequence, time: h.time,
		positions: body[:h.positions:h.positions], payload: body[h.positions:],
	}, nil
}

// next returns the offset of the first frame header at or after offset, or r.end
// if there is none. It is the way across damage.
func (r *frameReader) next(offset int64) (int64, error) {
	const window = 64 << 10
	buf := make([]byte, window)
	for offset+frameHeaderSize <= r.end {
		n := min(int64(window), r.end-offset)
		b := buf[:n]
		if _, err := r.file.ReadAt(b, offset); err != nil {
			return 0, fmt.Errorf("search for a frame from offset %d: %w", offset, err)
		}
		for i := 0; i+frameHeaderSize <= len(b); i++ {
			if b[i] != frameMagic[0] {
				continue
			}
			if h, err := decodeHeader(b[i:], r.salt); err == nil && offset+int64(i)+h.size() <= r.end {
				return offset + int64(i), nil
			}
		}
		// The last bytes may be the beginning of a header: look at them again.
		offset += n - frameHeaderSize + 1
	}
	return r.end, nil
}
