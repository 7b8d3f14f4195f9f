package columnartest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

func testSnapshot(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle's cursor holds its rows")
	}
	ctx := context.Background()
	const n = 5000
	for i := range n {
		put(t, e, nil, logs(app(fmt.Sprint(i%7)), row(int64(i), fmt.Sprint("row ", i))))
		if i == n/2 {
			flush(t, e)
		}
	}
	c, err := e.Select(ctx, everything())
	require.NoError(t, err)
	seen := 0
	for {
		b, err := c.Next(ctx)
		require.NoError(t, err)
		if b == nil {
			break
		}
		for i := range b.Len() {
			require.Equal(t, int64(seen), b.Timestamps[i])
			require.Equal(t, fmt.Sprint("row ", seen), b.Lines[i])
			seen++
		}
		if seen < n/2 {
			put(t, e, nil, logs(app("0"), row(-1, "too old to be seen by a cursor that is past it")))
			flush(t, e)
		}
	}
	require.Equal(t, n, seen)
	require.NoError(t, c.Close())
}

func testConcurrency(t *testing.T, e columnar.Engine) {
	const writers, batches = 4, 60
	ctx := context.Background()
	o := NewOracle()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				b := logs(app(fmt.Sprint(w)), row(int64(i), fmt.Sprint("w", w, " ", i)), row(int64(i*31%17), "second", field("w", fmt.Sprint(w))))
				b.ID = columnar.BatchID{Collector: fmt.Sprint(w), Stream: "logs", Sequence: uint64(i + 1)}
				if _, err := e.Append(ctx, b); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if _, err := o.Append(ctx, b); err != nil {
					t.Error(err)
				}
				// What was acknowledged is visible at once.
				q := everything()
				q.Matchers = []*labels.Matcher{match(labels.MatchEqual, "app", fmt.Sprint(w))}
				rows, _, err := collect(ctx, e, q)
				if err != nil || len(rows) != 2*(i+1) {
					t.Errorf("writer %d sees %d rows after %d batches: %v", w, len(rows), i+1, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if f, ok := e.(interface{ Flush(context.Context) error }); ok {
				if err := f.Flush(ctx); err != nil {
					t.Errorf("flush: %v", err)
				}
			}
			if _, _, err := collect(ctx, e, everything()); err != nil {
				t.Errorf("collect: %v", err)
			}
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	mustEqual(t, e, o, everything())
}

func testRetain(t *testing.T, e columnar.Engine) {
	ctx := context.Background()
	o := NewOracle()
	day := int64(24 * time.Hour)
	for i := range int64(10) {
		put(t, e, o, logs(app("every day"), row(i*day+5, fmt.Sprint("day ", i))))
		put(t, e, o, logs(app(fmt.Sprint("day", i)), row(i*day+7, fmt.Sprint("day ", i))))
		if i%3 == 1 {
			flush(t, e)
		}
	}
	before := time.Unix(0, 6*day)
	require.NoError(t, e.Retain(ctx, before))
	require.NoError(t, o.Retain(ctx, before))
	// Days are apart, so that whole blocks are whole days here.
	mustEqual(t, e, o, everything())
	want, err := o.Streams(ctx, columnar.Logs, nil, 0, 100*day, nil)
	require.NoError(t, err)
	got, err := e.Streams(ctx, columnar.Logs, nil, 0, 100*day, nil)
	require.NoError(t, err)
	require.Equal(t, texts(want), texts(got))
	_, found, err := e.NewestTimestamp(ctx, columnar.Logs, nil, 0, []*labels.Matcher{match(labels.MatchEqual, "app", "day2")})
	require.NoError(t, err)
	require.False(t, found)
	put(t, e, o, logs(app("late"), row(2*day, "arrived after retention ran")))
	mustEqual(t, e, o, everything())
	flush(t, e)
	mustEqual(t, e, o, everything())
	require.NoError(t, e.Retain(ctx, time.Unix(0, 100*day)))
	mustEqual(t, e, NewOracle(), everything())
}

func testClosed(t *testing.T, e columnar.Engine) {
	if _, ok := e.(*Oracle); ok {
		t.Skip("the oracle forgets nothing")
	}
	ctx := context.Background()
	put(t, e, nil, logs(app("x"), row(1, "line")))
	require.NoError(t, e.Close())
	_, err := e.Append(ctx, logs(app("x"), row(1, "line")))
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, err = e.Select(ctx, everything())
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, err = e.Streams(ctx, columnar.Logs, nil, 0, 1, nil)
	require.ErrorIs(t, err, columnar.ErrClosed)
	_, _, err = e.NewestTimestamp(ctx, columnar.Logs, nil, 0, nil)
	require.ErrorIs(t, err, columnar.ErrClosed)
	require.True(t, errors.Is(e.Retain(ctx, time.Unix(1, 0)), columnar.ErrClosed))
}

func testReopen(t *testing.T, open OpenFunc) {
	dir := t.TempDir()
	o := NewOracle()
	sequence := uint64(0)
	for round := range 6 {
		e := open(t, dir)
		mustEqual(t, e, o, everything())
		for i := range 20 {
			sequence++
			b := logs(app(fmt.Sprint(i%3)), row(int64(i*round), fmt.Sprint(round, " ", i), field("round", fmt.Sprint(round))))
			b.ID = columnar.BatchID{Collector: "c", Stream: "logs", Sequence: sequence}
			put(t, e, o, b)
			if i == 10 && round%2 == 0 {
				flush(t, e)
			}
			if i == 15 {
				require.NoError(t, e.Close())
				e = open(t, dir)
				put(t, e, o, b) // its answer may have been lost
			}
		}
		mustEqual(t, e, o, everything())
		require.NoError(t, e.Close())
	}
}
