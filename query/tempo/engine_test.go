package tempo_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/tempo"
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
	cfg := tempo.DefaultConfig()
	cfg.MaxConcurrent = 1
	e := newServer(t, store, cfg)
	for range 2 {
		rec := get(t, e, "/api/search", "", "q", "{}")
		require.Equal(t, http.StatusInternalServerError, rec.Code, rec.Body)
	}
	store.fails = false
	rec := get(t, e, "/api/search", "", "q", "{}")
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
}
