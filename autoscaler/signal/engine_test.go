package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// service is a query service: Prometheus' own engine on samples of the test, and logs that are a list of lines. It answers as of a time
// that the test sets.
type service struct {
	t       *testing.T
	engine  *promql.Engine
	storage storage.Queryable
	clock   *clocktesting.FakeClock
	url     string

	mu       sync.Mutex
	asked    []string
	fail     int                  // status that every query gets, unless it is 0
	lines    map[string]time.Time // newest line, by stream selector
	logValue map[string]string    // answer of metric queries on logs, by query; no entry means an empty vector
	block    chan struct{}        // when not nil, answers wait for it
	running  int
	most     int
}

// newService loads samples in the form of Prometheus' test scripts; their times count from the epoch.
func newService(t *testing.T, samples string) *service {
	s := &service{t: t, clock: clocktesting.NewFakeClock(time.Unix(0, 0).UTC()), lines: map[string]time.Time{}, logValue: map[string]string{}}
	s.engine = promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	s.storage = promqltest.LoadedStorage(t, samples)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// at moves the clock.
func (s *service) at(d time.Duration) *service { s.clock.SetTime(time.Unix(0, 0).Add(d)); return s }

func (s *service) client(t *testing.T, podMetrics PodMetrics) *Client {
	cfg := DefaultConfig()
	cfg.URL, cfg.Timeout, cfg.Concurrency = s.url, model.Duration(5*time.Second), 4
	c, err := NewClient(cfg, nil, podMetrics, s.clock, NewMetrics(prometheus.NewRegistry()))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func (s *service) queries(containing string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		if strings.Contains(q, containing) {
			n++
		}
	}
	return n
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	s.mu.Lock()
	s.asked = append(s.asked, query)
	s.running++
	s.most = max(s.most, s.running)
	fail, block := s.fail, s.block
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.running--; s.mu.Unlock() }()
	if block != nil {
		<-block
	}
	if fail != 0 {
		http.Error(w, `{"status":"error","errorType":"x","error":"as the test wants"}`, fail)
		return
	}
	switch r.URL.Path {
	case "/prometheus/api/v1/query":
		s.prometheus(r.Context(), w, query)
	case "/prometheus/api/v1/query_range":
		s.prometheusRange(w, r)
	case "/loki/api/v1/query":
		if strings.HasPrefix(query, "{") {
			answerWith(w, "streams", []any{})
			return
		}
		s.mu.Lock()
		value, ok := s.logValue[query]
		s.mu.Unlock()
		result := []any{}
		if ok {
			result = append(result, map[string]any{"metric": map[string]string{}, "value": []any{0, value}})
		}
		answerWith(w, "vector", result)
	case "/loki/api/v1/query_range":
		s.newestLine(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *service) newestLine(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	at, ok := s.lines[r.FormValue("query")]
	s.mu.Unlock()
	start, _ := strconv.ParseInt(r.FormValue("start"), 10, 64)
	end, _ := strconv.ParseInt(r.FormValue("end"), 10, 64)
	result := []any{}
	if ok && at.UnixNano() >= start && at.UnixNano() < end {
		result = append(result, map[string]any{"stream": map[string]string{}, "values": [][]any{{strconv.FormatInt(at.UnixNano(), 10), "a line", map[string]string{}}}})
	}
	if r.FormValue("limit") != "1" || r.FormValue("direction") != "backward" {
		http.Error(w, "more than the newest line was asked for", http.StatusBadRequest)
		return
	}
	answerWith(w, "streams", result)
}

func (s *service) prometheus(ctx context.Context, w http.ResponseWriter, query string) {
	q, err := s.engine.NewInstantQuery(ctx, s.storage, nil, query, s.clock.Now())
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()})
		return
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "execution", "error": result.Err.Error()})
		return
	}
	answerWith(w, string(result.Value.Type()), encode(result.Value))
}

func (s *service) prometheusRange(w http.ResponseWriter, r *http.Request) {
	at := func(name string) time.Time {
		v, _ := strconv.ParseFloat(r.FormValue(name), 64)
		return time.UnixMilli(int64(v * 1000))
	}
	step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
	q, err := s.engine.NewRangeQuery(r.Context(), s.storage, nil, r.FormValue("query"), at("start"), at("end"), time.Duration(step*float64(time.Second)))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()})
		return
	}
	defer q.Close()
	result := q.Exec(r.Context())
	if result.Err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "execution", "error": result.Err.Error()})
		return
	}
	answerWith(w, string(result.Value.Type()), encode(result.Value))
}

// encode gives a value the form that Prometheus' API gives it.
func encode(v any) any {
	pair := func(ts int64, f float64) []any {
		return []any{float64(ts) / 1000, strconv.FormatFloat(f, 'f', -1, 64)}
	}
	switch v := v.(type) {
	case promql.Vector:
		list := []any{}
		for _, sample := range v {
			series := map[string]any{"metric": sample.Metric.Map()}
			if sample.H != nil {
				series["histogram"] = []any{float64(sample.T) / 1000, map[string]any{"count": fmt.Sprint(sample.H.Count)}}
			} else {
				series["value"] = pair(sample.T, sample.F)
			}
			list = append(list, series)
		}
		return list
	case promql.Matrix:
		list := []any{}
		for _, series := range v {
			values := []any{}
			for _, p := range series.Floats {
				values = append(values, pair(p.T, p.F))
			}
			list = append(list, map[string]any{"metric": series.Metric.Map(), "values": values})
		}
		return list
	case promql.Scalar:
		return pair(v.T, v.V)
	}
	return []any{}
}

func answerWith(w http.ResponseWriter, kind string, result any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": result}})
}
