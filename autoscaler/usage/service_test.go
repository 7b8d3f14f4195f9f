package usage_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin is when tests are; it is a multiple of five minutes.
var begin = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// service is a query service: Prometheus' own engine on its own store. It answers as of a time that the test sets.
type service struct {
	t      testing.TB
	engine *promql.Engine
	store  *teststorage.TestStorage
	clock  *clocktesting.FakeClock
	url    string

	mu    sync.Mutex
	asked []string
	fail  func(query string) bool
}

func newService(t testing.TB) *service {
	s := &service{t: t, clock: clocktesting.NewFakeClock(begin)}
	s.engine = promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery*100)
	s.store = teststorage.New(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// series is a metric of one container, or of the autoscaler.
type series struct {
	name   string
	labels []string // names and values in turn
	value  func(at time.Time) float64
}

// put writes samples of series from one time to another, both inclusive.
func (s *service) put(from, to time.Time, step time.Duration, all ...series) {
	s.t.Helper()
	app := s.store.Appender(context.Background())
	for at := from; !at.After(to); at = at.Add(step) {
		for _, x := range all {
			l := labels.FromStrings(append([]string{"__name__", x.name}, x.labels...)...)
			_, err := app.Append(0, l, at.UnixMilli(), x.value(at))
			require.NoError(s.t, err)
		}
	}
	require.NoError(s.t, app.Commit())
}

func (s *service) count(containing string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		if strings.Contains(q, containing) {
			n++
		}
	}
	return n
}

func (s *service) failOn(fail func(query string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	s.mu.Lock()
	s.asked = append(s.asked, query)
	fail := s.fail != nil && s.fail(query)
	s.mu.Unlock()
	if fail {
		http.Error(w, `{"status":"error","error":"as the test wants"}`, http.StatusServiceUnavailable)
		return
	}
	var q promql.Query
	var err error
	switch r.URL.Path {
	case "/prometheus/api/v1/query":
		q, err = s.engine.NewInstantQuery(r.Context(), s.store, nil, query, s.clock.Now())
	case "/prometheus/api/v1/query_range":
		step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		q, err = s.engine.NewRangeQuery(r.Context(), s.store, nil, query, stamp(r.FormValue("start")), stamp(r.FormValue("end")), time.Duration(step*float64(time.Second)))
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		s.t.Errorf("%s: %v", query, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	defer q.Close()
	result := q.Exec(r.Context())
	if result.Err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "error": result.Err.Error()})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{
		"resultType": result.Value.Type(), "result": encode(result.Value)}})
}

func stamp(text string) time.Time {
	v, _ := strconv.ParseFloat(text, 64)
	return time.UnixMilli(int64(v * 1000))
}

// encode gives a value the form that Prometheus' API gives it.
func encode(v any) any {
	pair := func(ts int64, f float64) []any {
		return []any{float64(ts) / 1000, strconv.FormatFloat(f, 'f', -1, 64)}
	}
	list := []any{}
	switch v := v.(type) {
	case promql.Vector:
		for _, sample := range v {
			list = append(list, map[string]any{"metric": sample.Metric.Map(), "value": pair(sample.T, sample.F)})
		}
	case promql.Matrix:
		for _, series := range v {
			values := []any{}
			for _, p := range series.Floats {
				values = append(values, pair(p.T, p.F))
			}
			list = append(list, map[string]any{"metric": series.Metric.Map(), "values": values})
		}
	case promql.Scalar:
		return pair(v.T, v.V)
	}
	return list
}

// peakModel is the simplest model there is: the highest usage, or the limit of a kill and a fifth, whatever is more.
type peakModel struct {
	newest, since time.Time
	peak          float64
	samples       int
	observed      *log
}

// log keeps what models were given, for tests.
type log struct {
	mu      sync.Mutex
	samples []vertical.Sample
	kills   []vertical.OOM
}

func (m *peakModel) Observe(s vertical.Sample) bool {
	if s.Time.Before(m.newest) {
		return false
	}
	if m.samples == 0 {
		m.since = s.Time
	}
	m.newest, m.peak = s.Time, max(m.peak, s.Value)
	m.samples++
	if m.observed != nil {
		m.observed.mu.Lock()
		m.observed.samples = append(m.observed.samples, s)
		m.observed.mu.Unlock()
	}
	return true
}

func (m *peakModel) ObserveOOM(o vertical.OOM) {
	m.peak = max(m.peak, 1.2*max(o.Limit, o.Usage))
	m.samples++
	if m.observed != nil {
		m.observed.mu.Lock()
		m.observed.kills = append(m.observed.kills, o)
		m.observed.mu.Unlock()
	}
}

func (m *peakModel) Estimate(time.Time) (vertical.Estimate, bool) {
	return vertical.Estimate{Target: m.peak, Lower: m.peak, Upper: m.peak, Model: "Peak", Samples: m.samples, Since: m.since}, m.samples > 0
}

func peakModels(v1alpha1.EstimationModel, vertical.Resource, time.Duration) (vertical.Model, error) {
	return &peakModel{}, nil
}

// feeder starts a feeder that runs until the test ends.
func (s *service) feeder(change func(*usage.Config, *usage.Dependencies)) *usage.Feeder {
	s.t.Helper()
	cfg := usage.DefaultConfig()
	signals := signal.DefaultConfig()
	signals.URL, signals.Timeout = s.url, model.Duration(30*time.Second)
	registry := prometheus.NewRegistry()
	client, err := signal.NewClient(signals, nil, nil, s.clock, signal.NewMetrics(registry))
	require.NoError(s.t, err)
	deps := usage.Dependencies{Signals: client, Models: peakModels, Clock: s.clock, Logger: slog.New(slog.DiscardHandler), Metrics: usage.NewMetrics(registry)}
	if change != nil {
		change(&cfg, &deps)
	}
	require.NoError(s.t, cfg.Validate())
	f := usage.New(cfg, deps)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, <-done)
		client.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return f
}
