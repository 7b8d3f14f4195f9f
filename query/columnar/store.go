package columnar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// Store is the embedded engine. Its folder holds
//
//	LOCK       held while a process has the store open
//	RESERVE    room for a manifest when the disk is full
//	MANIFEST   which parts count, what the parts cover of the log, who sent what
//	wal/       segments of the write-ahead log
//	parts/     immutable parts, each one file of blocks
//
// A row is in the log and a memory table first, and in a part later. The
// manifest is replaced atomically and names the parts and the last record that
// they cover, so at each instant a row counts exactly once: from a listed part,
// or from a record with a greater number.
type Store struct {
	cfg     Config
	dir     string
	log     *slog.Logger
	clock   clock.WithTicker
	metrics *metrics
	lock    *os.File

	registerer prometheus.Registerer

	registry *registry
	wal      *wal
	rules    []retentionRule

	// Owned by the committer.
	senders     dedupe
	lastRecord  uint64
	group       []byte
	free        int64
	freeChecked time.Time
	refused     time.Time // when retention was last asked for room

	lastAppend atomic.Int64 // Unix nanoseconds

	appends    chan *appendRequest
	rotations  chan rotation
	flushes    chan struct{}
	mergeable  chan struct{}
	retentions chan struct{}

	// mu guards the view that queries take: which rows are where.
	mu       sync.RWMutex
	mem      *memTable
	sealed   *sealedTable // being written as parts, or nil
	parts    []*part      // by (table, generation)
	flushErr error        // of the last attempt to write the sealed table

	// commitMu serializes changes of the manifest; take it before mu.
	commitMu      sync.Mutex
	manifest      manifest
	lostParts     []lostPart  // listed but unreadable; changes take mu too
	deletions     []*deletion // oldest first
	floors        []int64     // the least timestamp that each rule keeps; nil before the first look at the clock
	manifestBytes int64       // size of the manifest
	reserve       int64       // size of the file for a full disk, as far as known
	unsynced      error       // why the current manifest may not survive a crash of the machine

	partBytes atomic.Int64
	nextPart  atomic.Uint64

	codec   *blockCodec
	indexes *indexCache

	closeOnce  sync.Once
	closeErr   error
	closing    chan struct{}
	background sync.WaitGroup
}

var _ Engine = (*Store)(nil)

// sealedTable is a memory table that takes no more rows.
type sealedTable struct {
	mem         *memTable
	lastSegment uint64 // of the log that holds rows of it
	lastRecord  uint64
	senders     dedupe        // as of lastRecord
	dropBefore  int64         // rows that are older are not written
	ended       chan struct{} // closes with the attempt to write it; guarded by Store.mu
}

// rotation asks the committer to seal the memory table.
type rotation struct {
	dropBefore int64
	done       chan error
}

// Open opens the store in dir, which it creates, and replays the write-ahead
// log. The caller must Close it.
func Open(dir string, opts Options) (*Store, error) {
	cfg := opts.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("columnar: %w", err)
	}
	s := &Store{
		cfg: cfg, dir: dir, log: opts.Logger, clock: opts.Clock, registerer: opts.Registerer,
		registry:   newRegistry(cfg.MaxStreams),
		indexes:    newIndexCache(cfg.IndexCacheBytes),
		wal:        &wal{dir: filepath.Join(dir, "wal")},
		senders:    dedupe{},
		appends:    make(chan *appendRequest),
		rotations:  make(chan rotation),
		flushes:    make(chan struct{}, 1),
		mergeable:  make(chan struct{}, 1),
		retentions: make(chan struct{}, 1),
		closing:    make(chan struct{}),
	}
	var err error
	if s.rules, err = cfg.Retention.compile(); err != nil {
		return nil, fmt.Errorf("columnar: %w", err)
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.wal.log = s.log
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	s.metrics = newMetrics(s)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, errors.Join(err, s.abandon()))
	}
	if s.registerer != nil {
		if err := s.metrics.register(s.registerer); err != nil {
			return nil, fmt.Errorf("open store %s: %w", dir, errors.Join(err, s.abandon()))
		}
	}
	s.background.Add(6)
	go s.commitLoop()
	go s.syncLoop()
	go s.ageLoop()
	go s.flushLoop()
	go s.mergeLoop()
	go s.retentionLoop()
	return s, nil
}

