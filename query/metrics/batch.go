package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/yagura-dev/yagura/query/columnar"
)

// MarkerName is the internal series that remembers which batches are stored. Its
// value is the highest stored sequence of the labels collector and stream.
//
// The TSDB has no record that holds samples and a batch id together: one Commit
// writes float samples, histograms and exemplars as separate records of the
// write-ahead log, and out-of-order samples to a second log after all of them. A
// marker in the same Commit as its data would be in the first of these records; a
// kill right after it would leave a durable marker without its data, and the
// resend would be taken for a repeat. So the marker is committed after the data,
// by itself. Then a kill can only leave data without its marker, and the resend
// stores the same samples again, which changes nothing:
//
//   - a sample equal to the newest of its series is dropped by the TSDB;
//   - an older one goes to the out-of-order chunks, which drop a timestamp that
//     they hold, and every read (query or compaction) merges equal timestamps of
//     overlapping chunks and blocks into one sample;
//   - an exemplar that the ring still holds is recognised by its timestamp;
//   - a sample that became too old meanwhile is refused, but then it is there.
//
// Both commits are write(2) calls that have returned before the batch is
// acknowledged, so an acknowledged batch and its marker survive kill -9.
const MarkerName = "yagura_ingest_batch_sequence"

// MaxSequence is the greatest sequence that a marker, a float64, holds exactly.
const MaxSequence = 1 << 53

const (
	markerCollector = "collector"
	markerStream    = "stream"
)

// AppendBatch stores what write appends, and then the id. It may call write a
// second time, when the first try met a series that is not there yet; write must
// append the same then. When it returns nil the
// batch survives a crash of the process. A named batch whose sequence is not
// above the last one of its (collector, stream) is a repeat: write is not called
// and duplicate is true. Samples that the store refuses are counted in the
// result; the others are stored.
//
// Batches of one (collector, stream) are stored one after the other. The error
// wraps columnar.ErrFull when the disk is full; nothing is stored then, nor when
// write returns an error.
func (s *Store) AppendBatch(ctx context.Context, id columnar.BatchID, write func(*Appender) error) (res Result, duplicate bool, err error) {
	if err := s.admit(); err != nil {
		return Result{}, false, err
	}
	if id.IsZero() {
		res, err = s.append(ctx, write)
		return res, false, err
	}
	if id.Sequence > MaxSequence {
		return Result{}, false, fmt.Errorf("batch sequence %d is greater than %d", id.Sequence, uint64(MaxSequence))
	}
	key := streamKey{id.Collector, id.Stream}
	e := s.batches.acquire(key)
	defer s.batches.release(e)
	e.mu.Lock()
	defer e.mu.Unlock()
	if id.Sequence <= e.last.sequence {
		s.metrics.batches.WithLabelValues("duplicate").Inc()
		return Result{}, true, nil
	}
	if res, err = s.append(ctx, write); err != nil {
		return Result{}, false, err
	}
	next, err := s.appendMarker(ctx, key, e.last, id.Sequence)
	if err != nil {
		return Result{}, false, err
	}
	e.last = next
	return res, false, nil
}

func (s *Store) append(ctx context.Context, write func(*Appender) error) (Result, error) {
	start := time.Now()
	res, err := s.tryAppend(ctx, write, false)
	if errors.Is(err, errNewSeries) {
		res, err = s.tryAppend(ctx, write, true)
	}
	if err != nil {
		s.metrics.batches.WithLabelValues("failed").Inc()
		return Result{}, err
	}
	s.metrics.observe(res, time.Since(start))
	return res, nil
}

// tryAppend writes and commits. Only when it may create series does it keep other
// batches away; else it returns errNewSeries, having stored nothing, when it meets
// one.
func (s *Store) tryAppend(ctx context.Context, write func(*Appender) error, create bool) (Result, error) {
	if create {
		s.createMu.Lock()
		defer s.createMu.Unlock()
	} else {
		s.createMu.RLock()
		defer s.createMu.RUnlock()
	}
	app := s.newAppender(ctx, create)
	stored := false
	defer func() { // also when write panics: an open appender holds up compaction
		if !stored {
			_ = app.app.Rollback()
		}
	}()
	err := write(app)
	if app.metNew {
		return Result{}, errNewSeries
	}
	if err != nil {
		return Result{}, err
	}
	if err := s.commit(app.app); err != nil {
		return Result{}, err
	}
	stored = true
	return app.result, nil
}

func (s *Store) commit(app storage.AppenderV2) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := s.Ready(); err != nil {
		_ = app.Rollback()
		return err
	}
	before, _ := s.logs.failures()
	defer s.crashOnPanic()
	if err := app.Commit(); err != nil {
		return s.fail(err)
	}
	if after, _ := s.logs.failures(); after > before {
		return s.fail(fmt.Errorf("out-of-order samples were not written"))
	}
	return nil
}

// crashOnPanic ends the process when Commit panics. The TSDB does so when it
// cannot write a chunk file, and leaves a series locked: whoever recovered from
// it, as HTTP servers do, would have queries and the shutdown wait for ever. All
// that was acknowledged is in the log, so a restart loses nothing.
func (s *Store) crashOnPanic() {
	p := recover()
	if p == nil {
		return
	}
	s.logger.Error("the metrics store cannot write its files; ending the process", "panic", p, "stack", string(debug.Stack()))
	go func() { panic(fmt.Sprintf("metrics store cannot write its files: %v", p)) }()
	select {}
}

