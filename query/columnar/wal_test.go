package columnar

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func testStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	return s
}

// A write that fails is not acknowledged, nothing of it comes back after a
// restart, and its sender may send it again.
func TestFailedWrite(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := testStore(t, dir)
	send := func(sequence uint64) (bool, error) {
		return s.Append(ctx, Batch{Table: Logs, ID: BatchID{"c", "logs", sequence}, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: int64(sequence)}}}}})
	}
	_, err := send(1)
	require.NoError(t, err)

	// A file that cannot be written to stands for a disk that fails.
	good := s.wal.file.Load()
	bad, err := os.Open(good.Name())
	require.NoError(t, err)
	s.wal.file.Store(bad)
	for range 2 {
		_, err = send(2)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrClosed)
	}
	s.wal.file.Store(good)
	duplicate, err := send(2)
	require.NoError(t, err)
	require.False(t, duplicate)
	require.NoError(t, bad.Close())
	require.NoError(t, s.Close())

	s = testStore(t, dir)
	require.EqualValues(t, 2, s.mem.rows)
	require.NoError(t, s.Close())
}

// While the memory table cannot be written, appends are refused once it is full,
// queries go on, and all continues when writing works again.
func TestFailedFlush(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Config: Config{MemTableBytes: 64 << 10}})
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.partsDir()))
	line := string(make([]byte, 1000))
	stored := 0
	for range 1000 {
		var full bool
		_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: int64(stored), Line: line}}}}})
		if full = err != nil; full {
			require.ErrorIs(t, err, ErrFull)
			break
		}
		stored++
	}
	require.Less(t, stored, 1000)
	c, err := s.Select(ctx, Query{Table: Logs, To: 1 << 62})
	require.NoError(t, err)
	rows := 0
	for b, err := c.Next(ctx); b != nil; b, err = c.Next(ctx) {
		require.NoError(t, err)
		rows += b.Len()
	}
	require.Equal(t, stored, rows)
	require.NoError(t, c.Close())
	require.NoError(t, os.Mkdir(s.partsDir(), 0o755))
	require.Eventually(t, func() bool {
		_, err := s.Append(ctx, Batch{Table: Logs, Streams: []Stream{{Labels: labels.FromStrings("app", "x"), Rows: []Row{{Timestamp: 1}}}}})
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, s.Flush(ctx))
	require.NoError(t, s.Close())
}

func TestMergeWindow(t *testing.T) {
	for name, c := range map[string]struct {
		sizes    []int64
		max      int64
		from, to int
	}{
		"nothing":                        {nil, 1000, 0, 0},
		"too few":                        {[]int64{10, 10, 10, 10, 10}, 1000, 0, 0},
		"enough of one size":             {[]int64{10, 10, 10, 10, 10, 10}, 1000, 0, 6},
		"the big one stays":              {[]int64{500, 10, 10, 10, 10, 10, 10}, 1000, 1, 7},
		"the big one is worth joining":   {[]int64{20, 10, 20, 20, 20, 20, 20, 20}, 1000, 0, 8},
		"too big together":               {[]int64{300, 300, 300, 300, 300, 300}, 1000, 0, 0},
		"not across the biggest allowed": {[]int64{900, 900, 900, 900, 900, 900}, 1000, 0, 0},
	} {
		from, to := mergeWindow(c.sizes, c.max)
		require.Equal(t, [2]int{c.from, c.to}, [2]int{from, to}, name)
	}
	crowd := make([]int64, mergeCrowd+1)
	for i := range crowd {
		crowd[i] = 1 << i
	}
	crowd[24] = crowd[23]
	from, to := mergeWindow(crowd, 1<<40)
	require.Greater(t, to, from, "a crowd is thinned out at less gain")
}

// Any text is a selector or an error, and what was read means the same when it is
// written and read again.
func FuzzSelector(f *testing.F) {
	for _, text := range []string{`{}`, `{a="b"}`, "{a=~`x|y`,\"b.c\"!=\"\\n\",}", `{a=b}`, `{a="`, `{a="b"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := parseSelector(text)
		if err != nil {
			return
		}
		var again []string
		for _, m := range ms {
			again = append(again, fmt.Sprintf("%q%s%q", m.Name, m.Type, m.Value))
		}
		back, err := parseSelector("{" + strings.Join(again, ",") + "}")
		require.NoError(t, err, text)
		require.Len(t, back, len(ms))
		for i := range ms {
			require.Equal(t, ms[i].String(), back[i].String())
		}
	})
}
