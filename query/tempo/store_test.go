package tempo_test

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
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traces"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func openStore(t testing.TB) *columnar.Store {
	t.Helper()
	s, err := columnar.Open(t.TempDir(), columnar.Options{Config: columnar.Config{MinFreeDisk: -1}, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// appendSpans stores spans under their service's name, as ingest labels them.
func appendSpans(t testing.TB, s *columnar.Store, spans []traces.Span) {
	t.Helper()
	rows := map[string][]columnar.Row{}
	for _, sp := range spans {
		rows[sp.Service()] = append(rows[sp.Service()], sp.Row())
	}
	b := columnar.Batch{Table: columnar.Spans}
	for service, rows := range rows {
		b.Streams = append(b.Streams, columnar.Stream{Labels: labels.FromStrings("service_name", service), Rows: rows})
	}
	_, err := s.Append(context.Background(), b)
	require.NoError(t, err)
}

func spansOf(td ptrace.Traces) (out []traces.Span) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				out = append(out, traces.FromOTLP(rs.Resource(), ss.Scope(), sp))
			}
		}
	}
	return out
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

func newServer(t testing.TB, s tempo.Store, cfg tempo.Config) *echo.Echo {
	t.Helper()
	api, err := tempo.NewAPI(s, cfg, quiet, prometheus.NewRegistry())
	require.NoError(t, err)
	e := echo.New()
	api.Register(e.Group("/tempo"))
	return e
}

// get asks with parameters in pairs.
func get(t testing.TB, e *echo.Echo, path string, accept string, params ...string) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(params); i += 2 {
		form.Add(params[i], params[i+1])
	}
	req := httptest.NewRequest(http.MethodGet, "/tempo"+path+"?"+form.Encode(), nil)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	return rec
}

func getJSON[T any](t testing.TB, e *echo.Echo, path string, params ...string) (out T) {
	t.Helper()
	rec := get(t, e, path, "", params...)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &out), rec.Body.String())
	return out
}
