package columnar_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

func numbered(sequence uint64) columnar.Batch {
	b := oneRow(fmt.Sprint(sequence%5), int64(sequence), fmt.Sprint("row ", sequence, strings.Repeat(" and more", int(sequence%40))))
	b.ID = columnar.BatchID{Collector: "c", Stream: "logs", Sequence: sequence}
	return b
}

// While rows come, parts are merged and rows are deleted, a snapshot holds
// everything that was acknowledged before it, and of the rest a beginning.
func TestSnapshotUnderLoad(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir, func(o *columnar.Options) { o.Config = crashConfig(columnar.FsyncInterval) })
	var acked atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for sequence := uint64(1); ; sequence++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Append(ctx, numbered(sequence)); err != nil {
				t.Error(err)
				return
			}
			acked.Store(sequence)
		}
	})
	for round := range 5 {
		snapshot := filepath.Join(t.TempDir(), "snapshot")
		require.Eventually(t, func() bool { return acked.Load() > uint64(round*300) }, 20*time.Second, time.Millisecond)
		before := acked.Load()
		require.NoError(t, s.Snapshot(ctx, snapshot))
		after := acked.Load() + 1
		restored := filepath.Join(t.TempDir(), "restored")
		require.NoError(t, columnar.Restore(ctx, snapshot, restored))
		for _, folder := range []string{snapshot, restored} {
			r := open(t, folder)
			rows := readAll(t, r, columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true}})
			require.GreaterOrEqual(t, uint64(len(rows)), before)
			require.LessOrEqual(t, uint64(len(rows)), after)
			for i, row := range rows {
				require.EqualValues(t, i+1, row.Timestamp, "no hole, no repeat")
			}
			last := uint64(len(rows))
			duplicate, err := r.Append(ctx, numbered(last))
			require.NoError(t, err)
			require.True(t, duplicate, "the senders are known")
			duplicate, err = r.Append(ctx, numbered(last+1))
			require.NoError(t, err)
			require.False(t, duplicate)
			require.NoError(t, r.Flush(ctx))
			require.Equal(t, int(last)+1, count(t, r))
			require.NoError(t, r.Close())
		}
	}
	close(stop)
	wg.Wait()
	require.EqualValues(t, acked.Load(), count(t, s), "the store itself is none the worse")
	require.NoError(t, s.Close())
}

func TestSnapshotKeepsDeletions(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	for i := range uint64(20) {
		_, err := s.Append(ctx, numbered(i+1))
		require.NoError(t, err)
	}
	_, err := s.Delete(ctx, containing("row 1"))
	require.NoError(t, err)
	want := count(t, s)
	snapshot := filepath.Join(t.TempDir(), "a", "snapshot")
	require.NoError(t, s.Snapshot(ctx, snapshot))
	require.ErrorContains(t, s.Snapshot(ctx, snapshot), "not empty")
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Snapshot(ctx, filepath.Join(t.TempDir(), "x")), columnar.ErrClosed)
	restored := t.TempDir() // an empty folder, as a mounted volume is
	require.NoError(t, columnar.Restore(ctx, snapshot, restored))
	r := open(t, restored)
	require.Equal(t, want, count(t, r))
	require.NoError(t, r.Close())
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, restored), "not empty")
	require.ErrorContains(t, columnar.Restore(ctx, t.TempDir(), filepath.Join(t.TempDir(), "y")), "no snapshot")
}

// Each flipped bit of a snapshot is named by its file, and nothing is restored.
func TestRestoreNamesDamage(t *testing.T) {
	ctx := context.Background()
	snapshot := filepath.Join(t.TempDir(), "snapshot")
	dir := t.TempDir()
	fillForDamage(t, dir, 20, true)
	s := open(t, dir)
	require.NoError(t, s.Snapshot(ctx, snapshot))
	require.NoError(t, s.Close())
	part := onlyFile(t, filepath.Join(snapshot, "parts", "*.part"))
	whole, err := os.ReadFile(part)
	require.NoError(t, err)
	// Hard links share their bytes with the store, so damage a copy.
	require.NoError(t, os.Remove(part))
	for at := 8; at < len(whole); at += 1 + len(whole)/60 {
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 0x10
		require.NoError(t, os.WriteFile(part, damaged, 0o644))
		target := filepath.Join(t.TempDir(), "restored")
		err := columnar.Restore(ctx, snapshot, target)
		require.ErrorContains(t, err, part, "byte %d", at)
		require.NoDirExists(t, target)
	}
	require.NoError(t, os.WriteFile(part, whole[:len(whole)-1], 0o644))
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")), "instead of")
	require.NoError(t, os.Remove(part))
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")), part)
	require.NoError(t, os.WriteFile(part, whole, 0o644))
	require.NoError(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")))

	manifest := filepath.Join(snapshot, "MANIFEST")
	data, err := os.ReadFile(manifest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(manifest, data[:len(data)/3], 0o644))
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")), manifest)
}

// Parts of before there were checksums of whole files are checked block by block.
func TestRestoreEarlierVersion(t *testing.T) {
	ctx := context.Background()
	snapshot := filepath.Join(t.TempDir(), "v1")
	require.NoError(t, os.CopyFS(snapshot, os.DirFS("testdata/v1")))
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")), "write-ahead log", "what is there would be left out")
	require.NoError(t, os.RemoveAll(filepath.Join(snapshot, "wal")))
	require.NoError(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")))
	parts, err := filepath.Glob(filepath.Join(snapshot, "parts", "*.part"))
	require.NoError(t, err)
	data, err := os.ReadFile(parts[0])
	require.NoError(t, err)
	data[len(data)/3] ^= 1
	require.NoError(t, os.WriteFile(parts[0], data, 0o644))
	require.ErrorContains(t, columnar.Restore(ctx, snapshot, filepath.Join(t.TempDir(), "r")), parts[0])
}

// Where links are impossible, files are copied.
func TestSnapshotAcrossFileSystems(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "yagura-snapshot-")
	if err != nil {
		t.Skip("no second file system:", err)
	}
	defer os.RemoveAll(other)
	ctx := context.Background()
	s := open(t, t.TempDir())
	for i := range uint64(20) {
		_, err := s.Append(ctx, numbered(i+1))
		require.NoError(t, err)
	}
	snapshot := filepath.Join(other, "s")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.Snapshot(canceled, snapshot), context.Canceled)
	require.NoDirExists(t, snapshot)
	require.NoError(t, s.Snapshot(ctx, snapshot))
	require.NoError(t, s.Close())
	r := open(t, snapshot)
	require.Equal(t, 20, count(t, r))
	require.NoError(t, r.Close())
}
