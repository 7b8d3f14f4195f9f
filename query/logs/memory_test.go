package logs_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// whileReading calls during, once, when a query has read all of its rows and holds
// its answer.
type whileReading struct {
	logs.Rows
	during func()
}

func (s *whileReading) Select(ctx context.Context, q columnar.Query) (columnar.Cursor, error) {
	c, err := s.Rows.Select(ctx, q)
	during := s.during
	if s.during = nil; during == nil {
		return c, err
	}
	return endOfRowsCursor{c, during}, err
}

// TestQueriesShareMemory has a query that is small enough by itself, and is not
// while another runs; afterwards there is as much as before.
func TestQueriesShareMemory(t *testing.T) {
	store := openStore(t)
	for i := range 3 {
		appendRows(t, store, labels.FromStrings("app", "x"), row(ns(0)+int64(i), strings.Repeat("x", 512<<10)))
	}
	cfg := logs.DefaultConfig()
	cfg.MaxMemory = 3 << 20
	rows := &whileReading{Rows: store}
	api, err := logs.NewAPI(logs.Options{Config: cfg, Rows: rows, Logger: discard, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	e := echo.New()
	api.Register(e.Group("/loki"))
	ask := func() int {
		return do(e, http.MethodGet, "/loki/api/v1/query_range", url.Values{"query": {`{app="x"} |~ ".+"`}, "start": {nsParam(0)}, "end": {nsParam(1e9)}}).Code
	}
	for range 3 {
		second := 0
		rows.during = func() { second = ask() }
		require.Equal(t, http.StatusOK, ask())
		require.Equal(t, http.StatusServiceUnavailable, second)
	}
}
