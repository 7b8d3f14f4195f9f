package columnar

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"
)

// afterPowerLoss copies a running store as a machine that lost power would find it
// at worst: of the log only what was synced. Parts and the manifest are synced
// before they count.
func afterPowerLoss(t *testing.T, s *Store) string {
	t.Helper()
	s.commitMu.Lock() // so that the copy is of one instant
	defer s.commitMu.Unlock()
	synced := s.wal.synced.Load()
	var dir string
	require.Eventually(t, func() bool { // a segment that goes meanwhile fails it
		dir = filepath.Join(t.TempDir(), "store")
		return os.CopyFS(dir, os.DirFS(s.dir)) == nil
	}, 10*time.Second, time.Millisecond)
	numbers, err := segments(filepath.Join(dir, "wal"))
	require.NoError(t, err)
	for _, n := range numbers {
		path := segmentPath(filepath.Join(dir, "wal"), n)
		switch {
		case synced == nil || n > synced.segment:
			require.NoError(t, os.Truncate(path, 0))
		case n == synced.segment:
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, min(info.Size(), synced.size)))
		}
	}
	return dir
}

// sequences lists what the store in dir has, ascending.
func sequences(t *testing.T, dir string) []int64 {
	t.Helper()
	ctx := context.Background()
	s := testStore(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	c, err := s.Select(ctx, Query{Table: Logs, To: 1 << 62})
	require.NoError(t, err)
	defer c.Close()
	out := []int64{}
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			slices.Sort(out)
			return out
		}
		out = append(out, b.Timestamps...)
	}
}

func oneTo(n int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i) + 1
	}
	return out
}

// In mode always a loss of power takes nothing that was acknowledged, whatever is
// being sealed, written and merged at the time. In mode interval it takes what was
// acknowledged since the last sync at most, and that from the end.
func TestPowerLoss(t *testing.T) {
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 1))
	for _, mode := range []FsyncMode{FsyncAlways, FsyncInterval} {
		t.Run(string(mode), func(t *testing.T) {
			clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
			s, err := Open(t.TempDir(), Options{Clock: clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Config: Config{
				Fsync: mode, FsyncInterval: model.Duration(100 * time.Millisecond), MemTableBytes: 64 << 10, BlockBytes: 8 << 10, MinFreeDisk: -1,
			}})
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			last, safe := int64(0), int64(0)
			send := func(n int) {
				for range n {
					last++
					_, err := s.Append(ctx, Batch{Table: Logs, ID: BatchID{"c", "logs", uint64(last)}, Streams: []Stream{{
						Labels: labels.FromStrings("app", fmt.Sprint(last%3)),
						Rows:   []Row{{Timestamp: last, Line: fmt.Sprintf("%x", random.Uint64())}},
					}}})
					require.NoError(t, err)
				}
			}
			for range 12 {
				send(1 + random.IntN(300))
				if mode == FsyncAlways {
					safe = last
				}
				got := sequences(t, afterPowerLoss(t, s))
				require.GreaterOrEqual(t, int64(len(got)), safe)
				require.Equal(t, oneTo(int64(len(got))), got, "a beginning, without holes")
				if mode == FsyncInterval {
					clock.Step(100 * time.Millisecond)
					require.Eventually(t, func() bool {
						synced := s.wal.synced.Load()
						return synced != nil && *synced == *s.wal.written.Load()
					}, 10*time.Second, time.Millisecond)
					safe = last
					require.Equal(t, oneTo(safe), sequences(t, afterPowerLoss(t, s)))
				}
			}
		})
	}
}
