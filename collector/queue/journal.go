package queue

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// journal is one stream on disk: its segments, its positions, and the cursor to
// its oldest record that is not acknowledged.
type journal struct {
	stream  Stream
	dir     string
	config  Config
	budget  *budget
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	mu        sync.Mutex
	segments  []*segment // oldest first
	active    *segment   // the last of segments, or nil before the first append
	next      uint64     // sequence of the next record
	reserved  uint64     // sequences below it may be given out
	acked     uint64
	mark      *ackMark
	positions Positions
	cursor    cursor
	pending   int           // records that are not acknowledged
	written   uint64        // frames written since open
	appended  chan struct{} // closed and replaced at every append
	buf       []byte
	closed    bool

	syncing sync.Mutex // held during fsync; never taken while mu is held
	synced  uint64     // value of written up to which frames are on disk; under syncing
}

func openJournal(dir string, s Stream, q *Queue) (*journal, error) {
	j := &journal{
		stream: s, dir: dir, config: q.config, budget: q.budget, metrics: q.metrics, now: q.now,
		log:       q.log.With("stream", string(s)),
		positions: Positions{}, appended: make(chan struct{}),
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create folder of stream %s: %w", s, err)
	}
	err := j.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open stream %s: %w", s, err), j.closeFiles())
	}
	return j, nil
}

// load reads everything there is: it recovers positions and sequences, cuts off an
// unfinished write, and reports damage.
func (j *journal) load() error {
	var err error
	if j.mark, j.acked, err = openAckMark(j.dir); err != nil {
		return err
	}
	if j.segments, err = openSegments(j.dir); err != nil {
		return err
	}
	j.next = j.acked + 1
	for i, s := range j.segments {
		if err := j.loadSegment(s, i == len(j.segments)-1); err != nil {
			return err
		}
		j.next = max(j.next, s.last+1)
		j.budget.take(j.stream, s.size)
	}
	for _, s := range j.segments {
		if s.last > j.acked {
			j.pending += int(s.last - max(s.first-1, j.acked))
		}
	}

	reserved, err := readReserved(j.dir)
	lost := reserved == 0 && (len(j.segments) > 0 || j.acked > 0)
	switch {
	case lost || errors.Is(err, errUnreadableMark):
		j.next += safetyJump
		j.log.Warn("the reserved sequence is lost; sequences jump ahead so that none is used twice",
			"file", filepath.Join(j.dir, reservedFile), "next", j.next)
	case err != nil:
		return err
	}
	j.next = max(j.next, reserved)
	j.reserved = j.next
	j.locate()
	return nil
}

func (j *journal) loadSegment(s *segment, newest bool) error {
	found := s.scan(func(f frame) {
		if f.kind == checkpointFrame {
			clear(j.positions)
		}
		if err := applyPositions(j.positions, f.positions); err != nil {
			// The checksum was right, so this is a fault of the writer.
			j.log.Error("positions cannot be read", "segment", s.path, "sequence", f.sequence, "err", err)
		}
	})
	if n := len(found); newest && n > 0 && found[n-1].offset+found[n-1].length == s.size && found[n-1].offset > 0 {
		// The process ended inside a write, whose caller was never told of success.
		torn := found[n-1]
		found = found[:n-1]
		j.metrics.torn.WithLabelValues(string(j.stream)).Add(float64(torn.length))
		j.log.Info("an unfinished write is cut off", "segment", s.path, "offset", torn.offset, "bytes", torn.length)
		if err := s.truncate(torn.offset); err != nil {
			return err
		}
		s.first, s.last = 0, 0
		s.scan(func(frame) {})
	}
	for _, d := range found {
		j.metrics.damaged.WithLabelValues(string(j.stream)).Inc()
		j.log.Error("a segment is damaged; what is around it is still read",
			"segment", s.path, "offset", d.offset, "bytes", d.length, "err", d.reason)
	}
	if s.first == 0 { // not one frame: it adds nothing to the sequence
		s.first, s.last = j.next, j.next-1
	}
	return nil
}

// append writes one frame. It returns the value of written that includes it.
func (j *journal) append(kind frameKind, payload []byte, positions Positions) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return 0, ErrClosed
	}
	block := appendPositions(nil, positions)
	if len(block) > maxPositions {
		return 0, fmt.Errorf("%w: %d bytes of positions", ErrTooLarge, len(block))
	}
	size := frameSize(len(block), len(payload))
	if err := j.admit(kind, size); err != nil {
		return 0, err
	}
	if err := j.write(frame{
		kind: kind, sequence: j.next, time: j.now().UnixMilli(), positions: block, payload: payload,
	}); err != nil {
		j.budget.free(j.stream, size)
		return 0, err
	}
	j.positions.apply(positions)
	if kind == recordFrame {
		j.active.last = j.next
		j.next++
		j.pending++
		j.metrics.appended.WithLabelValues(string(j.stream)).Inc()
		j.metrics.appendedBytes.WithLabelValues(string(j.stream)).Add(float64(len(payload)))
		if !j.cursor.valid {
			j.locate()
		}
		close(j.appended)
		j.appended = make(chan struct{})
	}
	return j.written, nil
}

