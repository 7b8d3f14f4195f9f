package columnar_test

import (
	"context"
	"fmt"
	"log/slog"
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

// watched is a logger, and a channel that has an item for each deletion that is done.
func watched() (*slog.Logger, <-chan struct{}) {
	done := make(chan struct{}, 100)
	return slog.New(&watchingHandler{quiet().Handler(), done}), done
}

type watchingHandler struct {
	slog.Handler
	done chan struct{}
}

func (h *watchingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "the rows of a deletion have left the disk" {
		h.done <- struct{}{}
	}
	return h.Handler.Handle(ctx, r)
}

// A deletion can be canceled until its delay is over; then its rows leave the disk,
// and a day later it is forgotten.
func TestDeletionLife(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	reg := prometheus.NewRegistry()
	logger, ended := watched()
	change := func(o *columnar.Options) {
		o.Clock, o.Registerer, o.Logger, o.DeletionDelay = clock, reg, logger, model.Duration(time.Hour)
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
	clock.Step(time.Hour)
	// One that is done at once wakes the merger for the ones that are due.
	_, err = s.Delete(ctx, columnar.Deletion{Table: columnar.Spans, To: 1})
	require.NoError(t, err)
	for range 3 {
		<-ended
	}
	require.Equal(t, 3, done())
	require.ErrorIs(t, s.CancelDeletion(ctx, id), columnar.ErrNoDeletion)
	require.Equal(t, 50, count(t, s))
	require.EqualValues(t, 50, metric(t, reg, "yagura_columnar_dropped_rows_total", "reason", "deletion"))
	require.EqualValues(t, 3, metric(t, reg, "yagura_columnar_deletions_total", "outcome", "done"))
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
	logger, ended := watched()
	s := open(t, dir, func(o *columnar.Options) { o.DeletionDelay, o.Logger = -1, logger })
	for i := range int64(3) {
		_, err := s.Append(ctx, oneRow("x", i*int64(24*time.Hour), "a day"))
		require.NoError(t, err)
	}
	_, err := s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: 0, To: int64(24*time.Hour) + 1})
	require.NoError(t, err)
	<-ended
	_, found, err := s.NewestTimestamp(ctx, columnar.Logs, nil, 0, nil)
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "parts", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	s = open(t, dir)
	require.Equal(t, 1, count(t, s))
	require.NoError(t, s.Close())
}

// The deleted text is nowhere in the folder once the deletion is done.
func TestDeletedBytesAreGone(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	logger, ended := watched()
	s := open(t, dir, func(o *columnar.Options) { o.DeletionDelay, o.Logger = -1, logger })
	secret := "hunter2-c0ffee"
	for i := range int64(20) {
		_, err := s.Append(ctx, oneRow("x", i, fmt.Sprint("harmless ", i)))
		require.NoError(t, err)
	}
	_, err := s.Append(ctx, oneRow("y", 1, secret))
	require.NoError(t, err)
	id, err := s.Delete(ctx, columnar.Deletion{Table: columnar.Logs, From: 0, To: 100, Lines: []columnar.LinePredicate{{Op: columnar.Matches, Text: "^hunter2"}}})
	require.NoError(t, err)
	<-ended
	all, err := s.Deletions(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, id, all[0].ID)
	require.True(t, all[0].Done)
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

// However many deletions there are, finished or not, the manifest stays small: the
// finished ones that are listed keep what the user wrote, and the oldest go first.
func TestDeletionsAreBounded(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir, func(o *columnar.Options) { o.DeletionDelay = model.Duration(time.Hour) })
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 120 { // of no rows, so that they are done at once
		d := containing(strings.Repeat("x", 20_000))
		d.ID, d.Query = fmt.Sprint(i), strings.Repeat("q", 3000)
		_, err := s.Delete(ctx, d)
		require.NoError(t, err)
	}
	all, err := s.Deletions(ctx)
	require.NoError(t, err)
	require.Greater(t, len(all), 50)
	require.Less(t, len(all), 100)
	for i, d := range all {
		require.True(t, d.Done)
		require.Equal(t, fmt.Sprint(120-len(all)+i), d.ID)
		require.Len(t, d.Query, 3000)
		require.Empty(t, d.Lines)
	}
	_, err = s.Append(ctx, oneRow("a", 1, "line"))
	require.NoError(t, err)
	accepted := 0
	for ; accepted < 1000; accepted++ {
		if _, err = s.Delete(ctx, containing(strings.Repeat("y", 60_000))); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, columnar.ErrFull)
	require.InDelta(t, 4<<20, accepted*60_000, 120_000)
	info, err := os.Stat(filepath.Join(dir, "MANIFEST"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(16<<20))
}
