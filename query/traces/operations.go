package traces

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Operation is a name that spans of a service bear, with a kind they bear it with.
type Operation struct {
	Name string
	Kind Kind
}

const (
	// lateSpans is how far before its last scan the cache looks again: spans are
	// stored when they end and a sender ships them, and are ordered by their start.
	lateSpans = 10 * time.Minute
	// fullScanEvery is when the cache looks through the whole lookback again, for
	// spans that came later than that.
	fullScanEvery = time.Hour
	// maxCachedServices bounds the cache's memory.
	maxCachedServices = 1000
)

// operationCache remembers the operations of services, so that listing them reads
// only the spans that are new since.
type operationCache struct {
	lookback time.Duration
	max      int

	mu       sync.Mutex
	services map[string]*serviceOperations
}

type serviceOperations struct {
	mu          sync.Mutex // held while scanning: concurrent callers wait for one scan
	lastSeen    map[Operation]int64
	scanned     time.Time
	fullScanned time.Time
}

func newOperationCache(cfg Config) *operationCache {
	return &operationCache{
		lookback: time.Duration(cfg.OperationsLookback), max: cfg.MaxOperations,
		services: map[string]*serviceOperations{},
	}
}

func (c *operationCache) service(name string) *serviceOperations {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[name]
	if s == nil {
		if len(c.services) >= maxCachedServices {
			clear(c.services)
		}
		s = &serviceOperations{lastSeen: map[Operation]int64{}}
		c.services[name] = s
	}
	return s
}

// window is what must be read at now to be up to date, in Unix nanoseconds.
func (s *serviceOperations) window(now time.Time, lookback time.Duration) (from, to int64, full bool) {
	full = s.fullScanned.IsZero() || now.Sub(s.fullScanned) >= fullScanEvery
	start := now.Add(-lookback)
	if late := s.scanned.Add(-lateSpans); !full && late.After(start) {
		start = late
	}
	// A sender's clock may run ahead.
	return unixNano(start), unixNano(now.Add(lookback)), full
}

// maxKinds is more kinds than OTLP has.
const maxKinds = 16

// OperationNames returns the names that spans of a service bear within the
// configured lookback, sorted, and at most the configured number of them: the most
// frequent ones. The store's catalog knows them without reading spans.
func (q *Querier) OperationNames(ctx context.Context, service string) ([]string, error) {
	names := []string{}
	err := q.run(ctx, func(ctx context.Context) (err error) {
		names, err = q.operationValues(ctx, service, fieldName, q.operations.max)
		return err
	})
	slices.Sort(names)
	return names, err
}

func (q *Querier) operationValues(ctx context.Context, service, field string, limit int) ([]string, error) {
	now := q.now()
	values, _, err := q.store.FieldValues(ctx, columnar.CatalogQuery{
		Table: columnar.Spans, From: unixNano(now.Add(-q.operations.lookback)), To: unixNano(now.Add(q.operations.lookback)),
		Matchers: []*labels.Matcher{serviceMatcher(service)},
	}, field, limit)
	if err != nil {
		return nil, fmt.Errorf("list the values of %s: %w", field, err)
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Value
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Operations returns the operations of a service within the configured lookback,
// by name and kind. It returns at most the configured number of them.
func (q *Querier) Operations(ctx context.Context, service string) ([]Operation, error) {
	out := []Operation{}
	err := q.run(ctx, func(ctx context.Context) (err error) {
		out, err = q.listOperations(ctx, service)
		return err
	})
	slices.SortFunc(out, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return out, err
}

// listOperations asks the catalog for names and kinds. Only when there are several
// of both it needs rows to say which go together.
func (q *Querier) listOperations(ctx context.Context, service string) ([]Operation, error) {
	out := []Operation{}
	kinds, err := q.operationValues(ctx, service, fieldKind, maxKinds)
	if err != nil {
		return out, err
	}
	names, err := q.operationValues(ctx, service, fieldName, q.operations.max)
	if err != nil || len(names) > 1 && len(kinds) > 1 {
		if err == nil {
			out, err = q.scannedOperations(ctx, service)
		}
		return out, err
	}
	for _, name := range names {
		for _, text := range kinds {
			kind, _ := ParseKind(text)
			out = append(out, Operation{Name: name, Kind: kind})
		}
	}
	return out, nil
}

func (q *Querier) scannedOperations(ctx context.Context, service string) ([]Operation, error) {
	s := q.operations.service(service)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := q.now()
	if err := q.scanOperations(ctx, service, s, now); err != nil {
		return nil, err
	}
	out := []Operation{}
	oldest := unixNano(now.Add(-q.operations.lookback))
	for op, seen := range s.lastSeen {
		if seen < oldest {
			delete(s.lastSeen, op)
			continue
		}
		out = append(out, op)
	}
	return out, nil
}

func (q *Querier) scanOperations(ctx context.Context, service string, s *serviceOperations, now time.Time) error {
	from, to, full := s.window(now, q.operations.lookback)
	query := columnar.Query{
		Table: columnar.Spans, From: from, To: to,
		Matchers: []*labels.Matcher{serviceMatcher(service)},
		Columns:  columnar.Columns{Fields: []string{fieldName, fieldKind}},
	}
	_, err := q.scan(ctx, query, func(_ labels.Labels, ts int64, fields []columnar.Field) (bool, error) {
		var op Operation
		for _, f := range fields {
			switch f.Name {
			case fieldName:
				op.Name = f.Value
			case fieldKind:
				op.Kind, _ = ParseKind(f.Value)
			}
		}
		if seen, ok := s.lastSeen[op]; ok {
			s.lastSeen[op] = max(seen, ts)
		} else if len(s.lastSeen) < q.operations.max {
			op.Name = strings.Clone(op.Name)
			s.lastSeen[op] = ts
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	s.scanned = now
	if full {
		s.fullScanned = now
	}
	return nil
}