// admit makes sure that there is a segment, a sequence and room for size bytes,
// and takes the room.
func (j *journal) admit(kind frameKind, size int64) error {
	if j.active == nil || j.active.size+size > int64(j.config.SegmentBytes) && j.active.last >= j.active.first {
		if err := j.roll(); err != nil {
			return err
		}
	}
	if kind != recordFrame {
		j.budget.take(j.stream, size) // a source must be able to forget a file even when the queue is full
		return nil
	}
	if j.next >= j.reserved {
		reserved := j.next + reservation
		if err := writeReserved(j.dir, reserved); err != nil {
			return j.failed("reserve", err)
		}
		j.reserved = reserved
	}
	if j.budget.reserve(j.stream, size) {
		return nil
	}
	// Records that were acknowledged may still fill the newest segment.
	if j.pending == 0 && j.active.last >= j.active.first {
		if err := j.roll(); err != nil {
			return err
		}
		if j.budget.reserve(j.stream, size) {
			return nil
		}
	}
	return ErrFull
}

// write appends the frame to the active segment as one write.
func (j *journal) write(f frame) error {
	j.buf = appendFrame(j.buf[:0], j.active.salt, f)
	if _, err := j.active.file.WriteAt(j.buf, j.active.size); err != nil {
		err = j.failed("write", fmt.Errorf("append to segment: %w", err))
		// Part of it may be in the file. If that cannot be taken back, nothing may be
		// written behind it.
		if truncErr := j.active.truncate(j.active.size); truncErr != nil {
			j.active = nil
			err = errors.Join(err, truncErr)
		}
		return err
	}
	j.active.size += int64(len(j.buf))
	j.written++
	const keep = 4 << 20
	if cap(j.buf) > keep {
		j.buf = nil // one large record must not hold its memory for ever
	}
	return nil
}

// failed counts an error of the file system and turns a full disk into ErrFull.
func (j *journal) failed(operation string, err error) error {
	j.metrics.errors.WithLabelValues(string(j.stream), operation).Inc()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// roll begins a new segment and deletes those that are no longer needed.
func (j *journal) roll() error {
	var ordinal uint64
	if n := len(j.segments); n > 0 {
		ordinal = j.segments[n-1].ordinal + 1
	}
	if j.active != nil {
		// From here on sync looks at the new segment only.
		if err := j.active.file.Sync(); err != nil {
			return j.failed("fsync", fmt.Errorf("sync segment: %w", err))
		}
	}
	s, err := createSegment(j.dir, ordinal, j.next, j.now().UnixMilli(), j.positions)
	if err != nil {
		return j.failed("roll", err)
	}
	j.budget.take(j.stream, s.size)
	j.segments = append(j.segments, s)
	j.active = s
	j.trim()
	return nil
}

// trim deletes the segments before the active one in which every record is
// acknowledged. The active one has the positions that they held.
func (j *journal) trim() {
	kept := j.segments[:0]
	var freed int64
	for _, s := range j.segments {
		if s == j.active || s.last > j.acked {
			kept = append(kept, s)
			continue
		}
		if err := s.remove(); err != nil {
			_ = j.failed("delete", err)
			j.log.Error("a segment that is not needed any more cannot be deleted", "segment", s.path, "err", err)
		}
		freed += s.size
		if j.cursor.segment == s {
			j.cursor = cursor{}
		}
	}
	clear(j.segments[len(kept):])
	j.segments = kept
	j.budget.free(j.stream, freed)
}

// reclaim deletes what acknowledgements made superfluous. After a restart there is
// no active segment yet; one is made if that frees something.
func (j *journal) reclaim() {
	if len(j.segments) == 0 || j.segments[0] == j.active || j.segments[0].last > j.acked {
		return
	}
	if j.active != nil {
		j.trim()
		return
	}
	if err := j.roll(); err != nil {
		j.log.Error("space cannot be freed", "err", err)
	}
}

// syncTo returns when the frames up to written are on disk. Callers that wait for
// each other share one call.
func (j *journal) syncTo(written uint64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= written {
		return nil
	}
	j.mu.Lock()
	active, upTo := j.active, j.written
	var file *os.File
	if active != nil {
		file = active.file
	}
	j.mu.Unlock()
	if file != nil {
		start := time.Now()
		err := file.Sync()
		j.metrics.fsync.Observe(time.Since(start).Seconds())
		// A closed file is one that roll has synced and trim has deleted.
		if err != nil && !errors.Is(err, os.ErrClosed) {
			return j.failed("fsync", fmt.Errorf("sync segment: %w", err))
		}
	}
	j.synced = upTo
	return nil
}

// sync forces everything written so far to disk.
func (j *journal) sync() error {
	j.mu.Lock()
	written := j.written
	j.mu.Unlock()
	return j.syncTo(written)
}

// close ends the journal in order: the next open goes on with the next sequence.
func (j *journal) close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	close(j.appended)
	if err == nil {
		err = writeReserved(j.dir, j.next)
	}
	return errors.Join(err, j.closeFiles())
}

func (j *journal) closeFiles() error {
	var errs []error
	for _, s := range j.segments {
		errs = append(errs, s.file.Close())
	}
	if j.mark != nil {
		errs = append(errs, j.mark.file.Close())
	}
	return errors.Join(errs...)
}
