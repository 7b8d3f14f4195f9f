package traces

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Trace is the stored spans of one trace, by start.
type Trace struct {
	ID    TraceID
	Spans []Span
	// Warnings say, for people, why the trace may not be whole.
	Warnings []string
}

// Store is what traces are read from.
type Store interface {
	columnar.Reader
	columnar.Catalog
}

// Querier answers for spans on a store within the bounds of its configuration.
// It is safe for concurrent use.
type Querier struct {
	store      Store
	cfg        Config
	logger     *slog.Logger
	now        func() time.Time
	slots      chan struct{}
	metrics    *metrics
	operations *operationCache
}

// NewQuerier makes a querier. reg may be nil.
func NewQuerier(store Store, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Querier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return &Querier{
		store: store, cfg: cfg, logger: logger, now: time.Now,
		slots:      make(chan struct{}, cfg.MaxConcurrent),
		metrics:    newMetrics(reg),
		operations: newOperationCache(cfg),
	}, nil
}

// run waits for a slot, calls f within the timeout, and accounts for it.
func (q *Querier) run(ctx context.Context, f func(context.Context) error) error {
	start := time.Now()
	timeout := time.Duration(q.cfg.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	defer cancel()
	err := q.guarded(ctx, f)
	if err != nil {
		err = explain(ctx, err)
	}
	_, outcome := statusOf(err)
	q.metrics.queries.WithLabelValues(outcome).Inc()
	q.metrics.seconds.Observe(time.Since(start).Seconds())
	return err
}

// guarded waits for a slot and calls f. A panic of f becomes an error, and the slot is
// free again whatever happens.
func (q *Querier) guarded(ctx context.Context, f func(context.Context) error) (err error) {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		<-q.slots
		if p := recover(); p != nil {
			if q.logger != nil {
				q.logger.Error("a query of traces panicked", "panic", p, "stack", string(debug.Stack()))
			}
			err = fmt.Errorf("the engine failed on this query: %v", p)
		}
	}()
	return f(ctx)
}

