package columnar

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"
)

// Answers say that a part which cannot be opened is missing, it counts as used disk,
// and every kind of retention drops it with its file.
func TestLostPart(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2024, 5, 9, 12, 0, 0, 0, time.UTC)
	old := now.Add(-5 * 24 * time.Hour)
	for name, drop := range map[string]struct {
		retention Retention
		do        func(s *Store) error
	}{
		"by age":     {Retention{MaxAge: model.Duration(3 * 24 * time.Hour)}, func(s *Store) error { return s.applyRetention() }},
		"by size":    {Retention{MaxBytes: 1}, func(s *Store) error { return s.applyRetention() }},
		"by request": {Retention{}, func(s *Store) error { return s.Retain(ctx, now.Add(-time.Hour)) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opts := Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: testingclock.NewFakeClock(now)}
			s, err := Open(dir, opts)
			require.NoError(t, err)
			for _, ts := range []time.Time{old, now} {
				_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", ts.String()), Rows: []Row{{Timestamp: ts.UnixNano()}}}}})
				require.NoError(t, err)
			}
			require.NoError(t, s.Flush(ctx))
			require.Len(t, s.parts, 2)
			oldest := slices.MinFunc(s.parts, func(a, b *part) int { return cmp.Compare(a.Latest, b.Latest) })
			path := oldest.path
			require.NoError(t, s.Close())
			require.NoError(t, os.Truncate(path, 100))

			s, err = Open(dir, opts)
			require.NoError(t, err)
			lost := func(q Query) int64 {
				t.Helper()
				c, err := s.Select(ctx, q)
				require.NoError(t, err)
				for b, err := c.Next(ctx); b != nil; b, err = c.Next(ctx) {
					require.NoError(t, err)
				}
				stats := c.Stats()
				require.NoError(t, c.Close())
				_, counted, err := s.Count(ctx, CountQuery{Query: q})
				require.NoError(t, err)
				require.Equal(t, stats.BlocksLost, counted.BlocksLost)
				return stats.BlocksLost
			}
			all := Query{Table: Logs, To: 1 << 62}
			require.EqualValues(t, 1, lost(all))
			require.Zero(t, lost(Query{Table: Spans, To: 1 << 62}))
			require.Zero(t, lost(Query{Table: Logs, From: now.UnixNano(), To: 1 << 62}))
			require.EqualValues(t, 1, lost(Query{Table: Logs, To: old.UnixNano() + 1}), "no stream of it is known")

			used := s.diskBytes()
			require.Equal(t, s.wal.total.Load()+s.parts[0].Bytes+100, used)
			s.commitMu.Lock()
			s.cfg.Retention = drop.retention
			s.rules, err = s.cfg.Retention.compile()
			s.commitMu.Unlock()
			require.NoError(t, err)
			require.NoError(t, drop.do(s))
			require.NoFileExists(t, path)
			require.Zero(t, lost(all))
			require.LessOrEqual(t, s.diskBytes(), used-100)
			require.NoError(t, s.Close())

			s, err = Open(dir, opts)
			require.NoError(t, err)
			require.Zero(t, lost(all))
			require.NoError(t, s.Close())
		})
	}
}

// What Retain hides of a part stays hidden after a restart, also when no part goes.
func TestRetainedIsWrittenDown(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := testStore(t, dir)
	_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: 1}, {Timestamp: 9}}}}})
	require.NoError(t, err)
	require.NoError(t, s.Flush(ctx))
	require.NoError(t, s.Retain(ctx, time.Unix(0, 5)))
	require.EqualValues(t, 5, s.parts[0].retained.Load())
	require.NoError(t, s.Close())

	s = testStore(t, dir)
	require.EqualValues(t, 5, s.parts[0].retained.Load())
	require.NoError(t, s.Close())
}
