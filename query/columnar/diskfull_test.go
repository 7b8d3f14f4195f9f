//go:build linux

package columnar_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/yagura-dev/yagura/query/columnar"
)

// smallDisk mounts a file system of a few bytes, which needs root.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", bytes)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("cannot mount a small file system: ", err)
		}
		t.Skip("NOT TESTED: cannot mount a small file system: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fillDisk takes all the room that is left, and returns how to give it back.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	require.NoError(t, err)
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			size /= 2
		}
	}
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}

// noisy is a batch that does not compress.
func noisy(sequence uint64) columnar.Batch {
	random := rand.NewChaCha8([32]byte{byte(sequence), byte(sequence >> 8)})
	b := oneRow("x", int64(sequence), "")
	b.ID = columnar.BatchID{Collector: "c", Stream: "logs", Sequence: sequence}
	b.Streams[0].Rows = nil
	for i := range int64(8) {
		var noise [200]byte
		_, _ = random.Read(noise[:])
		b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: int64(sequence)*10 + i, Line: hex.EncodeToString(noise[:])})
	}
	return b
}

// On a file system without a byte left appends are refused, queries go on, nothing
// acknowledged is lost, and everything continues when there is room again: the store
// that was running as well as one that was opened on the full disk.
func TestDiskFull(t *testing.T) {
	for _, fsync := range []columnar.FsyncMode{columnar.FsyncInterval, columnar.FsyncAlways} {
		t.Run(string(fsync), func(t *testing.T) {
			ctx := context.Background()
			disk := smallDisk(t, 8<<20)
			dir := filepath.Join(disk, "store")
			reg := prometheus.NewRegistry()
			change := func(o *columnar.Options) {
				o.Config = columnar.Config{Fsync: fsync, MemTableBytes: 64 << 10, BlockBytes: 8 << 10, MinFreeDisk: -1, DeletionDelay: -1}
				o.Registerer = reg
			}
			s := open(t, dir, change)
			next := uint64(1)
			// send stores batches until the store refuses one, which is tried again later.
			send := func(most int) (err error) {
				for range most {
					var duplicate bool
					if duplicate, err = s.Append(ctx, noisy(next)); err != nil {
						return err
					}
					require.False(t, duplicate)
					next++
				}
				return nil
			}
			check := func() {
				t.Helper()
				rows := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62, Columns: columnar.Columns{Line: true}})
				require.Len(t, rows, int(next-1)*8)
				for i, r := range rows {
					require.EqualValues(t, (i/8+1)*10+i%8, r.Timestamp)
				}
			}
			require.NoError(t, send(300))
			for range 3 {
				free := fillDisk(t, disk)
				err := send(1000)
				require.ErrorIs(t, err, columnar.ErrFull)
				check()
				for range 5 { // what a failed flush gives back may be room for one
					if err := send(1); err != nil {
						require.ErrorIs(t, err, columnar.ErrFull)
					}
				}
				snapshot := filepath.Join(disk, "snapshot")
				if s.Snapshot(ctx, snapshot) != nil {
					require.NoDirExists(t, snapshot)
				}
				require.NoError(t, os.RemoveAll(snapshot))
				require.NoError(t, s.Close())
				s = open(t, dir, change)
				check()
				require.ErrorIs(t, send(1000), columnar.ErrFull)
				check()
				free()
				require.Eventually(t, func() bool { return send(20) == nil }, 20*time.Second, time.Millisecond)
				require.Eventually(t, func() bool { return s.Flush(ctx) == nil }, 20*time.Second, time.Millisecond)
				check()
			}
			require.NoError(t, s.Close())
			noLitter(t, dir)
			s = open(t, dir, change)
			check()
			require.NoError(t, s.Close())
		})
	}
}

// noLitter checks that a closed store has no files that are not part of it.
func noLitter(t *testing.T, dir string) {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	require.NoError(t, err)
	parts, err := os.ReadDir(filepath.Join(dir, "parts"))
	require.NoError(t, err)
	// The number at the end of a part's name is its id in the manifest.
	for _, p := range parts {
		name := strings.TrimSuffix(p.Name(), ".part")
		id := strings.TrimLeft(name[strings.LastIndexByte(name, '-')+1:], "0")
		require.Contains(t, string(manifest), `"id":`+id+`,`, p.Name())
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// The store fills the disk itself, with its log and its parts, until retention may
// take the oldest: then it goes on by itself.
func TestDiskFullMakesRoom(t *testing.T) {
	ctx := context.Background()
	disk := smallDisk(t, 6<<20)
	dir := filepath.Join(disk, "store")
	reg := prometheus.NewRegistry()
	change := func(o *columnar.Options) {
		o.Config = columnar.Config{MemTableBytes: 64 << 10, BlockBytes: 8 << 10, MinFreeDisk: -1}
		o.Registerer = reg
	}
	s := open(t, dir, change)
	last := uint64(0)
	fill := func() (err error) {
		for ; err == nil; last++ {
			require.Less(t, last, uint64(20_000))
			_, err = s.Append(ctx, noisy(last+1))
		}
		last--
		return err
	}
	require.ErrorIs(t, fill(), columnar.ErrFull)
	require.Equal(t, int(last)*8, count(t, s))
	free := fillDisk(t, disk) // to the last byte
	require.NoError(t, s.Close())

	s = open(t, dir, func(o *columnar.Options) {
		change(o)
		o.Retention.MinFreeShare = 0.3
	})
	require.Eventually(t, func() bool { return metric(t, reg, "yagura_columnar_dropped_parts_total", "reason", "free_disk") > 0 }, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := s.Append(ctx, noisy(last+1))
		return err == nil
	}, 20*time.Second, time.Millisecond)
	rows := readAll(t, s, columnar.Query{Table: columnar.Logs, To: 1 << 62})
	require.EqualValues(t, (last+1)*10+7, rows[len(rows)-1].Timestamp)
	require.Less(t, len(rows), int(last)*8)
	free()
	require.NoError(t, s.Flush(ctx))
	require.NoError(t, s.Close())
	noLitter(t, dir)
}
