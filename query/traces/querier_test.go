package traces_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

// failing is a store that panics when told.
type failing struct {
	*columnar.Store
	fails bool
}

func (f *failing) Select(ctx context.Context, q columnar.Query) (columnar.Cursor, error) {
	if f.fails {
		panic("a defect")
	}
	return f.Store.Select(ctx, q)
}

// TestPanicsBecomeErrors has the slot of a query that panics serve the next one.
func TestPanicsBecomeErrors(t *testing.T) {
	store := &failing{Store: openStore(t), fails: true}
	cfg := traces.DefaultConfig()
	cfg.MaxConcurrent = 1
	q, err := traces.NewQuerier(store, cfg, nil, nil)
	require.NoError(t, err)
	search := traces.Search{Start: time.Unix(0, 0), End: time.Now(), Limit: 1}
	for range 2 {
		_, err := q.Search(t.Context(), search)
		require.ErrorContains(t, err, "a defect")
	}
	store.fails = false
	_, err = q.Search(t.Context(), search)
	require.NoError(t, err)
}
