package columnar

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Named batches without rows leave the log and the memory like others, and a repeat
// of one is known after that and after a restart.
func TestEmptyBatchesAreFlushed(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := testStore(t, dir)
	send := func(sequence uint64) bool {
		duplicate, err := s.Append(ctx, Batch{Table: Logs, ID: BatchID{"c", "logs", sequence}})
		require.NoError(t, err)
		return duplicate
	}
	for i := range uint64(100) {
		require.False(t, send(i+1))
	}
	require.GreaterOrEqual(t, s.memBytes(), int64(100*memChunkBytes))
	require.NoError(t, s.Flush(ctx))
	require.Zero(t, s.memBytes())
	require.Eventually(t, func() bool { return s.wal.total.Load() == walFileHeader }, 10*time.Second, time.Millisecond) // the log goes last
	require.True(t, send(100))
	require.NoError(t, s.Close())

	s = testStore(t, dir)
	require.True(t, send(100))
	require.False(t, send(101))
	require.NoError(t, s.Close())
}
