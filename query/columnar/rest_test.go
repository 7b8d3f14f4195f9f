//go:build linux

package columnar

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// A part on a bad sector costs queries its rows, by name, and merges nothing but
// itself; when it can be read again its rows are there.
func TestUnreadablePart(t *testing.T) {
	ctx := context.Background()
	s := testStore(t, t.TempDir())
	add := func(ts int64) {
		_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: ts}}}}})
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
	}
	parts := func() []*part {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.parts
	}
	read := func() (rows int, lost int64) {
		c, err := s.Select(ctx, Query{Table: Logs, To: 1 << 62})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		for {
			b, err := c.Next(ctx)
			require.NoError(t, err)
			if b == nil {
				return rows, c.Stats().BlocksLost
			}
			rows += b.Len()
		}
	}
	for i := range int64(3) {
		add(i)
	}
	// The memory of a process answers EIO where nothing is mapped, as a bad sector does.
	bad := parts()[1]
	good := bad.file
	sector, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	bad.file = sector
	for i := range int64(6) {
		add(3 + i)
	}
	require.Eventually(t, func() bool { return len(parts()) <= 4 }, 10*time.Second, time.Millisecond)
	require.Contains(t, parts(), bad)
	require.Zero(t, testutil.ToFloat64(s.metrics.rowsLost.WithLabelValues("logs")))
	rows, lost := read()
	require.Equal(t, 8, rows)
	require.EqualValues(t, 1, lost)

	bad.file = good
	rows, lost = read()
	require.Equal(t, 9, rows)
	require.Zero(t, lost)
	require.NoError(t, sector.Close())
	require.NoError(t, s.Close())
}
