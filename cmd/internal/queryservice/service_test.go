package queryservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

func open(t *testing.T, data string) *queryservice.Service {
	t.Helper()
	cfg := queryservice.DefaultConfig()
	cfg.AdminAPI = true
	s, err := queryservice.Open(t.Context(), cfg, data, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var echoParameter = regexp.MustCompile(`:([a-zA-Z]+)`)

// TestOpenAPI holds the description against what is mounted, both ways.
func TestOpenAPI(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	doc, err := openapi3.NewLoader().LoadFromData(s.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, r := range s.Paths() {
		route := r[0] + " " + echoParameter.ReplaceAllString(r[1], "{$1}")
		if strings.HasSuffix(r[1], "/*") || strings.HasPrefix(r[0], "echo_") {
			continue // the web interface, and echo's own not-found handlers
		}
		if !described[route] {
			t.Errorf("%s is mounted and not described", route)
		}
		delete(described, route)
	}
	for route := range described {
		t.Errorf("%s is described and not mounted", route)
	}
}

// TestOneOfEachSurvivesARestart sends one signal of each kind and asks for it, stops
// the service and asks a new one, takes a snapshot, and asks one on its copy.
func TestOneOfEachSurvivesARestart(t *testing.T) {
	data := t.TempDir()
	now := time.Now()
	nanos := strconv.FormatInt(now.UnixNano(), 10)
	resource := `"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"k8s.namespace.name","value":{"stringValue":"prod"}}]}`
	questions := map[string]string{
		"/prometheus/api/v1/query?query=orders_total&time=" + strconv.FormatInt(now.Unix()+1, 10): `"namespace":"prod"`,
		"/loki/api/v1/query_range?query=%7Bservice_name%3D%22shop%22%7D":                          "an order came in",
		"/jaeger/api/traces/5b8efff798038103d269b633813fc60c":                                     "place order",
		"/jaeger/api/services":                                  `"shop"`,
		"/tempo/api/v2/traces/5b8efff798038103d269b633813fc60c": "place order",
		"/tempo/api/search?q=%7Bname%3D%22place%20order%22%7D":  `"rootServiceName":"shop"`,
		"/loki/api/v1/query_range?query=%7Bnamespace%3D%22prod%22%7D%20%7C%20trace_id%3D%225b8efff798038103d269b633813fc60c%22": "an order came in",
	}
	running(t, data, func(url string) {
		post(t, url+"/v1/logs", `{"resourceLogs":[{`+resource+`,"scopeLogs":[{"logRecords":[{"timeUnixNano":"`+nanos+`","body":{"stringValue":"an order came in"},"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}]}`)
		post(t, url+"/v1/traces", `{"resourceSpans":[{`+resource+`,"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"place order","kind":2,"startTimeUnixNano":"`+nanos+`","endTimeUnixNano":"`+nanos+`"}]}]}]}`)
		post(t, url+"/v1/metrics", `{"resourceMetrics":[{`+resource+`,"scopeMetrics":[{"metrics":[{"name":"orders","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asDouble":3,"timeUnixNano":"`+nanos+`"}]}}]}]}]}`)
		for path, want := range questions {
			ask(t, url+path, want)
		}
	})
	var snapshot string
	running(t, data, func(url string) {
		for path, want := range questions {
			ask(t, url+path, want)
		}
		snapshot = takeSnapshot(t, url)
	})
	restored := filepath.Join(t.TempDir(), "restored")
	if err := queryservice.Restore(t.Context(), snapshot, restored); err != nil {
		t.Fatal(err)
	}
	if err := queryservice.Restore(t.Context(), snapshot, restored); err == nil {
		t.Error("restored into a folder that is not empty")
	}
	running(t, restored, func(url string) {
		for path, want := range questions {
			ask(t, url+path, want)
		}
	})
}

func takeSnapshot(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Post(url+"/api/v1/admin/snapshot", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Data struct{ Path string } }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("snapshot: %s: %v", res.Status, err)
	}
	return answer.Data.Path
}

func running(t *testing.T, data string, use func(url string)) {
	t.Helper()
	s := open(t, data)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- lifecycle.Group{
			Logger: slog.New(slog.DiscardHandler),
			Stages: [][]lifecycle.Part{s.Parts(queryservice.Listeners{HTTP: lis})},
		}.Run(ctx)
	}()
	use("http://" + lis.Addr().String())
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func post(t *testing.T, url, body string) {
	t.Helper()
	res, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || strings.Contains(string(answer), "rejected") {
		t.Fatalf("%s: %s: %s", url, res.Status, answer)
	}
}

func ask(t *testing.T, url, want string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(answer), want) {
		t.Errorf("%s: %s: %s, want %s in it", url, res.Status, answer, want)
	}
}

func TestConfigNamesTheField(t *testing.T) {
	c := queryservice.DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Store.Retention.MaxAge, c.Server.DrainTimeout = -1, 0
	err := c.Validate()
	for _, want := range []string{"query.store: retention.maxAge", "query.server: drainTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %s", err, want)
		}
	}
}
