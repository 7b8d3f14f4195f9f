package columnar

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Streams implements Reader. It is precise for rows in memory and by the bounds
// of a block's rows of one stream for parts.
func (s *Store) Streams(ctx context.Context, t Table, tenants []Tenant, from, to int64, ms []*labels.Matcher) ([]labels.Labels, error) {
	if err := s.lookupAllowed(ctx, t); err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	matching := s.registry.matching(t, tenants, ms)
	seen := make(map[*stream]bool, len(matching))
	var candidates []*stream
	for _, st := range matching {
		if st.maxTime.Load() >= from {
			candidates = append(candidates, st)
		}
	}
	parts, mems, _ := s.hold(t, from, to)
	defer release(parts)
	for _, m := range mems {
		for _, run := range m.snapshot(candidates, from, to) {
			seen[run.stream] = true
		}
	}
	for _, p := range parts {
		p.eachStream(from, to, func(st *stream) { seen[st] = true })
	}
	var out []labels.Labels
	for _, st := range candidates {
		if seen[st] {
			out = append(out, st.labels)
		}
	}
	slices.SortFunc(out, labels.Compare)
	return slices.CompactFunc(out, labels.Equal), nil
}

// NewestTimestamp implements Reader. It looks only at the streams' newest times,
// which are kept in memory.
func (s *Store) NewestTimestamp(ctx context.Context, t Table, tenants []Tenant, from int64, ms []*labels.Matcher) (int64, bool, error) {
	if err := s.lookupAllowed(ctx, t); err != nil {
		return 0, false, fmt.Errorf("newest timestamp: %w", err)
	}
	newest, found := int64(math.MinInt64), false
	for _, st := range s.registry.matching(t, tenants, ms) {
		if ts := st.maxTime.Load(); ts >= from && ts > newest {
			newest, found = ts, true
		}
	}
	if !found {
		return 0, false, nil
	}
	return newest, true, nil
}

func (s *Store) lookupAllowed(ctx context.Context, t Table) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed() {
		return ErrClosed
	}
	if t != Logs && t != Spans {
		return fmt.Errorf("unknown table %d", t)
	}
	return nil
}

// hold takes the parts and memory tables that may have rows in [from, to), older
// data first, and counts the parts that are lost. Taken together under one lock they
// hold each row once.
func (s *Store) hold(t Table, from, to int64) (parts []*part, mems []*memTable, lost int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.parts {
		if p.Table == t && p.overlaps(from, to) {
			p.hold()
			parts = append(parts, p)
		}
	}
	if s.sealed != nil {
		mems = append(mems, s.sealed.mem)
	}
	return parts, append(mems, s.mem), s.lostWithin(t, from, to)
}

func release(parts []*part) {
	for _, p := range parts {
		p.release()
	}
}
