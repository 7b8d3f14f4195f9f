package columnar_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/query/columnar"
)

func containing(text string) columnar.Deletion {
	return columnar.Deletion{Table: columnar.Logs, From: -1 << 62, To: 1 << 62, Lines: []columnar.LinePredicate{{Op: columnar.Contains, Text: text}}}
}

// A deletion can be canceled until its delay is over; then its rows leave the disk,
// and a day later it is forgotten.
func TestDeletionLife(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	reg := prometheus.NewRegistry()
	change := func(o *columnar.Options) {
		o.Clock, o.Registerer, o.DeletionDelay = clock, reg, model.Duration(time.Hour)
	}
	s := open(t, dir, change)
	for i := range int64(100) {
		_, err := s.Append(ctx, oneRow("x", i, fmt.Sprintf("row %d of the secret kind %d", i, i%2)))
		require.NoError(t, err)
	}
	id, err := s.Delete(ctx, containing("secret kind 1"))
	require.NoError(t, err)
	require.NotEmpty(t, id)
	require.Equal(t, 50, count(t, s))
	require.NoError(t, s.Close())
	s = open(t, dir, change)
	require.Equal(t, 50, count(t, s), "after a restart")
	require.NoError(t, s.CancelDeletion(ctx, id))
	require.Equal(t, 100, count(t, s))
	require.ErrorIs(t, s.CancelDeletion(ctx, id), columnar.ErrNoDeletion)

	id, err = s.Delete(ctx, containing("secret kind 0"))
	require.NoError(t, err)
	never, err := s.Delete(ctx, containing("no row has this"))
	require.NoError(t, err)
	require.NotEqual(t, id, never)
	done := func() int {
		all, err := s.Deletions(ctx)
		require.NoError(t, err)
		n := 0
		for _, d := range all {
			if d.Done {
				n++
			}
		}
		return n
	}
	require.Zero(t, done())
	deadline := time.Now().Add(20 * time.Second)
	for clock.Step(time.Hour); done() < 2; clock.Step(time.Minute) {
		require.True(t, time.Now().Before(deadline), "the rows do not leave the disk")
		time.Sleep(time.Millisecond)
	}
	require.ErrorIs(t, s.CancelDeletion(ctx, id), columnar.ErrNoDeletion)
	require.Equal(t, 50, count(t, s))
	require.EqualValues(t, 50, metric(t, reg, "yagura_columnar_dropped_rows_total", "reason", "deletion"))
	require.EqualValues(t, 2, metric(t, reg, "yagura_columnar_deletions_total", "outcome", "done"))
	stats := readCost(t, s)
	require.EqualValues(t, 50, stats.Rows, "they are not even decoded")
	clock.Step(25 * time.Hour)
	all, err := s.Deletions(ctx)
	require.NoError(t, err)
	require.Empty(t, all)
	require.NoError(t, s.Close())
}

func readCost(t *testing.T, s columnar.Reader) columnar.Stats {
	t.Helper()
	ctx := context.Background()
	c, err := s.Select(ctx, columnar.Query{Table: columnar.Logs, From: -1 << 62, To: 1 << 62, Columns: columnar.Columns{Line: true}})
	require.NoError(t, err)
	defer c.Close()
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			return c.Stats()
		}
	}
}

// A part that is covered as a whole goes without being read.
func TestDeleteWholeParts(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir, func(o *columnar.Options) { o.DeletionDelay = -1 })
	for i := range int64(3) {
		_, err := s.Append(ctx, oneRow("x", i*int64(24*time.Hour), "a day"))
		require.NoError(t, err)
	}
	_, err := s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: 0, To: int64(24*time.Hour) + 1})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "parts", "*"))
		require.NoError(t, err)
		return len(files) == 1
	}, 10*time.Second, time.Millisecond)
	_, found, err := s.NewestTimestamp(ctx, columnar.Logs, nil, 0, nil)
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, s.Close())
	s = open(t, dir)
	require.Equal(t, 1, count(t, s))
	require.NoError(t, s.Close())
}

// The deleted text is nowhere in the folder once the deletion is done.
func TestDeletedBytesAreGone(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir, func(o *columnar.Options) { o.DeletionDelay = -1 })
	secret := "hunter2-c0ffee"
	for i := range int64(20) {
		_, err := s.Append(ctx, oneRow("x", i, fmt.Sprint("harmless ", i)))
		require.NoError(t, err)
	}
	_, err := s.Append(ctx, oneRow("y", 1, secret))
	require.NoError(t, err)
	id, err := s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: 0, To: 100, Lines: []columnar.LinePredicate{{Op: columnar.Matches, Text: "^hunter2"}}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		all, err := s.Deletions(ctx)
		require.NoError(t, err)
		return len(all) == 1 && all[0].ID == id && all[0].Done
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		require.False(t, strings.Contains(string(data), secret), path)
		return err
	}))
}
