package traces

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
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

// Querier answers for spans on a store within the bounds of its configuration.
// It is safe for concurrent use.
type Querier struct {
	reader     columnar.Reader
	cfg        Config
	logger     *slog.Logger
	now        func() time.Time
	slots      chan struct{}
	metrics    *metrics
	operations *operationCache
}

// NewQuerier makes a querier. reg may be nil.
func NewQuerier(reader columnar.Reader, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Querier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return &Querier{
		reader: reader, cfg: cfg, logger: logger, now: time.Now,
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
	var err error
	select {
	case q.slots <- struct{}{}:
		err = f(ctx)
		<-q.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = explain(ctx, err)
	}
	_, outcome := statusOf(err)
	q.metrics.queries.WithLabelValues(outcome).Inc()
	q.metrics.seconds.Observe(time.Since(start).Seconds())
	return err
}

// Services returns the names of all services that have spans, sorted.
func (q *Querier) Services(ctx context.Context) ([]string, error) {
	names := []string{}
	err := q.run(ctx, func(ctx context.Context) error {
		streams, err := q.reader.Streams(ctx, columnar.Spans, nil, math.MinInt64, math.MaxInt64, nil)
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
		found, err := q.find(ctx, s)
		if err != nil || len(found.ids) == 0 {
			return err
		}
		spread := int64(time.Duration(q.cfg.TraceSpread))
		traces, err := q.assemble(ctx, found.ids, found.oldest-spread, found.newest+spread+1)
		out = traces
		return err
	})
	return out, err
}

type found struct {
	ids            []TraceID // newest first
	oldest, newest int64     // start of the matching spans, Unix nanoseconds
}

// find walks the service's spans from the newest on until it has enough traces.
func (q *Querier) find(ctx context.Context, s Search) (found, error) {
	var out found
	seen := map[TraceID]struct{}{}
	query := columnar.Query{
		Table: columnar.Spans, From: unixNano(s.Start), To: unixNano(s.End.Add(time.Microsecond)),
		Matchers: []*labels.Matcher{serviceMatcher(s.Service)},
		Fields:   s.predicates(), Columns: s.columns(), Direction: columnar.Backward,
	}
	_, err := q.scan(ctx, query, func(_ labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		text, ok := s.match(fields)
		if !ok {
			return true, nil
		}
		var id TraceID
		if decodeHex(id[:], text) != nil {
			return true, nil
		}
		if _, ok := seen[id]; ok {
			return true, nil
		}
		seen[id] = struct{}{}
		if len(out.ids) == 0 {
			out.newest = ts
		}
		out.oldest = ts
		out.ids = append(out.ids, id)
		return len(out.ids) < s.Limit, nil
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

// assemble reads all spans of the traces that start in [from, to).
func (q *Querier) assemble(ctx context.Context, ids []TraceID, from, to int64) ([]Trace, error) {
	byID := make(map[TraceID]*Trace, len(ids))
	for _, id := range ids {
		byID[id] = &Trace{ID: id}
	}
	query := columnar.Query{
		Table: columnar.Spans, From: from, To: to,
		Fields: []columnar.FieldPredicate{traceIDPredicate(ids)}, Columns: columnar.Columns{AllFields: true},
	}
	spans := 0
	st, err := q.scan(ctx, query, func(lbls labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		t := byID[traceIDOf(fields)]
		if t == nil {
			return true, nil
		}
		if spans++; spans > q.cfg.MaxSpans {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("the answer has more than %d spans", q.cfg.MaxSpans)}
		}
		s, err := SpanFromRow(lbls, columnar.Row{Timestamp: ts, Fields: cloneFields(fields)})
		if err != nil {
			return false, fmt.Errorf("trace %s: %w", t.ID, err)
		}
		t.Spans = append(t.Spans, s)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	var out []Trace
	for _, id := range ids {
		if t := byID[id]; t != nil && len(t.Spans) > 0 {
			t.Spans = withoutRepeats(t.Spans)
			if st.BlocksLost > 0 {
				t.Warnings = append(t.Warnings, fmt.Sprintf("%d damaged blocks of the store could not be read; spans may be missing", st.BlocksLost))
			}
			out = append(out, *t)
			delete(byID, id) // an id may be asked for twice
		}
	}
	return out, nil
}

func traceIDPredicate(ids []TraceID) columnar.FieldPredicate {
	if len(ids) == 1 {
		return columnar.FieldPredicate{Name: fieldTraceID, Op: columnar.FieldEqual, Text: ids[0].String()}
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = regexp.QuoteMeta(id.String())
	}
	return columnar.FieldPredicate{Name: fieldTraceID, Op: columnar.FieldMatches, Text: strings.Join(texts, "|")}
}

func traceIDOf(fields []columnar.Field) (id TraceID) {
	for _, f := range fields {
		if f.Name == fieldTraceID {
			if decodeHex(id[:], f.Value) != nil {
				return TraceID{}
			}
			return id
		}
	}
	return id
}

// cloneFields takes what SpanFromRow keeps out of the store's batch.
func cloneFields(in []columnar.Field) []columnar.Field {
	out := make([]columnar.Field, len(in))
	for i, f := range in {
		out[i] = columnar.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value), Type: f.Type}
	}
	return out
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
func (q *Querier) scan(ctx context.Context, query columnar.Query, visit func(labels.Labels, int64, []columnar.Field) (bool, error)) (st columnar.Stats, err error) {
	query.Budget = columnar.Budget{MaxBytes: q.cfg.MaxQueryBytes, MaxRows: q.cfg.MaxQueryRows, MaxStreams: q.cfg.MaxStreams}
	cur, err := q.reader.Select(ctx, query)
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
	lbls := map[uint64]labels.Labels{}
	for {
		batch, err := cur.Next(ctx)
		if err != nil {
			return st, fmt.Errorf("read spans: %w", err)
		}
		if batch == nil {
			return st, nil
		}
		refs := make([]labels.Labels, len(batch.Streams))
		for i, l := range batch.Streams {
			hash := labels.StableHash(l)
			if _, ok := lbls[hash]; !ok {
				lbls[hash] = l.Copy()
			}
			refs[i] = lbls[hash]
		}
		for i := range batch.Len() {
			var fields []columnar.Field
			if batch.Fields != nil {
				fields = batch.Fields[i]
			}
			more, err := visit(refs[batch.StreamRefs[i]], batch.Timestamps[i], fields)
			if err != nil || !more {
				return st, err
			}
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