func (s *Store) appendMarker(ctx context.Context, key streamKey, last marker, sequence uint64) (marker, error) {
	// A marker must never be refused, whatever the clock does: it is newer than the
	// one before, and not older than what the TSDB takes in order.
	t := max(s.now().UnixMilli(), last.timestamp+1)
	if oldest, ok := s.db.Head().AppendableMinValidTime(); ok {
		t = max(t, oldest)
	}
	app := s.db.AppenderV2(ctx)
	if _, err := app.Append(0, key.labels(), 0, t, float64(sequence), nil, nil, storage.AOptions{}); err != nil {
		_ = app.Rollback()
		return marker{}, fmt.Errorf("append marker of batch %s/%s/%d: %w", key.collector, key.stream, sequence, err)
	}
	if err := s.commit(app); err != nil {
		return marker{}, err
	}
	return marker{sequence: sequence, timestamp: t}, nil
}

type streamKey struct{ collector, stream string }

func (k streamKey) labels() labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, MarkerName, markerCollector, k.collector, markerStream, k.stream)
}

// marker is the last stored batch of a stream. timestamp is that of its sample,
// in Unix milliseconds.
type marker struct {
	sequence  uint64
	timestamp int64
}

// batchIndex holds the last marker of each stream.
type batchIndex struct {
	max     int
	mu      sync.Mutex
	clock   int64 // grows with each use; starts at the newest marker's timestamp
	entries map[streamKey]*batchEntry
}

type batchEntry struct {
	key     streamKey
	users   int   // guarded by batchIndex.mu
	lastUse int64 // guarded by batchIndex.mu

	mu   sync.Mutex // held while a batch of the stream is stored
	last marker     // guarded by mu
}

func newBatchIndex(limit int, last map[streamKey]marker) *batchIndex {
	x := &batchIndex{max: limit, entries: make(map[streamKey]*batchEntry, len(last))}
	for k, m := range last {
		x.entries[k] = &batchEntry{key: k, last: m, lastUse: m.timestamp}
		x.clock = max(x.clock, m.timestamp)
	}
	for len(x.entries) > limit {
		x.evict()
	}
	return x
}

func (x *batchIndex) acquire(k streamKey) *batchEntry {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[k]
	if !ok {
		if len(x.entries) >= x.max {
			x.evict()
		}
		e = &batchEntry{key: k}
		x.entries[k] = e
	}
	e.users++
	x.clock++
	e.lastUse = x.clock
	return e
}

func (x *batchIndex) release(e *batchEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.users--
}

// evict forgets the stream that was silent longest. Streams in use stay.
func (x *batchIndex) evict() {
	var oldest *batchEntry
	for _, e := range x.entries {
		if e.users == 0 && (oldest == nil || e.lastUse < oldest.lastUse) {
			oldest = e
		}
	}
	if oldest != nil {
		delete(x.entries, oldest.key)
	}
}

// markerWindows are how far back, in turn, the newest marker of a stream is
// looked for: one sample per batch is kept for the whole retention, and nearly
// every stream is found in the first hours of it.
var markerWindows = []time.Duration{time.Hour, 12 * time.Hour, 3 * 24 * time.Hour}

// readMarkers returns the greatest stored sequence of every stream.
func readMarkers(ctx context.Context, db *tsdb.DB) (map[streamKey]marker, error) {
	mint, maxt := int64(math.MinInt64), int64(math.MaxInt64)
	want, err := markerStreams(ctx, db)
	if err != nil || len(want) == 0 {
		return nil, err
	}
	newest := db.Head().MaxTime()
	var starts []int64
	for _, w := range markerWindows {
		starts = append(starts, newest-w.Milliseconds())
	}
	found := make(map[streamKey]marker, len(want))
	for _, start := range append(starts, mint) {
		if err := readMarkersSince(ctx, db, start, maxt, found); err != nil {
			return nil, err
		}
		if len(found) >= len(want) {
			break
		}
	}
	return found, nil
}

// markerStreams lists the streams from the index alone, without reading samples.
func markerStreams(ctx context.Context, db *tsdb.DB) (keys []streamKey, err error) {
	err = selectMarkers(ctx, db, math.MinInt64, math.MaxInt64, &storage.SelectHints{Func: "series", Start: math.MinInt64, End: math.MaxInt64}, func(s storage.Series) error {
		keys = append(keys, keyOf(s.Labels()))
		return nil
	})
	return slices.Clip(keys), err
}

func readMarkersSince(ctx context.Context, db *tsdb.DB, mint, maxt int64, into map[streamKey]marker) error {
	var it chunkenc.Iterator
	return selectMarkers(ctx, db, mint, maxt, nil, func(s storage.Series) error {
		key := keyOf(s.Labels())
		m, ok := into[key]
		it = s.Iterator(it)
		for vt := it.Next(); vt != chunkenc.ValNone; vt = it.Next() {
			if vt != chunkenc.ValFloat {
				continue
			}
			t, v := it.At()
			m.timestamp = max(m.timestamp, t)
			if v >= 0 && v <= MaxSequence {
				m.sequence = max(m.sequence, uint64(v))
			}
			ok = true
		}
		if ok {
			into[key] = m
		}
		return it.Err()
	})
}

func selectMarkers(ctx context.Context, db *tsdb.DB, mint, maxt int64, hints *storage.SelectHints, each func(storage.Series) error) error {
	q, err := db.Querier(mint, maxt)
	if err != nil {
		return fmt.Errorf("open querier: %w", err)
	}
	defer q.Close()
	set := q.Select(ctx, false, hints, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, MarkerName))
	for set.Next() {
		if err := each(set.At()); err != nil {
			return err
		}
	}
	return set.Err()
}

func keyOf(l labels.Labels) streamKey {
	return streamKey{collector: l.Get(markerCollector), stream: l.Get(markerStream)}
}
