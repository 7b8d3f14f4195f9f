package scrape_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
	"github.com/yagura-dev/yagura/collector/scrape"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps the newest value of every series by its label string.
type sink struct {
	mu     sync.Mutex
	err    error
	series map[string]float64
	types  map[string]writev2.Metadata_MetricType
}

func (s *sink) Append(_ context.Context, stream queue.Stream, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if stream != queue.Metrics {
		return fmt.Errorf("stream %s", stream)
	}
	raw, err := snappy.Decode(nil, payload)
	if err != nil {
		return err
	}
	var req writev2.Request
	if err := req.Unmarshal(raw); err != nil {
		return err
	}
	builder := labels.NewScratchBuilder(8)
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&builder, req.Symbols)
		if err != nil {
			return err
		}
		s.series[ls.String()] = ts.Samples[0].Value
		s.types[ls.Get(model.MetricNameLabel)] = ts.Metadata.Type
	}
	return nil
}

func (s *sink) get(series string) (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.series[series]
	return v, ok
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func start(t *testing.T, s *sink, job string) *prometheus.Registry {
	t.Helper()
	s.series, s.types = map[string]float64{}, map[string]writev2.Metadata_MetricType{}
	reg := prometheus.NewRegistry()
	sc, err := scrape.New(scrape.Options{
		Config:   configured(job),
		External: labels.FromStrings("cluster", "c1", "node", "n1"),
		Sink:     s, Logger: slog.New(slog.DiscardHandler), Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return reg
}

// configured returns the defaults with one job.
func configured(job string) scrape.Config {
	c := scrape.DefaultConfig()
	c.Configs = []json.RawMessage{json.RawMessage(job)}
	return c
}

func target(t *testing.T, body func() string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, body())
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestStaticTarget(t *testing.T) {
	var s sink
	var mu sync.Mutex
	body := "# TYPE orders_total counter\norders_total{shop=\"a\",node=\"own\"} 7\n# TYPE queue_depth gauge\nqueue_depth 3\n"
	addr := target(t, func() string { mu.Lock(); defer mu.Unlock(); return body })
	start(t, &s, fmt.Sprintf(`{"job_name":"app","scrape_interval":"100ms","scrape_timeout":"100ms","static_configs":[{"targets":[%q]}]}`, addr))
	common := fmt.Sprintf(`cluster="c1", instance=%q, job="app", node="n1"`, addr)
	depth := fmt.Sprintf(`{__name__="queue_depth", %s}`, common)
	waitFor(t, "the target's series and the scrape's own", func() bool {
		v, ok := s.get(depth)
		up, alive := s.get(fmt.Sprintf(`{__name__="up", %s}`, common))
		return ok && v == 3 && alive && up == 1
	})
	own := fmt.Sprintf(`{__name__="orders_total", cluster="c1", instance=%q, job="app", node="own", shop="a"}`, addr)
	if v, ok := s.get(own); !ok || v != 7 {
		t.Errorf("%s = %v, %v: a label that the target sets must win over ours", own, v, ok)
	}
	s.mu.Lock()
	if got := s.types["orders_total"]; got != writev2.Metadata_METRIC_TYPE_COUNTER {
		t.Errorf("orders_total has type %s", got)
	}
	s.mu.Unlock()

	mu.Lock()
	body = "queue_depth 4\n"
	mu.Unlock()
	waitFor(t, "a marker that the vanished series ended", func() bool {
		v, ok := s.get(own)
		return ok && sample.IsStale(v)
	})
}

func TestTargetsFromAFileThatComesLater(t *testing.T) {
	var s sink
	addr := target(t, func() string { return "late 1\n" })
	folder := filepath.Join(t.TempDir(), "later") // which is not there yet either
	file := filepath.Join(folder, "targets.json")
	start(t, &s, fmt.Sprintf(`{"job_name":"files","scrape_interval":"100ms","scrape_timeout":"100ms","file_sd_configs":[{"files":[%q],"refresh_interval":"100ms"}]}`, file))
	groups := fmt.Sprintf(`[{"targets":[%q],"labels":{"node":"fake-0"}}]`, addr)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(groups), 0o644); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{__name__="late", cluster="c1", instance=%q, job="files", node="fake-0"}`, addr)
	waitFor(t, want, func() bool { _, ok := s.get(want); return ok })
}

func TestAFullQueueIsCounted(t *testing.T) {
	s := sink{err: fmt.Errorf("append: %w", queue.ErrFull)}
	addr := target(t, func() string { return "a 1\n" })
	reg := start(t, &s, fmt.Sprintf(`{"job_name":"app","scrape_interval":"100ms","scrape_timeout":"100ms","static_configs":[{"targets":[%q]}]}`, addr))
	waitFor(t, "dropped samples by reason", func() bool {
		n, err := testutil.GatherAndCount(reg, "yagura_scrape_samples_dropped_total")
		return err == nil && n == 1
	})
}

// TestRealExposition scrapes what a node_exporter exposed: thousands of series, in
// several records.
func TestRealExposition(t *testing.T) {
	path := "../../../shared/data/metrics/node_exporter.prom"
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skipf("%s is not here", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	var s sink
	var wide strings.Builder // more than one record holds
	for i := range 3000 {
		fmt.Fprintf(&wide, "wide{i=\"%d\"} 1\n", i)
	}
	addr := target(t, func() string { return string(content) + wide.String() })
	start(t, &s, fmt.Sprintf(`{"job_name":"node","scrape_interval":"500ms","scrape_timeout":"500ms","static_configs":[{"targets":[%q]}]}`, addr))
	common := fmt.Sprintf(`instance=%q, job="node", node="n1"`, addr)
	added := fmt.Sprintf(`{__name__="scrape_samples_scraped", cluster="c1", %s}`, common)
	waitFor(t, added, func() bool { v, ok := s.get(added); return ok && v > 5000 })
	load := fmt.Sprintf(`{__name__="node_load1", cluster="c1", %s}`, common)
	if v, _ := s.get(load); v != 0.21 {
		t.Errorf("%s = %v", load, v)
	}
	scraped, _ := s.get(added)
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := 5; len(s.series) != int(scraped)+own {
		t.Errorf("%d series arrived of %v scraped and %d about the scrape", len(s.series), scraped, own)
	}
}

func TestWhatHasNoPlaceIsCounted(t *testing.T) {
	var s sink
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
		fmt.Fprint(w, "# TYPE a counter\na_total 1 # {trace_id=\"x\"} 1\n# EOF\n")
	}))
	t.Cleanup(srv.Close)
	reg := start(t, &s, fmt.Sprintf(`{"job_name":"app","scrape_interval":"100ms","scrape_timeout":"100ms","static_configs":[{"targets":[%q]}]}`,
		strings.TrimPrefix(srv.URL, "http://")))
	waitFor(t, "dropped exemplars", func() bool {
		n, err := testutil.GatherAndCount(reg, "yagura_scrape_samples_dropped_total")
		return err == nil && n == 1
	})
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct{ job, says string }{
		"an unknown field":       {`{"job_name":"a","static_config":[]}`, "static_config"},
		"another discovery":      {`{"job_name":"a","kubernetes_sd_configs":[{"role":"pod"}]}`, "kubernetes_sd_configs"},
		"timeout above interval": {`{"job_name":"a","scrape_interval":"1s","scrape_timeout":"2s"}`, "timeout"},
		"no name":                {`{"static_configs":[]}`, "job_name"},
		"not an object":          {`"a"`, "configs[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			err := configured(tc.job).Validate()
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "configs[0]") {
				t.Errorf("error %v, want one that names configs[0] and %s", err, tc.says)
			}
		})
	}
	if err := scrape.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}
