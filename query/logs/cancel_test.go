package logs_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// endOfRows calls done when a query has read its last row.
type endOfRows struct {
	logs.Store
	done func()
}

func (s endOfRows) Select(ctx context.Context, q columnar.Query) (columnar.Cursor, error) {
	c, err := s.Store.Select(ctx, q)
	return endOfRowsCursor{c, s.done}, err
}

type endOfRowsCursor struct {
	columnar.Cursor
	done func()
}

func (c endOfRowsCursor) Next(ctx context.Context) (*columnar.ColumnBatch, error) {
	b, err := c.Cursor.Next(ctx)
	if b == nil {
		c.done()
	}
	return b, err
}

// TestMetricQueriesEndWithTheirContext after all rows are read, too: what is left
// is going through the windows.
func TestMetricQueriesEndWithTheirContext(t *testing.T) {
	store := openStore(t)
	for i := range 10 {
		appendRows(t, store, labels.FromStrings("app", "x"), row(ns(time.Duration(i)*time.Millisecond), "v="+strconv.Itoa(i)))
	}
	for _, query := range []string{
		`quantile_over_time(0.9, {app="x"} | logfmt | unwrap v [1h]) by (app)`,
		`sum(sum_over_time({app="x"} | logfmt | unwrap v [1h]))`,
		`max(avg_over_time({app="x"} | logfmt | unwrap v [1h]))`,
		`count_over_time({app="x"} | logfmt [1h])`,
		`rate_counter({app="x"} | logfmt | unwrap v [1h])`,
	} {
		t.Run(query, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			engine, err := logs.NewEngine(endOfRows{store, cancel}, logs.DefaultConfig(), discard, nil)
			require.NoError(t, err)
			_, err = engine.Exec(ctx, logs.Request{Query: query, Start: epoch.Add(time.Second), End: epoch.Add(time.Minute), Step: time.Second})
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}
