package logs_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func openStore(t testing.TB) *columnar.Store {
	t.Helper()
	s, err := columnar.Open(t.TempDir(), columnar.Options{Config: columnar.Config{MinFreeDisk: -1}, Logger: discard})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func appendRows(t testing.TB, s columnar.Writer, lbls labels.Labels, rows ...columnar.Row) {
	t.Helper()
	_, err := s.Append(context.Background(), columnar.Batch{
		Table: columnar.Logs, Streams: []columnar.Stream{{Labels: lbls, Rows: rows}},
	})
	require.NoError(t, err)
}

func row(ts int64, line string, meta ...string) columnar.Row {
	r := columnar.Row{Timestamp: ts, Line: line}
	for i := 0; i+1 < len(meta); i += 2 {
		r.Fields = append(r.Fields, columnar.Field{Name: meta[i], Value: meta[i+1]})
	}
	return r
}

func newServer(t testing.TB, s logs.Rows, cfg logs.Config) *echo.Echo {
	t.Helper()
	api, err := logs.NewAPI(logs.Options{Config: cfg, Rows: s, Logger: discard, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	e := echo.New()
	api.Register(e.Group("/loki"))
	return e
}

// sharedData is a folder of real data beside the repository.
func sharedData(t testing.TB, path string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", path)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("test data is missing: %v", err)
		}
		t.Skipf("test data is missing: %v", err)
	}
	return dir
}

type answer struct {
	Status string
	Data   struct {
		ResultType string
		Result     json.RawMessage
		Stats      map[string]any
	}
	Warnings []string
}

func do(e http.Handler, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	var req *http.Request
	if method == http.MethodPost {
		req = httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req = httptest.NewRequest(method, path+"?"+form.Encode(), nil)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	return rec
}

func query(t testing.TB, e http.Handler, path string, form url.Values) answer {
	t.Helper()
	rec := do(e, http.MethodGet, path, form)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	var a answer
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &a))
	require.Equal(t, "success", a.Status)
	return a
}
