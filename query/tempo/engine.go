package tempo

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Store is what the engine asks of the block store.
type Store interface {
	columnar.Reader
	columnar.Counter
	columnar.Catalog
}

// Engine runs TraceQL queries on a store within the bounds of its configuration. It is
// safe for concurrent use.
type Engine struct {
	store   Store
	cfg     Config
	logger  *slog.Logger
	now     func() time.Time
	slots   chan struct{}
	metrics *metrics
}

// NewEngine makes an engine. reg may be nil.
func NewEngine(store Store, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tempo: %w", err)
	}
	return &Engine{
		store: store, cfg: cfg, logger: logger, now: time.Now,
		slots:   make(chan struct{}, cfg.MaxConcurrent),
		metrics: newMetrics(reg),
	}, nil
}

// Stats says what a query cost.
type Stats struct {
	Bytes  int64 // uncompressed, decoded by the store
	Traces int64 // looked into as a whole
	Spans  int64 // rows decoded by the store
	Lost   int64 // damaged blocks that could not be read
}

func (s *Stats) add(st columnar.Stats) {
	s.Bytes += st.Bytes
	s.Spans += st.Rows
	s.Lost += st.BlocksLost
}

// run waits for a slot, calls f within the timeout, and accounts for it.
func (e *Engine) run(ctx context.Context, f func(context.Context) (Stats, error)) error {
	start := time.Now()
	timeout := time.Duration(e.cfg.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	defer cancel()
	st, err := e.guarded(ctx, f)
	if err != nil {
		err = e.explain(ctx, err)
	}
	e.metrics.seconds.Observe(time.Since(start).Seconds())
	e.metrics.bytes.Add(float64(st.Bytes))
	e.metrics.rows.Add(float64(st.Spans))
	if err == nil && st.Lost > 0 && e.logger != nil {
		e.logger.Warn("a query's answer lacks spans of damaged blocks", "blocks", st.Lost)
	}
	return err
}

// guarded waits for a slot and calls f. A panic of f becomes an error, and the slot is
// free again whatever happens.
func (e *Engine) guarded(ctx context.Context, f func(context.Context) (Stats, error)) (st Stats, err error) {
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return st, ctx.Err()
	}
	defer func() {
		<-e.slots
		if p := recover(); p != nil {
			if e.logger != nil {
				e.logger.Error("a query of traces panicked", "panic", p, "stack", string(debug.Stack()))
			}
			err = fmt.Errorf("the engine failed on this query: %v", p)
		}
	}()
	return f(ctx)
}

func (e *Engine) budget() columnar.Budget {
	return columnar.Budget{MaxBytes: e.cfg.MaxQueryBytes, MaxRows: e.cfg.MaxQueryRows, MaxStreams: e.cfg.MaxStreams}
}

// checkEvery is how many rows are evaluated between looks at the context.
const checkEvery = 1024

// reader walks the rows of one selection. Its row is valid until the next call.
type reader struct {
	cursor  columnar.Cursor
	batch   *columnar.ColumnBatch
	at      int
	row     row
	recheck *checker // what the store has left to the caller
}

// open starts reading the rows of a selection that start in [from, to).
func (e *Engine) open(ctx context.Context, s selection, columns columnar.Columns, from, to int64, dir columnar.Direction) (*reader, error) {
	cur, err := e.store.Select(ctx, columnar.Query{
		Table: columnar.Spans, From: from, To: to, Matchers: s.matchers, Fields: s.fields,
		Columns: columns, Direction: dir, Budget: e.budget(),
	})
	if err != nil {
		return nil, fmt.Errorf("select spans: %w", err)
	}
	r := &reader{cursor: cur, at: -1}
	if !cur.Applied().All() {
		c, err := newChecker(s)
		if err != nil {
			_ = cur.Close()
			return nil, err
		}
		r.recheck = &c
	}
	return r, nil
}

// next moves to the next row, and reports false at the end.
func (r *reader) next(ctx context.Context) (bool, error) {
	for {
		r.at++
		if r.batch == nil || r.at >= r.batch.Len() {
			b, err := r.cursor.Next(ctx)
			if err != nil {
				return false, fmt.Errorf("read spans: %w", err)
			}
			if r.batch = b; b == nil {
				return false, nil
			}
			r.at = 0
		}
		r.row = row{labels: r.batch.Streams[r.batch.StreamRefs[r.at]], start: r.batch.Timestamps[r.at]}
		if r.batch.Fields != nil {
			r.row.fields = r.batch.Fields[r.at]
		}
		if r.recheck == nil || r.recheck.holds(&r.row) {
			return true, nil
		}
	}
}

func (r *reader) close(st *Stats) error {
	st.add(r.cursor.Stats())
	if err := r.cursor.Close(); err != nil {
		return fmt.Errorf("select spans: %w", err)
	}
	return nil
}

// scan calls visit for each row for which one of the selections holds, once and in the
// direction's order, until it says false. What it passes is valid only during the call,
// labels excepted.
func (e *Engine) scan(ctx context.Context, ss []selection, columns columnar.Columns, from, to int64, dir columnar.Direction, st *Stats, visit func(*row) (bool, error)) (err error) {
	readers := make([]*reader, 0, len(ss))
	defer func() {
		for _, r := range readers {
			if closeErr := r.close(st); err == nil {
				err = closeErr
			}
		}
	}()
	var live []int
	checkers := make([]checker, len(ss))
	for i, s := range ss {
		if checkers[i], err = newChecker(s); err != nil {
			return err
		}
		r, err := e.open(ctx, s, columns, from, to, dir)
		if err != nil {
			return err
		}
		readers = append(readers, r)
		if ok, err := r.next(ctx); err != nil {
			return err
		} else if ok {
			live = append(live, i)
		}
	}
	lbls := labelCache{}
	for n := 0; len(live) > 0; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err() // rows that are evaluated may cost more than to read them
		}
		best := 0
		for k := 1; k < len(live); k++ {
			a, b := readers[live[k]].row.start, readers[live[best]].row.start
			if a < b && dir == columnar.Forward || a > b && dir == columnar.Backward {
				best = k
			}
		}
		i := live[best]
		r := readers[i]
		if !held(checkers[:i], &r.row) {
			r.row.labels = lbls.copy(r.row.labels)
			if more, err := visit(&r.row); err != nil || !more {
				return err
			}
		}
		ok, err := r.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			live = append(live[:best], live[best+1:]...)
		}
	}
	return nil
}

// held reports whether an earlier selection has delivered the row.
func held(earlier []checker, r *row) bool {
	for i := range earlier {
		if earlier[i].holds(r) {
			return true
		}
	}
	return false
}

// labelCache keeps one copy of each label set of a query.
type labelCache map[uint64]labels.Labels

func (c labelCache) copy(l labels.Labels) labels.Labels {
	hash := labels.StableHash(l)
	if kept, ok := c[hash]; ok {
		return kept
	}
	kept := l.Copy()
	c[hash] = kept
	return kept
}
