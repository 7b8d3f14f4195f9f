package server_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/query/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type room func(g *echo.Group)

func (r room) Register(g *echo.Group) { r(g) }

var builtUI = fstest.MapFS{
	"index.html":       {Data: []byte("<html>the interface</html>")},
	"assets/app-1a.js": {Data: []byte("run()")},
	"favicon.svg":      {Data: []byte("<svg/>")},
	".keep":            {Data: []byte("")},
}

func newServer(t *testing.T, ui fs.FS, ready func() error, mounts ...server.Mount) (*server.Server, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	if ready == nil {
		ready = func() error { return nil }
	}
	s, err := server.New(server.Options{
		Config: server.DefaultConfig(), Mounts: mounts, UI: ui, Ready: ready,
		Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, reg
}

func get(s *server.Server, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

func TestPaths(t *testing.T) {
	loki := server.Mount{Prefix: "/loki", Routes: room(func(g *echo.Group) {
		g.GET("/api/v1/labels", func(c echo.Context) error { return c.String(http.StatusOK, "labels") })
		g.GET("/panic", func(echo.Context) error { panic("oh no") })
		g.GET("/broken", func(echo.Context) error { return errors.New("secret detail") })
	})}
	s, reg := newServer(t, builtUI, nil, loki)
	for name, tc := range map[string]struct {
		path  string
		code  int
		body  string
		cache string
	}{
		"health":                   {path: "/healthz", code: 200, body: "ok"},
		"ready":                    {path: "/readyz", code: 200, body: "ok"},
		"own metrics":              {path: "/metrics", code: 200, body: "yagura_query_http_requests_total"},
		"description":              {path: "/api/openapi.yaml", code: 200, body: "openapi:"},
		"a room's route":           {path: "/loki/api/v1/labels", code: 200, body: "labels"},
		"the interface":            {path: "/", code: 200, body: "the interface", cache: "no-cache"},
		"a page of the interface":  {path: "/traces/abc?from=now", code: 200, body: "the interface", cache: "no-cache"},
		"a hashed file":            {path: "/assets/app-1a.js", code: 200, body: "run()", cache: "immutable"},
		"a plain file":             {path: "/favicon.svg", code: 200, body: "<svg/>"},
		"a file of an older build": {path: "/assets/app-0.js", code: 404, body: "reload"},
		"hidden files":             {path: "/.keep", code: 200, body: "the interface"},
		"no way out of the files":  {path: "/assets/../../server.go", code: 200, body: "the interface"},
		"an unknown API path":      {path: "/loki/api/v1/nothing", code: 404, body: "nothing at"},
		"an unknown API":           {path: "/tempo/api/echo", code: 404, body: "nothing at"},
		"a panic":                  {path: "/loki/panic", code: 500, body: "internal error"},
		"an unexpected error":      {path: "/loki/broken", code: 500, body: "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			get(s, "/healthz") // so that a request has been counted
			rec := get(s, tc.path)
			if rec.Code != tc.code || !strings.Contains(rec.Body.String(), tc.body) {
				t.Errorf("%d %q, want %d with %q", rec.Code, rec.Body, tc.code, tc.body)
			}
			if got := rec.Header().Get("Cache-Control"); !strings.Contains(got, tc.cache) {
				t.Errorf("Cache-Control %q, want %q", got, tc.cache)
			}
			if strings.Contains(rec.Body.String(), "secret detail") {
				t.Error("the answer tells what only the log should")
			}
			if rec.Header().Get("Content-Security-Policy") == "" {
				t.Error("no Content-Security-Policy")
			}
		})
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP yagura_query_http_panics_total Requests that ended in a programming error.
# TYPE yagura_query_http_panics_total counter
yagura_query_http_panics_total 1
`), "yagura_query_http_panics_total"); err != nil {
		t.Error(err)
	}
}

func TestErrorsAreJSONForThoseWhoAsk(t *testing.T) {
	s, _ := newServer(t, builtUI, nil)
	rec := get(s, "/prometheus/api/v1/nothing", "Accept", "application/json")
	if want := `{"error":"there is nothing at /prometheus/api/v1/nothing","errorType":"not found","status":"error"}`; strings.TrimSpace(rec.Body.String()) != want {
		t.Errorf("answer %s, want %s", rec.Body, want)
	}
}

func TestReadinessSaysWhyNot(t *testing.T) {
	s, _ := newServer(t, builtUI, func() error { return errors.New("the log store replays its write-ahead log") })
	if rec := get(s, "/readyz"); rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "write-ahead log") {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	if rec := get(s, "/healthz"); rec.Code != http.StatusOK {
		t.Errorf("alive, but /healthz says %d", rec.Code)
	}
}

func TestWithoutInterface(t *testing.T) {
	s, _ := newServer(t, fstest.MapFS{".keep": {}}, nil)
	if rec := get(s, "/"); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "built without") {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

func TestRunLetsRequestsEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	s, _ := newServer(t, builtUI, nil, server.Mount{Prefix: "/slow", Routes: room(func(g *echo.Group) {
		g.GET("", func(c echo.Context) error {
			close(entered)
			<-release
			finished.Store(true)
			return c.String(http.StatusOK, "done")
		})
	})})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, lis) }()

	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + lis.Addr().String() + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	<-entered
	cancel()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if !finished.Load() {
		t.Error("Run returned before the request ended")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestConfig(t *testing.T) {
	c := server.DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.DrainTimeout = 0
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "drainTimeout") {
		t.Errorf("error %v, want one that names drainTimeout", err)
	}
}
