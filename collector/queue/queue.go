package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Queue is an open queue folder:
//
//	lock            held by the process that has it open
//	collector-id    the UUID made with the folder
//	<stream>/       one folder for each stream: segments (frame.go) and marks (marks.go)
//
// Copying the folder, or putting an old copy of it back, makes sequences repeat
// under the same collector id, which receivers take for repeats of the data.
// Delete collector-id from such a copy.
//
// All methods may be called concurrently.
type Queue struct {
	id      string
	config  Config
	budget  *budget
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	journals map[Stream]*journal
	lock     *os.File
	stop     chan struct{}
	done     chan struct{}
	once     sync.Once
	closeErr error
}

// Option changes how Open opens a queue.
type Option func(*Queue)

// WithClock replaces time.Now as the source of enqueue times and ages.
func WithClock(now func() time.Time) Option {
	return func(q *Queue) { q.now = now }
}

// Open opens the queue in dir, which is created if it is not there. It returns
// ErrLocked if another process has it open. reg may be nil.
func Open(dir string, config Config, log *slog.Logger, reg prometheus.Registerer, options ...Option) (_ *Queue, err error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("queue configuration: %w", err)
	}
	q := &Queue{
		config: config, budget: newBudget(int64(config.MaxBytes)), log: log, now: time.Now,
		journals: map[Stream]*journal{}, stop: make(chan struct{}), done: make(chan struct{}),
	}
	for _, o := range options {
		o(q)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create queue folder: %w", err)
	}
	if q.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("open queue %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.closeAll())
		}
	}()
	if q.id, err = q.loadID(dir); err != nil {
		return nil, fmt.Errorf("open queue %s: %w", dir, err)
	}
	if q.metrics, err = newMetrics(reg); err != nil {
		return nil, fmt.Errorf("register queue metrics: %w", err)
	}
	for _, s := range Streams() {
		if q.journals[s], err = openJournal(filepath.Join(dir, string(s)), s, q); err != nil {
			delete(q.journals, s)
			return nil, fmt.Errorf("open queue %s: %w", dir, err)
		}
	}
	if err = register(reg, q); err != nil {
		return nil, fmt.Errorf("register queue metrics: %w", err)
	}
	go q.tick()
	return q, nil
}

// loadID reads the collector id, or makes one.
func (q *Queue) loadID(dir string) (string, error) {
	path := filepath.Join(dir, "collector-id")
	content, err := os.ReadFile(path)
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(content)))
		if err == nil {
			return id.String(), nil
		}
		// Under a new id every record can be taken for new: at worst the one record of
		// a stream that was sent but not acknowledged is stored twice.
		q.log.Error("the collector id cannot be read; a new one is made", "file", path, "err", err)
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read collector id: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("make collector id: %w", err)
	}
	if err := writeFileSync(path, []byte(id.String()+"\n")); err != nil {
		return "", fmt.Errorf("write collector id: %w", err)
	}
	return id.String(), nil
}

// ID returns the collector id: a UUID that was made with the folder, so that a
// folder that was wiped, whose sequences start again, is another collector.
func (q *Queue) ID() string { return q.id }

// Append adds one record to a stream. When it returns nil the record survives a
// kill of the process (for loss of power see Fsync). It does not keep payload.
//
// It returns ErrFull when there is no room: the source keeps the data, stops
// reading, and tries again.
func (q *Queue) Append(ctx context.Context, s Stream, payload []byte) error {
	return q.AppendWithPositions(ctx, s, payload, nil)
}

// AppendWithPositions is Append for a source that reads from something with
// positions: record and positions become durable together or not at all.
// Positions outlive the record.
func (q *Queue) AppendWithPositions(ctx context.Context, s Stream, payload []byte, positions Positions) error {
	return q.append(ctx, s, recordFrame, payload, positions)
}

