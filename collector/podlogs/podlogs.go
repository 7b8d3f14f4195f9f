package podlogs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/collector/queue"
)

// Queue is what podlogs needs of the disk queue; *queue.Queue is one.
type Queue interface {
	Append(ctx context.Context, s queue.Stream, payload []byte) error
	AppendWithPositions(ctx context.Context, s queue.Stream, payload []byte, positions queue.Positions) error
	SavePositions(ctx context.Context, s queue.Stream, positions queue.Positions) error
	Positions(s queue.Stream) (queue.Positions, error)
	Stats(s queue.Stream) queue.Stats
}

// Tailer reads log files. Everything happens in the goroutine of Run.
type Tailer struct {
	config   Config
	queue    Queue
	metadata Metadata
	log      *slog.Logger
	metrics  *metrics
	clock    clock.WithTicker

	scanner scanner
	watcher *fsnotify.Watcher // nil where the system has none to spare
	watched map[string]bool   // folders, and whether the last scan met them
	scanned bool              // at least once

	reader  *reader
	batch   *batch
	payload []byte // the batch, encoded, while the queue does not take it
	files   map[fileID]*file
	order   []*file           // the files in the order in which they are read
	known   map[fileID]*known // positions of files that were read before

	complained map[string]time.Time // by message, so that trouble is not logged all the time
}

// Option changes how New makes a Tailer.
type Option func(*Tailer)

// WithClock replaces the clock.
func WithClock(c clock.WithTicker) Option {
	return func(t *Tailer) { t.clock = c }
}

// New returns a Tailer that does nothing before Run. metadata and reg may be nil.
// A queue serves one Tailer.
func New(config Config, q Queue, metadata Metadata, log *slog.Logger, reg prometheus.Registerer, options ...Option) (*Tailer, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("podlogs configuration: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	t := &Tailer{
		config: config, queue: q, metadata: metadata, log: log, metrics: m, clock: clock.RealClock{},
		reader:  newReader(int(config.MaxLineBytes), m),
		files:   map[fileID]*file{},
		known:   map[fileID]*known{},
		watched: map[string]bool{}, complained: map[string]time.Time{},
	}
	t.scanner = scanner{config: config, folders: t.watch}
	for _, o := range options {
		o(t)
	}
	if t.batch, err = newBatch(); err != nil {
		return nil, err
	}
	return t, nil
}

// Run reads until ctx is done. What was read and not handed to the queue by then
// is read again by the next Run on the same queue.
func (t *Tailer) Run(ctx context.Context) error {
	if err := t.load(); err != nil {
		return err
	}
	var events chan fsnotify.Event
	var watchErrors chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.log.Warn("new pods are noticed by searching only", "err", err)
	} else {
		t.watcher, events, watchErrors = watcher, watcher.Events, watcher.Errors
	}
	defer t.close()

	ticker := t.clock.NewTicker(time.Duration(t.config.Interval))
	defer ticker.Stop()
	heartbeat := t.clock.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	always := make(chan struct{})
	close(always)
	var scanned, busyUntil time.Time
	for first := true; ; first = false {
		now := t.clock.Now()
		if now.Sub(scanned) >= time.Duration(t.config.ScanInterval) || now.Before(busyUntil) {
			t.scan(ctx, now)
			scanned = now
		}
		more, err := t.round(ctx)
		if err != nil {
			return err
		}
		if first {
			t.heartbeat(ctx)
		}
		var proceed chan struct{} // nil, never ready, if there is nothing more to read
		if more {
			proceed = always
		}
		select {
		case <-ctx.Done():
			return nil
		case <-heartbeat.C():
			t.heartbeat(ctx)
		case <-events:
			// The folder comes first and its files shortly after: look again and again.
			busyUntil = t.clock.Now().Add(2 * time.Second)
		case err := <-watchErrors:
			t.trouble("the system may not have told of all new pods", err)
		case <-ticker.C():
		case <-proceed:
		}
	}
}

// load takes over what the queue knows of files.
func (t *Tailer) load() error {
	positions, err := t.queue.Positions(queue.Logs)
	if err != nil {
		return fmt.Errorf("load positions of log files: %w", err)
	}
	now := t.clock.Now()
	for source, encoded := range positions {
		id, plain, ok := parseSource(source)
		if !ok {
			continue // another source's
		}
		p, err := decodePosition(encoded)
		if err != nil {
			t.log.Error("the position of a log file cannot be read; the file is read from its beginning",
				"source", source, "err", err)
			continue
		}
		t.known[id] = &known{position: p, plain: plain, seen: now}
	}
	return nil
}

// round reads every file in turn until there is nothing left, or for as long as a
// scan may wait, and hands all of it to the queue. It says whether there is more.
func (t *Tailer) round(ctx context.Context) (more bool, err error) {
	if t.payload != nil {
		if ok, err := t.flush(ctx); !ok || err != nil {
			return false, err
		}
	}
	began := t.clock.Now()
	for {
		more = false
		for _, f := range t.order {
			if ctx.Err() != nil {
				return false, nil
			}
			now := t.clock.Now()
			if t.waiting(f, now) {
				continue
			}
			taken, err := t.reader.read(f, t.batch, now)
			if t.failed(f, err) {
				continue
			}
			more = more || taken > 0
			if t.batch.bytes >= int(t.config.BatchBytes) {
				if ok, err := t.flush(ctx); !ok || err != nil {
					return false, err
				}
			}
		}
		if !more || t.clock.Since(began) >= time.Duration(t.config.ScanInterval) {
			break
		}
	}
	t.closeFinished(t.clock.Now())
	ok, err := t.flush(ctx)
	return more && ok, err
}

