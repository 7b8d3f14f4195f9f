package bench

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

// service runs a query service with an empty data folder until the test ends.
func service(t *testing.T) (at *url.URL, data string) {
	t.Helper()
	data = t.TempDir()
	logger := slog.New(slog.DiscardHandler)
	s, err := queryservice.Open(t.Context(), queryservice.DefaultConfig(), data, logger, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{s.Parts(queryservice.Listeners{HTTP: lis})}}.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &url.URL{Scheme: "http", Host: lis.Addr().String()}, data
}

func quickConfig(t *testing.T, signal Signal, targets ...Target) Config {
	return Config{
		Data: publicData(t), Targets: targets, Signals: []Signal{signal}, End: time.Now().Truncate(time.Minute), Seed: 1,
		LogCopies: 2, SpanCopies: 2, MetricHours: 1, Sample: 3000, HotRuns: 2,
		DiskAfter: 10 * time.Millisecond, Settle: time.Minute, Spool: t.TempDir(),
	}
}

// TestLogsOfAQueryService measures a real query service twice, once behind a proxy
// that loses one line of what goes through it.
func TestLogsOfAQueryService(t *testing.T) {
	whole, dir := service(t)
	lossy, _ := service(t)
	proxy := httptest.NewServer(&losing{next: httputil.NewSingleHostReverseProxy(lossy)})
	defer proxy.Close()
	cfg := quickConfig(t, Logs,
		Target{Name: "whole", Kind: Yagura, URL: whole.String(), Push: whole.String(), PID: os.Getpid(), Dir: dir},
		Target{Name: "lossy", Kind: Loki, URL: proxy.URL, Push: proxy.URL},
	)
	cfg.Whole = true
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Write(&text, "text"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", &text)
	targets := report.Results[0].Targets
	if good := targets[0]; good.Error != "" || !good.Check.Complete || good.Check.Found != 4*3000 || good.Ingest.DiskBytes == 0 {
		t.Errorf("whole: %+v, check %+v, ingest %+v", good.Error, good.Check, good.Ingest)
	}
	for _, q := range targets[0].Queries {
		if q.Error != "" || q.Wrong != "" {
			t.Errorf("whole: %s: %s%s", q.Name, q.Error, q.Wrong)
		}
	}
	bad := targets[1]
	if bad.Error != "" || bad.Check.Complete || bad.Check.Found != bad.Check.Expected-1 {
		t.Fatalf("lossy: %s, check %+v", bad.Error, bad.Check)
	}
	lost := proxy.Config.Handler.(*losing).lost
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), "target lossy: check") || !strings.Contains(err.Error(), "missing at "+lost) {
		t.Errorf("error %v, want one that names the target, the step and the line at %s", err, lost)
	}
}

// losing is a proxy that drops one line of the second push.
type losing struct {
	next   http.Handler
	mu     sync.Mutex
	pushes int
	lost   string // time of the line
}

func (p *losing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/push") {
		packed, err := io.ReadAll(r.Body)
		if err == nil {
			packed, err = p.drop(packed)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(packed)), int64(len(packed))
	}
	p.next.ServeHTTP(w, r)
}

func (p *losing) drop(packed []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pushes++; p.pushes != 2 {
		return packed, nil
	}
	b, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, err
	}
	var req push.PushRequest
	if err := req.Unmarshal(b); err != nil {
		return nil, err
	}
	s := &req.Streams[0]
	i := len(s.Entries) / 2
	p.lost = s.Entries[i].Timestamp.UTC().Format(time.RFC3339Nano)
	s.Entries = append(s.Entries[:i], s.Entries[i+1:]...)
	b, err = req.Marshal()
	return snappy.Encode(nil, b), err
}

// TestSpansOfAQueryService measures a real query service by Jaeger's API, once behind
// a proxy that does not know a trace.
func TestSpansOfAQueryService(t *testing.T) {
	whole, dir := service(t)
	forgetful := httptest.NewServer(&forgetting{next: httputil.NewSingleHostReverseProxy(whole)})
	defer forgetful.Close()
	cfg := quickConfig(t, Traces,
		Target{Name: "whole", Kind: Jaeger, URL: whole.String() + "/jaeger", Push: whole.String(), PID: os.Getpid(), Dir: dir})
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if c := report.Results[0].Targets[0].Check; c.Expected < 5900 || c.Found != c.Expected {
		t.Errorf("%+v", c)
	}

	cfg.NoPush, cfg.Targets = true, []Target{{Name: "forgetful", Kind: Jaeger, URL: forgetful.URL + "/jaeger"}}
	if report, err = Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	lost := forgetful.Config.Handler.(*forgetting).lost
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), "trace "+lost+" is missing") {
		t.Errorf("error %v, want one that names trace %s", err, lost)
	}
}

// forgetting is a proxy that does not find the first trace it is asked for.
type forgetting struct {
	next http.Handler
	lost string
}

func (p *forgetting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, ok := strings.CutPrefix(r.URL.Path, "/jaeger/api/traces/"); ok && (p.lost == "" || p.lost == id) {
		p.lost = id
		http.Error(w, `{"errors":[{"code":404,"msg":"trace not found"}]}`, http.StatusNotFound)
		return
	}
	p.next.ServeHTTP(w, r)
}

// TestSamplesOfAQueryService measures a real query service by remote write and PromQL.
func TestSamplesOfAQueryService(t *testing.T) {
	at, _ := service(t)
	cfg := quickConfig(t, Metrics, Target{Name: "yagura", Kind: Yagura, URL: at.String(), Push: at.String()})
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if c := report.Results[0].Targets[0].Check; c.Found != 5000*240 {
		t.Errorf("%+v", c)
	}
	for _, q := range report.Results[0].Targets[0].Queries {
		if q.Rows == 0 {
			t.Errorf("%s answered nothing", q.Name)
		}
	}
}
