package columnar_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Appends, flushes, merges, retention and queries at once: whoever asks for the
// newest rows finds each exactly once, in order.
func TestEverythingAtOnce(t *testing.T) {
	const (
		total  = 60_000
		recent = 1000
		keep   = 3 * recent
	)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := open(t, t.TempDir(), func(o *columnar.Options) {
		o.Config = columnar.Config{MemTableBytes: 64 << 10, BlockBytes: 4 << 10, QueryMemoryBytes: 64 << 10, MinFreeDisk: -1}
	})
	defer func() { require.NoError(t, s.Close()) }()
	// A row's time is its number times a minute, so that days come and go.
	const step = int64(time.Minute)
	var acked atomic.Int64
	var background sync.WaitGroup
	background.Go(func() {
		for ctx.Err() == nil {
			if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("flush: %v", err)
				return
			}
		}
	})
	background.Go(func() {
		for ctx.Err() == nil {
			if err := s.Retain(ctx, time.Unix(0, (acked.Load()-keep)*step)); err != nil && ctx.Err() == nil {
				t.Errorf("retain: %v", err)
				return
			}
		}
	})
	for reader := range 2 {
		background.Go(func() {
			for ctx.Err() == nil {
				hi := acked.Load()
				lo := max(hi-recent, 0)
				q := columnar.Query{Table: columnar.Logs, From: lo * step, To: hi * step, Columns: columnar.Columns{Line: true}}
				if reader == 1 {
					q.Direction = columnar.Backward
				}
				if err := checkRange(ctx, s, q, lo, hi, step); err != nil && ctx.Err() == nil {
					t.Errorf("rows %d to %d: %v", lo, hi, err)
					return
				}
			}
		})
	}
	for n := int64(0); n < total && !t.Failed(); {
		b := oneRow(fmt.Sprint(n%7), n*step, fmt.Sprint("row ", n))
		for n++; n%13 != 0; n++ {
			b.Streams[0].Rows = append(b.Streams[0].Rows, columnar.Row{Timestamp: n * step, Line: fmt.Sprint("row ", n)})
		}
		_, err := s.Append(ctx, b)
		require.NoError(t, err)
		acked.Store(n)
	}
	cancel()
	background.Wait()
}

func checkRange(ctx context.Context, s columnar.Reader, q columnar.Query, lo, hi, step int64) error {
	c, err := s.Select(ctx, q)
	if err != nil {
		return err
	}
	defer c.Close()
	seen := int64(0)
	for {
		b, err := c.Next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for i, ts := range b.Timestamps {
			want := lo + seen
			if q.Direction == columnar.Backward {
				want = hi - 1 - seen
			}
			if ts != want*step || b.Lines[i] != fmt.Sprint("row ", want) {
				return fmt.Errorf("row %d has time %d and line %q", want, ts/step, b.Lines[i])
			}
			seen++
		}
	}
	if seen != hi-lo {
		return fmt.Errorf("%d rows, want %d", seen, hi-lo)
	}
	return nil
}
