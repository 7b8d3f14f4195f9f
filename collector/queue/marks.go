package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// A mark is a sequence number kept in a file of its own, as its 8 bytes
// (little-endian) and their CRC32C.
//
// Each stream has two. "acked" is the last acknowledged sequence; it has two slots
// of markSize that are written in turn, without forcing them to disk, because a
// lost acknowledgement only means that the record is sent again under its id.
// "reserved" is the sequence below which any may have been used. It is forced to
// disk before a sequence that it covers is given out, so that no sequence is used
// twice even if the machine loses power and with it the newest records.
const (
	markSize     = 12
	ackedFile    = "acked"
	reservedFile = "reserved"

	// reservation is how many sequences one forced write covers. An unclean stop
	// skips what was left of it, which harms nobody.
	reservation = 4096
	// safetyJump is skipped when the mark is unreadable. At a thousand records a
	// second it is twelve days' worth.
	safetyJump = 1 << 30
)

func appendMark(dst []byte, value uint64) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, value)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func decodeMark(b []byte) (uint64, bool) {
	if len(b) < markSize || binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// ackMark is the open file of the acknowledged sequence.
type ackMark struct {
	file *os.File
	slot int64
}

// openAckMark returns the mark and its value, 0 if there is none that can be read.
func openAckMark(dir string) (*ackMark, uint64, error) {
	file, err := os.OpenFile(filepath.Join(dir, ackedFile), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, 0, fmt.Errorf("open acknowledged position: %w", err)
	}
	m := &ackMark{file: file}
	var value uint64
	for slot := range int64(2) {
		var b [markSize]byte
		if _, err := file.ReadAt(b[:], slot*markSize); err != nil {
			continue // a short file has no such slot
		}
		// It only ever rises, so the larger one is the newer one.
		if v, ok := decodeMark(b[:]); ok && v >= value {
			value, m.slot = v, slot
		}
	}
	return m, value, nil
}

func (m *ackMark) set(value uint64) error {
	slot := 1 - m.slot
	if _, err := m.file.WriteAt(appendMark(nil, value), slot*markSize); err != nil {
		return fmt.Errorf("write acknowledged position: %w", err)
	}
	m.slot = slot
	return nil
}

// errUnreadableMark says that there is a mark, but what it says is lost.
var errUnreadableMark = errors.New("mark cannot be read")

// readReserved returns the reserved sequence, 0 if none was ever written.
func readReserved(dir string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dir, reservedFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read reserved sequence: %w", err)
	}
	value, ok := decodeMark(b)
	if !ok {
		return 0, fmt.Errorf("reserved sequence: %w", errUnreadableMark)
	}
	return value, nil
}

func writeReserved(dir string, value uint64) error {
	if err := writeFileSync(filepath.Join(dir, reservedFile), appendMark(nil, value)); err != nil {
		return fmt.Errorf("write reserved sequence: %w", err)
	}
	return nil
}

// writeFileSync replaces a file as a whole and returns when that is on disk.
func writeFileSync(path string, content []byte) (err error) {
	tmp := path + ".tmp"
	file, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