// Services returns the names of all services that have spans, sorted.
func (q *Querier) Services(ctx context.Context) ([]string, error) {
	names := []string{}
	err := q.run(ctx, func(ctx context.Context) error {
		streams, err := q.store.Streams(ctx, columnar.Spans, nil, math.MinInt64, math.MaxInt64, nil)
		if err != nil {
			return fmt.Errorf("list streams of spans: %w", err)
		}
		for _, l := range streams {
			names = append(names, serviceOf(l))
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

func serviceOf(l labels.Labels) string {
	if v := l.Get(labelService); v != "" {
		return v
	}
	return unknownService
}

// serviceMatcher selects a service's streams. A stream may lack the label when its
// sender named a pod or a namespace but no service.
func serviceMatcher(service string) *labels.Matcher {
	if service == unknownService {
		return labels.MustNewMatcher(labels.MatchRegexp, labelService, "|"+unknownService)
	}
	return labels.MustNewMatcher(labels.MatchEqual, labelService, service)
}

// Search returns the traces that have a span as the search describes, those with
// the newest such span first.
func (q *Querier) Search(ctx context.Context, s Search) ([]Trace, error) {
	if s.Limit > q.cfg.MaxTraces {
		return nil, &LimitError{Limit: "maxTraces", Detail: fmt.Sprintf("it asks for %d traces, more than %d", s.Limit, q.cfg.MaxTraces)}
	}
	var out []Trace
	err := q.run(ctx, func(ctx context.Context) error {
		ids, err := q.find(ctx, s)
		if err != nil || len(ids) == 0 {
			return err
		}
		// A trace is whole wherever its spans lie: looking an id up costs no more over
		// all time than over an hour.
		out, err = q.assemble(ctx, ids, math.MinInt64, math.MaxInt64)
		return err
	})
	return out, err
}

// FindIDs returns the traces that Search would, without reading them.
func (q *Querier) FindIDs(ctx context.Context, s Search) ([]FoundTrace, error) {
	if s.Limit > q.cfg.MaxTraces {
		return nil, &LimitError{Limit: "maxTraces", Detail: fmt.Sprintf("it asks for %d traces, more than %d", s.Limit, q.cfg.MaxTraces)}
	}
	var out []FoundTrace
	err := q.run(ctx, func(ctx context.Context) (err error) {
		out, err = q.candidates(ctx, s)
		return err
	})
	return out, err
}

// Trace returns one trace, or ErrNotFound. The bounds are of the start of its
// spans, inclusive; zero times are no bounds.
func (q *Querier) Trace(ctx context.Context, id TraceID, start, end time.Time) (Trace, error) {
	traces, err := q.Traces(ctx, []TraceID{id}, start, end)
	if err != nil {
		return Trace{}, err
	}
	if len(traces) == 0 {
		return Trace{}, ErrNotFound
	}
	return traces[0], nil
}

// Traces returns those of the traces that exist, in the order of their ids.
func (q *Querier) Traces(ctx context.Context, ids []TraceID, start, end time.Time) ([]Trace, error) {
	if len(ids) > q.cfg.MaxTraces {
		return nil, &LimitError{Limit: "maxTraces", Detail: fmt.Sprintf("it asks for %d traces, more than %d", len(ids), q.cfg.MaxTraces)}
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !start.IsZero() {
		from = unixNano(start)
	}
	if !end.IsZero() {
		to = unixNano(end.Add(time.Microsecond))
	}
	var out []Trace
	err := q.run(ctx, func(ctx context.Context) error {
		traces, err := q.assemble(ctx, ids, from, to)
		out = traces
		return err
	})
	return out, err
}

// withoutRepeats drops spans that are equal in everything: senders that do not
// name their batches store a span again when they repeat one.
func withoutRepeats(spans []Span) []Span {
	slices.SortStableFunc(spans, func(a, b Span) int {
		if a.Start != b.Start {
			if a.Start < b.Start {
				return -1
			}
			return 1
		}
		return slices.Compare(a.SpanID[:], b.SpanID[:])
	})
	return slices.CompactFunc(spans, func(a, b Span) bool {
		if a.Start != b.Start || a.SpanID != b.SpanID || a.End != b.End || !labels.Equal(a.Labels, b.Labels) {
			return false
		}
		a.Labels, b.Labels = labels.EmptyLabels(), labels.EmptyLabels()
		return reflect.DeepEqual(a, b)
	})
}

// scan calls visit for each row of a query until it says false, and returns what
// that cost. What it passes is valid only during the call, labels excepted.
func (q *Querier) scan(ctx context.Context, query columnar.Query, visit func(labels.Labels, int64, []columnar.Field) (bool, error)) (columnar.Stats, error) {
	lbls := map[uint64]labels.Labels{}
	var refs []labels.Labels
	return q.batches(ctx, query, func(_ columnar.Applied, batch *columnar.ColumnBatch) (bool, error) {
		refs = refs[:0]
		for _, l := range batch.Streams {
			hash := labels.StableHash(l)
			if _, ok := lbls[hash]; !ok {
				lbls[hash] = l.Copy()
			}
			refs = append(refs, lbls[hash])
		}
		for i := range batch.Len() {
			if more, err := visit(refs[batch.StreamRefs[i]], batch.Timestamps[i], fieldsAt(batch, i)); err != nil || !more {
				return false, err
			}
		}
		return true, nil
	})
}

// scanApplied is scan for callers that need no labels; it says whether the store
// has evaluated the whole query.
func (q *Querier) scanApplied(ctx context.Context, query columnar.Query, visit func(all bool, ts int64, fields []columnar.Field) (bool, error)) (columnar.Stats, error) {
	return q.batches(ctx, query, func(applied columnar.Applied, batch *columnar.ColumnBatch) (bool, error) {
		all := applied.All()
		for i := range batch.Len() {
			if more, err := visit(all, batch.Timestamps[i], fieldsAt(batch, i)); err != nil || !more {
				return false, err
			}
		}
		return true, nil
	})
}

func fieldsAt(batch *columnar.ColumnBatch, i int) []columnar.Field {
	if batch.Fields == nil {
		return nil
	}
	return batch.Fields[i]
}

func (q *Querier) batches(ctx context.Context, query columnar.Query, visit func(columnar.Applied, *columnar.ColumnBatch) (bool, error)) (st columnar.Stats, err error) {
	query.Budget = columnar.Budget{MaxBytes: q.cfg.MaxQueryBytes, MaxRows: q.cfg.MaxQueryRows, MaxStreams: q.cfg.MaxStreams}
	cur, err := q.store.Select(ctx, query)
	if err != nil {
		return st, fmt.Errorf("select spans: %w", err)
	}
	defer func() {
		st = cur.Stats()
		q.metrics.bytes.Add(float64(st.Bytes))
		q.metrics.rows.Add(float64(st.Rows))
		if closeErr := cur.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("select spans: %w", closeErr)
		}
	}()
	for {
		batch, err := cur.Next(ctx)
		if err != nil {
			return st, fmt.Errorf("read spans: %w", err)
		}
		if batch == nil {
			return st, nil
		}
		if more, err := visit(cur.Applied(), batch); err != nil || !more {
			return st, err
		}
	}
}

var (
	minTime = time.Unix(0, math.MinInt64)
	maxTime = time.Unix(0, math.MaxInt64)
)

// unixNano saturates: the store counts nanoseconds in 64 bits.
func unixNano(t time.Time) int64 {
	switch {
	case t.Before(minTime):
		return math.MinInt64
	case t.After(maxTime):
		return math.MaxInt64
	}
	return t.UnixNano()
}
