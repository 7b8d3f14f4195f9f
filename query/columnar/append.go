package columnar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Appends meet in one goroutine, the committer. Each caller encodes and
// compresses its own record; the committer takes all that wait, refuses repeats,
// writes the rest with one write (and one fsync), puts them into the memory table
// and acknowledges them. So the order of records in the log, of sequences and of
// rows in memory is one and the same.

// maxGroupBytes bounds how many record bytes share one write.
const maxGroupBytes = 4 << 20

// records passes the memory of records from one append to the next.
var records = sync.Pool{New: func() any { return new([]byte) }}

type appendResult struct {
	duplicate bool
	err       error
}

type appendRequest struct {
	chunk  *chunk
	record []byte
	size   int // of record
	// taken decides between the committer, which takes the request, and the caller,
	// which gives up: whoever is first. Once taken the caller waits for the result,
	// because the committer reads the batch's labels.
	taken  atomic.Bool
	result chan appendResult
}

// Append implements Writer. A failed write or fsync leaves nothing of the batch.
func (s *Store) Append(ctx context.Context, b Batch) (bool, error) {
	duplicate, err := s.append(ctx, &b)
	outcome := outcomeStored
	switch {
	case duplicate:
		outcome = outcomeDuplicate
	case errors.Is(err, ErrFull):
		outcome = outcomeFull
	case errors.Is(err, ErrTooLarge):
		outcome = outcomeTooLarge
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		outcome = outcomeCanceled
	case err != nil:
		outcome = outcomeFailed
	}
	s.metrics.batches.WithLabelValues(outcome).Inc()
	return duplicate, err
}

func (s *Store) append(ctx context.Context, b *Batch) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := validateBatch(b); err != nil {
		return false, fmt.Errorf("append: %w", err)
	}
	if size := encodedSize(b); size > s.cfg.MaxBatchBytes {
		return false, fmt.Errorf("append %d bytes, maxBatchBytes is %d: %w", size, s.cfg.MaxBatchBytes, ErrTooLarge)
	}
	c := encodeBatch(b)
	if c.rows == 0 && c.id.IsZero() {
		return false, nil
	}
	if int64(len(c.data)) > maxRecordBytes {
		return false, fmt.Errorf("append %d bytes: %w", len(c.data), ErrTooLarge)
	}
	buf := records.Get().(*[]byte)
	r := &appendRequest{chunk: c, record: appendWALRecord((*buf)[:0], s.clock.Now(), c.data), result: make(chan appendResult, 1)}
	r.size = len(r.record)
	// The committer touches the record only between taking the request and
	// answering it.
	defer func() {
		if cap(r.record) <= maxGroupBytes {
			*buf = r.record
			records.Put(buf)
		}
	}()
	select {
	case s.appends <- r:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-s.closing:
		return false, ErrClosed
	}
	select {
	case res := <-r.result:
		return res.duplicate, res.err
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return false, ctx.Err()
		}
	case <-s.closing:
		if r.taken.CompareAndSwap(false, true) {
			return false, ErrClosed
		}
	}
	res := <-r.result
	return res.duplicate, res.err
}

// commitLoop is the committer.
func (s *Store) commitLoop() {
	defer s.background.Done()
	group := make([]*appendRequest, 0, 64)
	for {
		select {
		case r := <-s.appends:
			group = append(group[:0], r)
			size := r.size
		gather:
			for size < maxGroupBytes {
				select {
				case r := <-s.appends:
					group = append(group, r)
					size += r.size
				default:
					break gather
				}
			}
			s.commit(group)
			clear(group)
		case r := <-s.rotations:
			r.done <- s.rotate(r.dropBefore)
		case <-s.closing:
			return
		}
	}
}

// appendGroup is what one write stores.
type appendGroup struct {
	now      time.Time
	accepted []*appendRequest
	repeats  []*appendRequest
	last     uint64 // number of the last accepted record, or of the one before the group
}

// commit stores a group and answers every request of it.
func (s *Store) commit(group []*appendRequest) {
	err := s.makeRoom()
	g := s.admit(group, err)
	if len(g.accepted) > 0 {
		err = s.write(s.join(g.accepted))
	}
	s.answer(&g, err)
	if cap(s.group) > 2*maxGroupBytes {
		s.group = nil
	}
	if s.memBytesActive() >= s.cfg.MemTableBytes {
		if _, err := s.rotateIfFree(); err != nil {
			// The next append tries again, and is refused if that fails too.
			s.log.Error("cannot seal the memory table", "err", err)
		}
	}
}