func (s *Store) open() error {
	for _, d := range []string{s.wal.dir, s.partsDir()} {
		if err := makeDir(d, syncDir); err != nil {
			return err
		}
	}
	var err error
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	if s.codec, err = newBlockCodec(); err != nil {
		return err
	}
	if err := s.loadManifest(); err != nil {
		return err
	}
	if err := s.openParts(); err != nil {
		return err
	}
	s.keepReserve()
	return s.replay()
}

// abandon frees what a failed open holds.
func (s *Store) abandon() error {
	var errs []error
	for _, p := range s.parts {
		p.release()
	}
	errs = append(errs, s.wal.close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// replay puts the records that no part covers into the memory table.
func (s *Store) replay() error {
	start := s.clock.Now()
	s.mem = newMemTable(s.registry, start)
	s.lastRecord = s.manifest.LastRecord
	numbers, err := segments(s.wal.dir)
	if err != nil {
		return err
	}
	seen := dedupe{}
	last, records := uint64(0), 0
	scan := newWALScan(s.manifest.LastRecord)
	for i, n := range numbers {
		if i > 0 && n != last+1 {
			scan.segmentsMissing()
		}
		last = n
		scan.final = i == len(numbers)-1
		path := segmentPath(s.wal.dir, n)
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read write-ahead segment: %w", err)
		}
		s.wal.total.Add(int64(len(data)))
		damages, err := scan.segment(data, func(r walRecord) error {
			if r.number <= s.lastRecord {
				return nil // a part covers it
			}
			if seen.repeat(r.batch.id) {
				return nil // no Append writes one; a second line of defence
			}
			s.lastRecord = r.number
			seen.note(r.batch.id, r.time)
			s.senders.note(r.batch.id, r.time)
			s.mem.insert(r.batch)
			records++
			return nil
		})
		if err != nil {
			return fmt.Errorf("replay %s: %w", path, err)
		}
		if err := s.reportDamages(path, int64(len(data)), damages); err != nil {
			return err
		}
	}
	if records > 0 {
		s.log.Info("replayed write-ahead log", "records", records, "rows", s.mem.rows, "took", s.clock.Since(start))
	}
	s.lastAppend.Store(start.UnixNano())
	s.wal.segment = last
	if err := s.wal.open(last + 1); diskIsFull(err) {
		// Queries are worth more than a clean start; the first append tries again.
		s.log.Error("the disk is full; the store answers queries only until there is room", "err", err)
	} else if err != nil {
		return err
	}
	if s.mem.empty() && last > 0 {
		return s.wal.remove(last) // parts cover all of it
	}
	return nil
}

// reportDamages names what a segment lost and cuts off a tail that a crash left.
func (s *Store) reportDamages(path string, size int64, damages []walDamage) error {
	for _, d := range damages {
		if !errors.Is(d.err, errTorn) {
			s.metrics.corrupt.WithLabelValues("wal").Inc()
			s.log.Error("write-ahead log is damaged; the record is lost", "file", path, "offset", d.offset, "bytes", d.length, "err", d.err)
			continue
		}
		s.log.Warn("cut off a record that was never synced", "file", path, "offset", d.offset, "bytes", d.length)
		if d.offset+d.length == size {
			if err := os.Truncate(path, d.offset); err != nil {
				return fmt.Errorf("cut off torn tail: %w", err)
			}
			s.wal.total.Add(-d.length)
		}
	}
	return nil
}

// rotate seals the memory table and starts a new segment. Only the committer
// calls it.
func (s *Store) rotate(dropBefore int64) error {
	s.mu.RLock()
	mem, busy := s.mem, s.sealed != nil
	s.mu.RUnlock()
	if busy || mem.empty() {
		return nil
	}
	sealed := &sealedTable{mem: mem, lastSegment: s.wal.segment, lastRecord: s.lastRecord, dropBefore: dropBefore, ended: make(chan struct{})}
	if err := s.wal.open(s.wal.segment + 1); err != nil {
		return err
	}
	s.senders.forget(s.clock.Now().Add(-time.Duration(s.cfg.DedupeMaxAge)), s.cfg.DedupeMaxSenders)
	sealed.senders = s.senders.clone()
	s.mu.Lock()
	s.sealed, s.mem = sealed, newMemTable(s.registry, s.clock.Now())
	s.mu.Unlock()
	notify(s.flushes)
	return nil
}

// rotateIfFree rotates unless the table before is still being written, and
// reports whether it did.
func (s *Store) rotateIfFree() (bool, error) {
	s.mu.RLock()
	busy := s.sealed != nil
	s.mu.RUnlock()
	if busy {
		return false, nil
	}
	return true, s.rotate(minTime)
}

// awaitFlush waits until no sealed table is left to write. It returns the error
// of an attempt that failed, which will be made again.
func (s *Store) awaitFlush(ctx context.Context) error {
	for {
		s.mu.RLock()
		sealed, err := s.sealed, s.flushErr
		var ended chan struct{}
		if sealed != nil {
			ended = sealed.ended
		}
		s.mu.RUnlock()
		if sealed == nil || err != nil {
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		}
	}
}

// Flush writes everything appended so far into parts.
func (s *Store) Flush(ctx context.Context) error { return s.flushFrom(ctx, minTime) }

func (s *Store) flushFrom(ctx context.Context, dropBefore int64) error {
	// The first round may find a table being written; rows that came after it was
	// sealed need a second one.
	for range 2 {
		rotated := make(chan error, 1)
		select {
		case s.rotations <- rotation{dropBefore, rotated}:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		}
		if err := <-rotated; err != nil {
			return err
		}
		if err := s.awaitFlush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// syncLoop bounds what a crash of the machine can take.
func (s *Store) syncLoop() {
	defer s.background.Done()
	tick := s.clock.NewTicker(time.Duration(s.cfg.FsyncInterval))
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C():
		}
		synced, err := s.wal.sync()
		if synced {
			s.metrics.walSyncs.Inc()
		}
		if err != nil {
			// The kernel may have dropped the pages: what is in memory goes to parts,
			// which are synced on their own.
			s.log.Error("cannot sync the write-ahead log; writing the memory table", "err", err)
			s.requestRotation()
		}
	}
}

// ageLoop writes memory tables that are old or idle.
func (s *Store) ageLoop() {
	defer s.background.Done()
	tick := s.clock.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C():
		}
		s.mu.RLock()
		mem := s.mem
		s.mu.RUnlock()
		now := s.clock.Now()
		idle := now.Sub(time.Unix(0, s.lastAppend.Load()))
		if !mem.empty() && (now.Sub(mem.created) >= time.Duration(s.cfg.FlushAge) || idle >= time.Duration(s.cfg.FlushIdle)) {
			s.requestRotation()
		}
	}
}

func (s *Store) requestRotation() {
	done := make(chan error, 1)
	select {
	case s.rotations <- rotation{minTime, done}:
		if err := <-done; err != nil {
			s.log.Error("cannot start a write-ahead segment", "err", err)
		}
	case <-s.closing:
	}
}

// Close stops all work and syncs the log. What is not in parts yet is replayed
// at the next Open. Cursors stay usable until they are closed.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.background.Wait()
		s.mu.Lock()
		parts := s.parts
		s.parts = nil
		s.mu.Unlock()
		for _, p := range parts {
			p.release()
		}
		if s.registerer != nil {
			s.metrics.unregister(s.registerer)
		}
		s.closeErr = errors.Join(s.wal.close(), s.lock.Close())
	})
	return s.closeErr
}

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Store) partsDir() string { return filepath.Join(s.dir, "parts") }

func (s *Store) memBytesActive() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mem.size()
}

func (s *Store) memBytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.mem.size()
	if s.sealed != nil {
		n += s.sealed.mem.size()
	}
	return n
}

func (s *Store) partCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.parts)
}

func (s *Store) diskBytes() int64 { return s.wal.total.Load() + s.partBytes.Load() }

// notify wakes a loop that waits on c, or leaves it be when it was woken already.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
