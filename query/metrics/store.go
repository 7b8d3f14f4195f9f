package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Options is what a store needs from the process it runs in. Config comes from
// the user. Nil fields get a quiet default.
type Options struct {
	Config     Config
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer // what /status/self_metrics shows
	Now        func() time.Time
	Version    string // what /status/buildinfo shows
}

// Store is a TSDB with its query engine. It is safe for concurrent use.
//
// The folder holds tsdb/ (the TSDB's own layout, with its lock file: the kernel
// releases the lock of a process that was killed) and queries.active (the
// queries that run now, so that the next start can log what ran at a crash).
type Store struct {
	dir    string
	cfg    Config
	logger *slog.Logger
	now    func() time.Time

	db      *tsdb.DB
	engine  *promql.Engine
	parser  parser.Parser
	api     *api
	metrics *storeMetrics
	meta    *metadataIndex
	batches *batchIndex

	// createMu is held for writing by a batch that creates series, from its first
	// sample to the end of its commit, and for reading by the others. The TSDB logs
	// a new series with the batch that created it: samples that another batch adds
	// to it meanwhile may be logged before it, and replay drops samples of a series
	// that it does not know.
	createMu sync.RWMutex
	// commitMu makes "write to the log" and "apply in memory" of one batch one step
	// towards other batches. The TSDB does the two under different locks; when two
	// batches touch the same series, the one that is later in the log may be
	// applied first, and replay would then drop the earlier one as out of order.
	commitMu sync.Mutex
	logs     *logWatch

	mu       sync.Mutex
	failed   error // a log could not be written; no more writes until reopened
	freeAt   time.Time
	free     int64
	closed   bool
	closeErr error
}

// Open opens the store in dir, creating it if need be, and replays its
// write-ahead log. Only one process can have a store open.
func Open(dir string, opts Options) (_ *Store, err error) {
	opts = opts.withDefaults()
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("metrics configuration: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create metrics folder: %w", err)
	}
	s := &Store{
		dir:     dir,
		cfg:     opts.Config,
		logger:  opts.Logger,
		now:     opts.Now,
		parser:  parser.NewParser(parser.Options{}),
		metrics: newStoreMetrics(opts.Registerer),
		meta:    newMetadataIndex(opts.Config.MaxMetadata),
		logs:    &logWatch{Registerer: opts.Registerer},
	}
	s.db, err = tsdb.Open(filepath.Join(dir, "tsdb"), opts.Logger, s.logs, s.tsdbOptions(), nil)
	if err != nil {
		return nil, fmt.Errorf("open tsdb: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, ok := s.logs.failures(); !ok {
		return nil, fmt.Errorf("the TSDB registers no counter %s", outOfOrderLogFailures)
	}
	last, err := readMarkers(context.Background(), s.db)
	if err != nil {
		return nil, fmt.Errorf("read batch markers: %w", err)
	}
	s.batches = newBatchIndex(opts.Config.MaxBatchStreams, last)

	tracker, err := promql.NewActiveQueryTracker(dir, opts.Config.QueryConcurrency, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("open active query log: %w", err)
	}
	s.engine = promql.NewEngine(promql.EngineOpts{
		Logger:               opts.Logger,
		Reg:                  opts.Registerer,
		MaxSamples:           opts.Config.QueryMaxSamples,
		Timeout:              time.Duration(opts.Config.QueryTimeout),
		LookbackDelta:        time.Duration(opts.Config.LookbackDelta),
		ActiveQueryTracker:   tracker,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		EnablePerStepStats:   true,
		// A subquery without a step gets the step that dashboards assume.
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		Parser:                   s.parser,
	})
	s.api, err = newAPI(s, opts)
	if err != nil {
		return nil, fmt.Errorf("set up the Prometheus API: %w", err)
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Gatherer == nil {
		o.Gatherer = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	return o
}

func (s *Store) tsdbOptions() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = time.Duration(s.cfg.Retention).Milliseconds()
	o.MaxBytes = s.cfg.RetentionBytes
	o.WALCompression = compression.Snappy
	// The newest sample may be ahead of the clock, and the window counts from it.
	o.OutOfOrderTimeWindow = time.Duration(s.cfg.OutOfOrderWindow + s.cfg.MaxFutureTime).Milliseconds()
	o.EnableExemplarStorage = s.cfg.MaxExemplars > 0
	o.MaxExemplars = s.cfg.MaxExemplars
	o.FloatChunkEncoding = chunkenc.EncXOR
	// Blocks grow up to a tenth of the retention, so that what is deleted at once
	// stays small beside what is kept; 31 days at most, as Prometheus does.
	o.MaxBlockDuration = max(o.MinBlockDuration, min(o.RetentionDuration/10, (31*24*time.Hour).Milliseconds()))
	return o
}

// Engine evaluates PromQL; use it with Queryable.
func (s *Store) Engine() *promql.Engine { return s.engine }

// Queryable reads the stored samples.
func (s *Store) Queryable() storage.SampleAndChunkQueryable { return s.db }

// Ready is nil while the store takes batches and answers queries.
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return columnar.ErrClosed
	case s.failed != nil:
		return s.failed
	}
	return nil
}

// Close flushes and releases the store. Queries and appends must have returned.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closeErr
	}
	s.closed = true
	var errs []error
	if s.engine != nil {
		errs = append(errs, s.engine.Close())
	}
	errs = append(errs, s.db.Close())
	s.closeErr = errors.Join(errs...)
	return s.closeErr
}

// fail stops all further writes. After a failed write the TSDB's log may hold
// half a record in its middle; replay cuts the log there, and would cut off every
// batch acknowledged after it. So nothing is acknowledged any more until the
// store is opened again, which repairs the log.
func (s *Store) fail(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("write-ahead log failed, restart to repair it: %w", cause)
		s.logger.Error("metrics store takes no more batches until it is restarted", "err", cause)
	}
	return s.failed
}

// freeCheckInterval bounds how often the file system is asked. At the fastest
// arrival that a disk can take, far less than MinFreeBytes arrives meanwhile.
const freeCheckInterval = time.Second

// admit refuses a batch before any work when it could not be kept.
func (s *Store) admit() error {
	if err := s.Ready(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.freeAt.IsZero() || now.Sub(s.freeAt).Abs() >= freeCheckInterval {
		free, err := freeBytes(s.dir)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		s.free, s.freeAt = free, now
	}
	if s.free < s.cfg.MinFreeBytes {
		s.metrics.batches.WithLabelValues("disk_full").Inc()
		return fmt.Errorf("%d bytes free, minFreeBytes is %d: %w", s.free, s.cfg.MinFreeBytes, columnar.ErrFull)
	}
	return nil
}