// AppendWait is AppendWithPositions that waits for room until ctx is done.
func (q *Queue) AppendWait(ctx context.Context, s Stream, payload []byte, positions Positions) error {
	// Room on a full disk can come from elsewhere, which no channel tells.
	const retry = time.Second
	for {
		freed := q.budget.freed()
		err := q.AppendWithPositions(ctx, s, payload, positions)
		if !errors.Is(err, ErrFull) {
			return err
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		case <-q.stop:
			timer.Stop()
			return ErrClosed
		case <-freed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// SavePositions changes positions without a record, even when the queue is full.
// A nil position forgets its source.
func (q *Queue) SavePositions(ctx context.Context, s Stream, positions Positions) error {
	if len(positions) == 0 {
		return nil
	}
	return q.append(ctx, s, positionsFrame, nil, positions)
}

func (q *Queue) append(ctx context.Context, s Stream, kind frameKind, payload []byte, positions Positions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j, err := q.journal(s)
	if err != nil {
		return err
	}
	// A new segment's checkpoint takes room beside the record.
	if size := frameSize(0, len(payload)); len(payload) > maxPayload || size > q.budget.largest()/2 {
		q.metrics.refused.WithLabelValues(string(s), "too_large").Inc()
		return fmt.Errorf("append to %s: %w: %d bytes", s, ErrTooLarge, len(payload))
	}
	written, err := j.append(kind, payload, positions)
	if err == nil && q.config.Fsync == FsyncAlways {
		if err := j.syncTo(written); err != nil {
			// The record is in the queue and will be sent. A source that was told of an
			// error would hand it in a second time.
			q.log.Error("a record cannot be forced to disk", "stream", string(s), "err", err)
		}
	}
	if err != nil {
		if errors.Is(err, ErrFull) {
			q.metrics.refused.WithLabelValues(string(s), "full").Inc()
		}
		return fmt.Errorf("append to %s: %w", s, err)
	}
	return nil
}

// Positions returns the newest position of every source that was saved with
// records of the stream, whether or not those were delivered.
func (q *Queue) Positions(s Stream) (Positions, error) {
	j, err := q.journal(s)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.positions.clone(), nil
}

// Peek returns the oldest record of a stream that is not acknowledged, and waits
// for one until ctx is done. It returns the same record until that is
// acknowledged, dropped, or too old.
func (q *Queue) Peek(ctx context.Context, s Stream) (Record, error) {
	j, err := q.journal(s)
	if err != nil {
		return Record{}, err
	}
	for {
		record, ok, appended, err := j.peek()
		if err != nil {
			return Record{}, fmt.Errorf("read %s: %w", s, err)
		}
		if ok {
			return record, nil
		}
		select {
		case <-ctx.Done():
			return Record{}, ctx.Err()
		case <-appended:
		}
	}
}

// Ack acknowledges every record of a stream up to and including sequence; their
// space is freed by whole segments. To acknowledge again does nothing. A crash may
// forget an acknowledgement, never bring one about.
func (q *Queue) Ack(s Stream, sequence uint64) error {
	j, err := q.journal(s)
	if err != nil {
		return err
	}
	return j.finish(sequence, func(n int) {
		q.metrics.acked.WithLabelValues(string(s)).Add(float64(n))
	})
}

// Drop is Ack for records that are given up, counted by reason.
func (q *Queue) Drop(s Stream, sequence uint64, reason string) error {
	j, err := q.journal(s)
	if err != nil {
		return err
	}
	return j.finish(sequence, func(n int) {
		q.metrics.dropped.WithLabelValues(string(s), reason).Add(float64(n))
	})
}

// Stats is the state of a stream.
type Stats struct {
	Bytes     int64         // segment files on disk
	Records   int           // not acknowledged
	OldestAge time.Duration // of the oldest of them
}

// Stats returns the state of a stream; zeros for one that does not exist.
func (q *Queue) Stats(s Stream) Stats {
	j, err := q.journal(s)
	if err != nil {
		return Stats{}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var st Stats
	for _, s := range j.segments {
		st.Bytes += s.size
	}
	st.Records = j.pending
	if j.cursor.valid {
		st.OldestAge = max(0, q.now().Sub(time.UnixMilli(j.cursor.header.time)))
	}
	return st
}

func (q *Queue) journal(s Stream) (*journal, error) {
	if j, ok := q.journals[s]; ok {
		return j, nil
	}
	return nil, fmt.Errorf("there is no stream %q", string(s))
}

// tick forces records to disk and drops those that are too old.
func (q *Queue) tick() {
	defer close(q.done)
	ticker := time.NewTicker(time.Duration(q.config.FsyncInterval))
	defer ticker.Stop()
	for {
		select {
		case <-q.stop:
			return
		case <-ticker.C:
		}
		for _, s := range Streams() {
			j := q.journals[s]
			if err := j.sync(); err != nil {
				q.log.Error("records cannot be forced to disk", "stream", string(s), "err", err)
			}
			j.mu.Lock()
			j.expire()
			j.mu.Unlock()
		}
	}
}

// Close forces everything to disk and ends all calls that wait, with ErrClosed. It
// may be called more than once.
func (q *Queue) Close() error {
	q.once.Do(func() {
		close(q.stop)
		<-q.done
		q.closeErr = q.closeAll()
	})
	return q.closeErr
}

func (q *Queue) closeAll() error {
	var errs []error
	for _, s := range Streams() {
		if j := q.journals[s]; j != nil {
			errs = append(errs, j.close())
		}
	}
	return errors.Join(append(errs, q.lock.Close())...)
}
