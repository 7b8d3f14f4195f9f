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
	lastSeen    map[Operation]*int64
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
		s = &serviceOperations{lastSeen: map[Operation]*int64{}}
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

// maxVerifiedNames is how many names it is worth to look for one by one.
const maxVerifiedNames = 100

// OperationNames returns the names that spans of a service bear within the
// configured lookback, sorted, and at most the configured number of them. The store's
// catalog knows them without reading spans, but also names those of services that
// share a block with this one; so each is looked for once.
func (q *Querier) OperationNames(ctx context.Context, service string) ([]string, error) {
	names := []string{}
	err := q.run(ctx, func(ctx context.Context) error {
		now := q.now()
		from, to := unixNano(now.Add(-q.operations.lookback)), unixNano(now.Add(q.operations.lookback))
		values, more, err := q.store.FieldValues(ctx, columnar.CatalogQuery{
			Table: columnar.Spans, From: from, To: to, Matchers: []*labels.Matcher{serviceMatcher(service)},
		}, fieldName, maxVerifiedNames)
		if err != nil {
			return fmt.Errorf("list the names of operations: %w", err)
		}
		if more {
			ops, err := q.scannedOperations(ctx, service)
			for _, op := range ops {
				names = append(names, op.Name)
			}
			return err
		}
		for _, v := range values {
			found, err := q.hasOperation(ctx, service, v.Value, from, to)
			if err != nil {
				return err
			}
			if found {
				names = append(names, v.Value)
			}
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

func (q *Querier) hasOperation(ctx context.Context, service, name string, from, to int64) (found bool, err error) {
	query := columnar.Query{
		Table: columnar.Spans, From: from, To: to, Matchers: []*labels.Matcher{serviceMatcher(service)},
		Fields:  []columnar.FieldPredicate{{Name: fieldName, Op: columnar.FieldEqual, Text: name}},
		Columns: columnar.Columns{Fields: []string{fieldName}}, Direction: columnar.Backward, Limit: 1,
	}
	_, err = q.scanApplied(ctx, query, func(_ bool, _ int64, fields []columnar.Field) (bool, error) {
		found = found || slices.ContainsFunc(fields, func(f columnar.Field) bool { return f.Name == fieldName && f.Value == name })
		return !found, nil
	})
	return found, err
}

// Operations returns the operations of a service within the configured lookback,
// by name and kind. It returns at most the configured number of them.
func (q *Querier) Operations(ctx context.Context, service string) ([]Operation, error) {
	out := []Operation{}
	err := q.run(ctx, func(ctx context.Context) (err error) {
		out, err = q.scannedOperations(ctx, service)
		return err
	})
	slices.SortFunc(out, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return out, err
}

// scannedOperations reads names and kinds of the spans that are new since the last
// time. Which kinds go with which name, the catalog does not know.
func (q *Querier) scannedOperations(ctx context.Context, service string) ([]Operation, error) {
	s := q.operations.service(service)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := q.now()
	if err := q.scanOperations(ctx, service, s, now); err != nil {
		return []Operation{}, err
	}
	out := []Operation{}
	oldest := unixNano(now.Add(-q.operations.lookback))
	for op, seen := range s.lastSeen {
		if *seen < oldest {
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
		if seen := s.lastSeen[op]; seen != nil {
			// Not by assigning to the map: that would put this key, which points into the
			// store's batch, in the place of the clone.
			*seen = max(*seen, ts)
		} else if len(s.lastSeen) < q.operations.max {
			op.Name = strings.Clone(op.Name)
			s.lastSeen[op] = &ts
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
