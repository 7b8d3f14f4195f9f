package traces_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

func openStore(t testing.TB) *columnar.Store {
	t.Helper()
	s, err := columnar.Open(t.TempDir(), columnar.Options{
		Config: columnar.Config{MinFreeDisk: -1},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// appendTraces stores every span under its service name, as ingest labels it.
func appendTraces(t testing.TB, s *columnar.Store, td ptrace.Traces) {
	t.Helper()
	rows := map[string][]columnar.Row{}
	for _, rs := range td.ResourceSpans().All() {
		service := "unknown_service"
		if v, ok := rs.Resource().Attributes().Get("service.name"); ok {
			service = v.Str()
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				rows[service] = append(rows[service], traces.FromOTLP(rs.Resource(), ss.Scope(), sp).Row())
			}
		}
	}
	b := columnar.Batch{Table: columnar.Spans}
	for service, rows := range rows {
		b.Streams = append(b.Streams, columnar.Stream{Labels: labels.FromStrings("service_name", service), Rows: rows})
	}
	_, err := s.Append(context.Background(), b)
	require.NoError(t, err)
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

func readFixture(t testing.TB, path string) ptrace.Traces {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(b)
	require.NoError(t, err)
	return td
}

func newServer(t testing.TB, s traces.Store, cfg traces.Config) *echo.Echo {
	t.Helper()
	api, err := traces.NewAPI(s, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	require.NoError(t, err)
	e := echo.New()
	api.Register(e.Group("/jaeger"))
	return e
}

type jaegerAnswer[T any] struct {
	Data   T
	Total  int
	Limit  int
	Offset int
	Errors []struct {
		Code    int
		Msg     string
		TraceID string
	}
}

type jaegerTrace struct {
	TraceID   string
	Spans     []jaegerSpan
	Processes map[string]struct {
		ServiceName string
		Tags        []jaegerTag
	}
}

type jaegerSpan struct {
	TraceID, SpanID, OperationName, ProcessID string
	Flags                                     uint32
	References                                []struct{ RefType, TraceID, SpanID string }
	StartTime, Duration                       int64
	Tags                                      []jaegerTag
	Logs                                      []struct {
		Timestamp int64
		Fields    []jaegerTag
	}
	Warnings []string
}

type jaegerTag struct {
	Key, Type string
	Value     any
}

func get[T any](t testing.TB, e *echo.Echo, target string) (int, jaegerAnswer[T]) {
	t.Helper()
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
	var ans jaegerAnswer[T]
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &ans), rec.Body.String())
	return rec.Code, ans
}