// admit numbers the requests that are to be written and answers those that are
// refused, each of them if there is no room. Repeats are known even then.
func (s *Store) admit(group []*appendRequest, noRoom error) appendGroup {
	g := appendGroup{now: s.clock.Now(), last: s.lastRecord}
	pending := dedupe{} // sequences of this group, not yet written
	streams := 0
	for _, r := range group {
		if !r.taken.CompareAndSwap(false, true) {
			continue
		}
		if s.senders.repeat(r.chunk.id) || pending.repeat(r.chunk.id) {
			g.repeats = append(g.repeats, r)
			continue
		}
		if noRoom != nil {
			r.result <- appendResult{err: noRoom}
			continue
		}
		fresh := s.registry.unknown(r.chunk)
		if s.registry.full(streams + fresh) {
			r.result <- appendResult{err: fmt.Errorf("%w: maxStreams is %d", ErrFull, s.cfg.MaxStreams)}
			continue
		}
		streams += fresh
		g.last++
		numberWALRecord(r.record, g.last)
		pending.note(r.chunk.id, g.now)
		g.accepted = append(g.accepted, r)
	}
	return g
}

// join returns the records of the requests in one piece, which is valid until the
// next call.
func (s *Store) join(accepted []*appendRequest) []byte {
	if len(accepted) == 1 {
		return accepted[0].record
	}
	s.group = s.group[:0]
	for _, r := range accepted {
		s.group = append(s.group, r.record...)
	}
	return s.group
}

// answer makes what was written visible, and tells all that wait how it went.
func (s *Store) answer(g *appendGroup, err error) {
	for _, r := range g.accepted {
		if err == nil {
			s.accept(r.chunk, g.now)
		}
		r.result <- appendResult{err: err}
	}
	if err == nil {
		s.lastRecord = g.last
	}
	for _, r := range g.repeats {
		// A repeat of a batch of this very group shares its fate.
		if stored := s.senders.repeat(r.chunk.id); stored {
			r.result <- appendResult{duplicate: true}
		} else {
			r.result <- appendResult{err: err}
		}
	}
}

func (s *Store) write(records []byte) error {
	sync := s.cfg.Fsync == FsyncAlways
	if err := s.wal.write(records, sync); err != nil {
		if diskIsFull(err) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return err
	}
	s.metrics.walBytes.Add(float64(len(records)))
	if sync {
		s.metrics.walSyncs.Inc()
	}
	return nil
}

// accept makes a written batch visible.
func (s *Store) accept(c *chunk, now time.Time) {
	s.senders.note(c.id, now)
	s.metrics.rows.WithLabelValues(c.table.String()).Add(float64(c.rows))
	s.metrics.bytes.WithLabelValues(c.table.String()).Add(float64(c.text))
	s.mu.RLock()
	mem := s.mem
	s.mu.RUnlock()
	mem.insert(c)
	s.lastAppend.Store(now.UnixNano())
}

// makeRoom waits until the memory table takes more, and says why it will not.
func (s *Store) makeRoom() error {
	if err := s.checkDisk(); err != nil {
		return err
	}
	for s.memBytesActive() >= s.cfg.MemTableBytes {
		if rotated, err := s.rotateIfFree(); err != nil {
			return fmt.Errorf("%w: memory table is full and cannot be sealed: %w", ErrFull, err)
		} else if rotated {
			return nil
		}
		if err := s.awaitFlush(context.Background()); errors.Is(err, ErrClosed) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: memory table is full and the one before cannot be written: %w", ErrFull, err)
		}
	}
	return nil
}

// checkDisk refuses appends beyond the bounds on disk space, and lets retention
// look whether something can go.
func (s *Store) checkDisk() error {
	err := s.diskBound()
	if now := s.clock.Now(); err != nil && now.Sub(s.refused) >= 100*time.Millisecond {
		s.refused = now
		notify(s.retentions)
	}
	return err
}

func (s *Store) diskBound() error {
	if used := s.diskBytes(); s.cfg.MaxBytes > 0 && used >= s.cfg.MaxBytes {
		return fmt.Errorf("%w: %d bytes on disk, maxBytes is %d", ErrFull, used, s.cfg.MaxBytes)
	}
	if s.cfg.MinFreeDisk < 0 {
		return nil
	}
	// The free space is asked for at most twice a second: it costs a system call.
	if now := s.clock.Now(); s.freeChecked.IsZero() || now.Sub(s.freeChecked) >= 500*time.Millisecond {
		free, err := freeDisk(s.dir)
		if err != nil {
			return fmt.Errorf("free disk space: %w", err)
		}
		s.free, s.freeChecked = free, now
	}
	if s.free < s.cfg.MinFreeDisk {
		return fmt.Errorf("%w: %d bytes free on disk, minFreeDisk is %d", ErrFull, s.free, s.cfg.MinFreeDisk)
	}
	return nil
}
