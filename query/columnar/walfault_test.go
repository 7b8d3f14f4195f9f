//go:build linux

package columnar

import (
	"context"
	"os"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A sync that fails once, at a rotation or in between, costs nothing: the segment
// stays open, the sync is made up for, and appends and flushes go on.
func TestFailedSync(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, s *Store){
		"at rotation": func(t *testing.T, s *Store) { require.Error(t, s.Flush(context.Background())) },
		"in between": func(t *testing.T, s *Store) {
			_, err := s.wal.sync()
			require.Error(t, err)
			require.True(t, s.wal.dirty.Load())
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dir := t.TempDir()
			s := testStore(t, dir)
			send := func(sequence uint64) {
				t.Helper()
				_, err := s.Append(ctx, Batch{Table: Logs, ID: BatchID{"c", "logs", sequence}, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: int64(sequence)}}}}})
				require.NoError(t, err)
			}
			send(1)

			// The null device refuses to sync, and stands for a disk that does for a
			// moment: then its descriptor becomes one of the segment again.
			good := s.wal.file.Load()
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			require.NoError(t, err)
			s.wal.file.Store(null)
			s.wal.dirty.Store(true)
			fail(t, s)
			require.NoError(t, unix.Dup3(int(good.Fd()), int(null.Fd()), unix.O_CLOEXEC))
			require.NoError(t, good.Close())

			send(2)
			require.NoError(t, s.Flush(ctx))
			send(3)
			require.NoError(t, s.Close())
			require.Equal(t, []int64{1, 2, 3}, sequences(t, dir))
		})
	}
}
