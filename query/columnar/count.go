package columnar

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Count implements Counter.
func (s *Store) Count(ctx context.Context, q CountQuery) ([]Count, Stats, error) {
	sel := q.Query
	sel.Columns, sel.Direction, sel.Limit = Columns{Line: q.LineBytes}, Forward, 0
	cur, err := s.Select(ctx, sel)
	if err != nil {
		return nil, Stats{}, fmt.Errorf("count: %w", err)
	}
	counts, err := countRows(ctx, cur, q)
	st := cur.Stats()
	if cerr := cur.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, st, fmt.Errorf("count: %w", err)
	}
	return counts, st, nil
}

type countKey struct{ group, bucket int }

// countRows counts what a cursor delivers.
func countRows(ctx context.Context, cur Cursor, q CountQuery) ([]Count, error) {
	groups := map[uint64]int{} // by hash of the stream's labels
	sums := map[countKey]*Count{}
	for {
		b, err := cur.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		for i, ts := range b.Timestamps {
			k := countKey{}
			if q.Group != nil {
				ls := b.Streams[b.StreamRefs[i]]
				hash := ls.Hash()
				group, ok := groups[hash]
				if !ok {
					group = q.Group(ls)
					groups[hash] = group
				}
				if k.group = group; group < 0 {
					continue
				}
			}
			if q.Width > 0 {
				k.bucket = int((ts - q.Query.From) / q.Width)
			}
			c := sums[k]
			if c == nil {
				c = &Count{Group: k.group, Bucket: k.bucket}
				sums[k] = c
			}
			c.Rows++
			if q.LineBytes {
				c.Bytes += int64(len(b.Lines[i]))
			}
		}
	}
	out := make([]Count, 0, len(sums))
	for _, c := range sums {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket))
	})
	return out, nil
}