// waiting says whether lines of f should wait until the API server told of the pod.
func (t *Tailer) waiting(f *file, now time.Time) bool {
	if !now.Before(f.waitUntil) {
		return false
	}
	if _, ok := t.metadata.PodByUID(f.origin.uid); !ok {
		return true
	}
	f.waitUntil = time.Time{}
	return false
}

// failed notes whether the last read of f went wrong, and says so.
func (t *Tailer) failed(f *file, err error) bool {
	if err != nil && !f.failing {
		t.metrics.errors.Inc()
		t.log.Error("a log file cannot be read; it is tried again", "path", f.path, "err", err)
	}
	f.failing = err != nil
	return f.failing
}

// closeFinished closes files that will not grow any more, after taking what is
// left in them.
func (t *Tailer) closeFinished(now time.Time) {
	t.order = slices.DeleteFunc(t.order, func(f *file) bool {
		gone := now.Sub(f.seen) >= quietBefore
		quiet := f.atEnd && now.Sub(f.grown) >= quietBefore
		if !f.failing && !(quiet && (gone || f.rotated)) || f.failing && !gone {
			return false
		}
		if !f.failing {
			if err := t.reader.rest(f, t.batch, now); err != nil {
				t.trouble("the end of a log file cannot be read", err)
			}
		}
		if err := f.handle.Close(); err != nil {
			t.trouble("a log file cannot be closed", err)
		}
		delete(t.files, f.id)
		// Should it grow again before the queue takes the batch, it goes on from here.
		t.known[f.id] = &known{position: f.position(), plain: f.origin.plain(), seen: f.seen}
		return true
	})
}

// flush hands the batch to the queue. It returns false if the queue did not take
// it: then nothing more is read until it does.
func (t *Tailer) flush(ctx context.Context) (bool, error) {
	if t.batch.lines == 0 {
		return true, nil
	}
	if t.payload == nil {
		payload, err := t.batch.encode(func(f *file) resource { return resourceOf(f.origin, t.config, t.metadata) })
		if err != nil {
			return false, err
		}
		t.payload = payload
	}
	positions := t.batch.positions()
	err := t.queue.AppendWithPositions(ctx, queue.Logs, t.payload, positions)
	switch {
	case err == nil:
		t.metrics.lines.Add(float64(t.batch.lines))
	case ctx.Err() != nil:
		return false, nil
	case errors.Is(err, queue.ErrClosed):
		return false, fmt.Errorf("hand log lines to the queue: %w", err)
	case errors.Is(err, queue.ErrTooLarge):
		t.metrics.dropped.WithLabelValues(dropTooLarge).Add(float64(t.batch.lines))
		t.log.Error("log lines are dropped: the queue can never hold the batch; set batchBytes lower",
			"lines", t.batch.lines, "bytes", len(t.payload), "err", err)
		if err := t.queue.SavePositions(ctx, queue.Logs, positions); err != nil {
			t.trouble("positions of log files cannot be kept", err)
		}
	default:
		t.metrics.stalled.Set(1)
		t.trouble("no log file is read until the queue takes lines again", err)
		return false, nil
	}
	now := t.clock.Now()
	for f := range t.batch.moved {
		t.known[f.id] = &known{position: f.position(), plain: f.origin.plain(), seen: now}
	}
	t.metrics.stalled.Set(0)
	t.payload = nil
	t.batch.reset()
	return true, nil
}

// forget drops the positions of files that have been gone for long.
func (t *Tailer) forget(ctx context.Context, now time.Time) {
	gone := queue.Positions{}
	for id, k := range t.known {
		if t.files[id] == nil && now.Sub(k.seen) >= forgetAfter {
			gone[id.source(k.plain)] = nil
			delete(t.known, id)
		}
	}
	if err := t.queue.SavePositions(ctx, queue.Logs, gone); err != nil {
		t.trouble("positions of files that are gone cannot be deleted", err) // the next start does it
	}
}

// watch asks the system to tell of new entries in a folder.
func (t *Tailer) watch(path string) {
	if t.watcher == nil {
		return
	}
	if _, ok := t.watched[path]; !ok {
		if err := t.watcher.Add(path); err != nil {
			t.trouble("new pods are noticed by searching only", err)
			return
		}
	}
	t.watched[path] = true
}

// unwatch forgets the folders that the last scan did not meet; the system ended
// their watches when they were deleted.
func (t *Tailer) unwatch() {
	for path, met := range t.watched {
		if !met {
			delete(t.watched, path)
		} else {
			t.watched[path] = false
		}
	}
}

// trouble logs an error that is likely to repeat, at most once a minute for each
// message.
func (t *Tailer) trouble(message string, err error) {
	t.metrics.errors.Inc()
	now := t.clock.Now()
	if last, ok := t.complained[message]; ok && now.Sub(last) < time.Minute {
		return
	}
	t.complained[message] = now
	t.log.Error(message, "err", err)
}

func (t *Tailer) close() {
	for _, f := range t.order {
		if err := f.handle.Close(); err != nil {
			t.log.Warn("a log file cannot be closed", "path", f.path, "err", err)
		}
	}
	if t.watcher != nil {
		if err := t.watcher.Close(); err != nil {
			t.log.Warn("the watch of folders cannot be ended", "err", err)
		}
	}
}
