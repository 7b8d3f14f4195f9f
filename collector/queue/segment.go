package queue

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segment is one file of a stream, <ordinal>-<salt>.seg. Ordinals rise and are
// never used twice. Only the newest segment is appended to; every segment begins
// with a checkpoint of all positions, so the ones before it can be deleted without
// losing any.
type segment struct {
	path    string
	ordinal uint64
	salt    uint32
	file    *os.File
	size    int64 // bytes of the file that hold frames, the magic included

	// Sequences of records rise by one within a segment. first is that of its first
	// record (or of the one that would be it), last is first-1 while it has none.
	first, last uint64
}

func segmentName(ordinal, salt uint64) string {
	return fmt.Sprintf("%020d-%016x.seg", ordinal, salt)
}

func parseSegmentName(name string) (ordinal, salt uint64, ok bool) {
	base, isSegment := strings.CutSuffix(name, ".seg")
	left, right, two := strings.Cut(base, "-")
	if !isSegment || !two || len(left) != 20 || len(right) != 16 {
		return 0, 0, false
	}
	ordinal, err1 := strconv.ParseUint(left, 10, 64)
	salt, err2 := strconv.ParseUint(right, 16, 64)
	return ordinal, salt, err1 == nil && err2 == nil
}

// createSegment makes the file of a new segment, with its checkpoint, and returns
// when both are on disk: from then on older segments may be deleted.
func createSegment(dir string, ordinal, next uint64, now int64, positions Positions) (_ *segment, err error) {
	salt := rand.Uint64()
	path := filepath.Join(dir, segmentName(ordinal, salt))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(path))
		}
	}()
	s := &segment{
		path: path, ordinal: ordinal, salt: saltSum(salt), file: file,
		first: next, last: next - 1,
	}
	buf := append([]byte{}, fileMagic...)
	buf = appendFrame(buf, s.salt, frame{
		kind: checkpointFrame, sequence: next, time: now, positions: appendPositions(nil, positions),
	})
	if _, err := file.WriteAt(buf, 0); err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	if err := file.Sync(); err != nil {
		return nil, fmt.Errorf("sync checkpoint: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	s.size = int64(len(buf))
	return s, nil
}

// openSegments opens the segment files of a folder, oldest first.
func openSegments(dir string) (_ []*segment, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var segments []*segment
	defer func() {
		if err != nil {
			for _, s := range segments {
				err = errors.Join(err, s.file.Close())
			}
		}
	}()
	for _, entry := range entries {
		ordinal, salt, ok := parseSegmentName(entry.Name())
		if !ok {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", err)
		}
		s := &segment{path: path, ordinal: ordinal, salt: saltSum(salt), file: file}
		segments = append(segments, s)
		info, err := file.Stat()
		if err != nil {
			return nil, fmt.Errorf("size of segment: %w", err)
		}
		s.size = info.Size()
	}
	slices.SortFunc(segments, func(a, b *segment) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return segments, nil
}

func (s *segment) reader() *frameReader {
	return &frameReader{file: s.file, salt: s.salt, end: s.size}
}

// damage is a part of a segment that holds no readable frame.
type damage struct {
	offset, length int64
	reason         error
}

// scan reads every frame, calls visit for each that is whole, fills in first and
// last, and returns what could not be read. An error of the disk ends the scan as
// damage up to the end: what is behind it cannot be told.
func (s *segment) scan(visit func(frame)) []damage {
	var found []damage
	note := func(from, to int64, reason error) {
		if n := len(found); n > 0 && found[n-1].offset+found[n-1].length == from {
			found[n-1].length += to - from
			return
		}
		found = append(found, damage{offset: from, length: to - from, reason: reason})
	}

	r := s.reader()
	offset := int64(len(fileMagic))
	var magic [len(fileMagic)]byte
	if _, err := s.file.ReadAt(magic[:], 0); err != nil || string(magic[:]) != fileMagic {
		// The frames have checksums of their own, so they may well be readable.
		note(0, min(offset, s.size), fmt.Errorf("%w: not the beginning of a segment", errDamaged))
	}
	for offset < r.end {
		h, err := r.header(offset)
		if err != nil {
			to := r.end
			if errors.Is(err, errDamaged) {
				next, seekErr := r.next(offset + 1)
				if seekErr == nil {
					to = next
				}
			}
			note(offset, to, err)
			offset = to
			continue
		}
		s.span(h)
		f, err := r.frame(offset, h)
		if err != nil {
			note(offset, offset+h.size(), err)
		} else {
			visit(f)
		}
		offset += h.size()
	}
	return found
}

// span widens first and last by what a header says.
func (s *segment) span(h frameHeader) {
	if s.first == 0 {
		s.first, s.last = h.sequence, h.sequence-1
	}
	if h.kind == recordFrame {
		s.last = max(s.last, h.sequence)
	}
}

// nextRecord returns the header of the first record at or after offset, and where
// it is; io.EOF if there is none. skipped is the reason why something before it
// could not be read, if so.
func (s *segment) nextRecord(offset int64) (h frameHeader, at int64, skipped, err error) {
	r := s.reader()
	for offset < r.end {
		h, err := r.header(offset)
		switch {
		case err == nil && h.kind == recordFrame:
			return h, offset, skipped, nil
		case err == nil:
			offset += h.size()
		case errors.Is(err, errDamaged):
			skipped = err
			if offset, err = r.next(offset + 1); err != nil {
				return frameHeader{}, r.end, err, io.EOF
			}
		default:
			return frameHeader{}, r.end, err, io.EOF
		}
	}
	return frameHeader{}, r.end, skipped, io.EOF
}

// truncate cuts the file to size, so that nothing that was torn stays in it.
func (s *segment) truncate(size int64) error {
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("truncate segment: %w", err)
	}
	s.size = size
	return nil
}

// remove deletes the file.
func (s *segment) remove() error {
	return errors.Join(s.file.Close(), os.Remove(s.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
