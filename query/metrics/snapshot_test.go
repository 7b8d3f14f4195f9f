package metrics_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

func TestSnapshotHoldsAllThatWasAcknowledged(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	now := ms(0)
	for i, b := range []struct {
		name string
		at   int64
	}{{"early", now}, {"late", now - time.Hour.Milliseconds()}, {"late", now}, {"late", now - 2*time.Hour.Milliseconds()}} {
		id := columnar.BatchID{Collector: "c", Stream: "metrics", Sequence: uint64(i + 1)}
		_, _, err := s.AppendBatch(ctx, id, floats(b.name, point{b.at, float64(i)}))
		require.NoError(t, err)
	}
	dir := filepath.Join(t.TempDir(), "snapshot")
	require.NoError(t, s.Snapshot(ctx, dir))
	require.ErrorIs(t, s.Snapshot(ctx, dir), os.ErrExist)
	_, _, err := s.AppendBatch(ctx, columnar.BatchID{Collector: "c", Stream: "metrics", Sequence: 5}, floats("after", point{now, 1}))
	require.NoError(t, err)

	restored := filepath.Join(t.TempDir(), "data")
	require.NoError(t, metrics.Restore(ctx, dir, restored))
	require.Error(t, metrics.Restore(ctx, dir, restored), "the folder is not empty")
	require.Error(t, metrics.Restore(ctx, t.TempDir(), filepath.Join(t.TempDir(), "x")), "no snapshot")

	damaged := filepath.Join(t.TempDir(), "damaged")
	require.NoError(t, os.CopyFS(damaged, os.DirFS(dir)))
	segments, err := filepath.Glob(filepath.Join(damaged, "tsdb", "*", "chunks", "000001"))
	require.NoError(t, err)
	require.NotEmpty(t, segments)
	data, err := os.ReadFile(segments[0])
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(segments[0], data, 0o644))
	untouched := filepath.Join(t.TempDir(), "untouched")
	require.Error(t, metrics.Restore(ctx, damaged, untouched))
	require.NoDirExists(t, untouched, "nothing is written of a damaged snapshot")

	r := open(t, restored)
	require.Equal(t, []point{{now, 0}}, stored(t, r, "early")[`{__name__="early"}`])
	require.Equal(t, []point{{now - 2*time.Hour.Milliseconds(), 3}, {now - time.Hour.Milliseconds(), 1}, {now, 2}}, stored(t, r, "late")[`{__name__="late"}`])
	require.Empty(t, stored(t, r, "after"))
	_, duplicate, err := r.AppendBatch(ctx, columnar.BatchID{Collector: "c", Stream: "metrics", Sequence: 4}, floats("late", point{now, 9}))
	require.NoError(t, err)
	require.True(t, duplicate, "the copy knows which batches it holds")
}
