package signal

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

const after = 2 * time.Minute

// samples come every 15 seconds for ten minutes; dying ends after two, ended is marked as ended then, late never begins.
const samples = `
load 15s
  queue{pod="a"} 0+1x40
  queue{pod="b"} 0+2x40
  dying 5x8
  ended 5x8 stale
  odd NaN+0x40
  big Inf+0x40
  requests_total 0+30x40
  hist {{schema:0 count:4 sum:4 buckets:[4]}}x40
`

func TestPromQL(t *testing.T) {
	tests := map[string]struct {
		query      string
		at         time.Duration
		wantState  decision.State
		wantValue  float64
		wantAge    time.Duration
		wantReason string
	}{
		"one number":         {query: `sum(queue)`, at: 5 * time.Minute, wantState: decision.Fresh, wantValue: 60},
		"between two":        {query: `sum(queue)`, at: 5*time.Minute + 10*time.Second, wantState: decision.Fresh, wantValue: 60, wantAge: 10 * time.Second},
		"a rate":             {query: `sum(rate(requests_total[1m]))`, at: 5 * time.Minute, wantState: decision.Fresh, wantValue: 2},
		"a scalar":           {query: `scalar(sum(queue))`, at: 5 * time.Minute, wantState: decision.Fresh, wantValue: 60},
		"an offset":          {query: `sum(queue offset 1m)`, at: 5*time.Minute + 5*time.Second, wantState: decision.Fresh, wantValue: 48, wantAge: 5 * time.Second},
		"several series":     {query: `queue`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query returned 2 series; aggregate them to one"},
		"nothing":            {query: `sum(late)`, at: 5 * time.Minute, wantState: decision.Missing, wantReason: "no sample of late in the last 1h"},
		"nothing after all":  {query: `sum(queue) > 1000`, at: 5 * time.Minute, wantState: decision.Missing, wantReason: "the query returned no series"},
		"nothing or 0":       {query: `sum(late) or vector(0)`, at: 5 * time.Minute, wantState: decision.Missing, wantReason: "no sample of late in the last 1h"},
		"not a number":       {query: `odd`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query returned NaN"},
		"division by 0":      {query: `queue{pod="a"} / (queue{pod="a"} - queue{pod="a"})`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query returned infinity"},
		"infinity":           {query: `big`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query returned infinity"},
		"a histogram":        {query: `hist`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query returned a histogram; take a quantile, a sum or a count of it"},
		"a string":           {query: `"x"`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query reads no series, so nothing can be said about its age"},
		"a range":            {query: `queue[1m]`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query gives a matrix, not a number"},
		"no signal":          {query: `vector(1)`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query reads no series, so nothing can be said about its age"},
		"no PromQL":          {query: `sum(`, at: 5 * time.Minute, wantState: decision.Invalid, wantReason: "the query is not PromQL: 1:5: parse error: unclosed left parenthesis"},
		"refused by service": {query: `queue * on() dying * on(pod) group_left queue`, at: time.Minute, wantState: decision.Invalid},
		// The engine goes on answering 5 for three more minutes after the signal has died.
		"dead for a minute":  {query: `dying`, at: 3 * time.Minute, wantState: decision.Fresh, wantValue: 5, wantAge: time.Minute},
		"dead for two":       {query: `dying`, at: 4*time.Minute + time.Second, wantState: decision.Stale, wantAge: 2*time.Minute + time.Second, wantReason: "the newest sample of dying is 2m1s old, more than 2m"},
		"dead for long":      {query: `dying`, at: 30 * time.Minute, wantState: decision.Stale, wantAge: 28 * time.Minute, wantReason: "the newest sample of dying is 28m0s old, more than 2m"},
		"dead for very long": {query: `dying`, at: 3 * time.Hour, wantState: decision.Missing, wantReason: "no sample of dying in the last 1h"},
		"one of two dead":    {query: `sum(queue) + sum(dying)`, at: 6 * time.Minute, wantState: decision.Stale, wantAge: 4 * time.Minute, wantReason: "the newest sample of dying is 4m0s old, more than 2m"},
		"marked as ended":    {query: `sum(ended)`, at: 4 * time.Minute, wantState: decision.Missing, wantReason: "the query returned no series"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newService(t, samples).at(tc.at)
			got := s.client(t, nil).Tick().PromQL(t.Context(), tc.query, after)
			require.Equal(t, tc.wantState, got.State, got.Reason)
			if tc.wantReason != "" {
				assert.Equal(t, tc.wantReason, got.Reason)
			}
			switch tc.wantState {
			case decision.Fresh:
				assert.InDelta(t, tc.wantValue, got.Value, 1e-9)
				require.NotNil(t, got.Age)
				assert.Equal(t, tc.wantAge, got.Age.Round(time.Millisecond))
			case decision.Stale:
				require.NotNil(t, got.Age)
				assert.InDelta(t, tc.wantAge.Seconds(), got.Age.Seconds(), 30, "within the step of a deep search")
			}
		})
	}
}

func TestDeepSearchIsNotRepeatedEveryTick(t *testing.T) {
	s := newService(t, samples)
	c := s.client(t, nil)
	for i := range 60 {
		s.at(30*time.Minute + time.Duration(i)*time.Second)
		got := c.Tick().PromQL(t.Context(), `dying`, after)
		require.Equal(t, decision.Stale, got.State)
		assert.InDelta(t, (28*time.Minute + time.Duration(i)*time.Second).Seconds(), got.Age.Seconds(), 30)
	}
	assert.Equal(t, 4, s.queries("max_over_time"))
}

func TestServiceInTrouble(t *testing.T) {
	s := newService(t, samples).at(5 * time.Minute)
	c := s.client(t, nil)
	for status, want := range map[int]decision.State{
		http.StatusServiceUnavailable: decision.Missing, http.StatusTooManyRequests: decision.Missing, http.StatusNotFound: decision.Missing,
		http.StatusBadRequest: decision.Invalid, http.StatusUnprocessableEntity: decision.Invalid,
	} {
		s.fail = status
		got := c.Tick().PromQL(t.Context(), `sum(queue)`, after)
		assert.Equal(t, want, got.State, status)
		assert.Contains(t, got.Reason, "as the test wants")
	}
	s.fail = 0
	assert.Equal(t, decision.Fresh, c.Tick().PromQL(t.Context(), `sum(queue)`, after).State)

	gone := DefaultConfig()
	gone.URL = "http://127.0.0.1:1"
	away, err := NewClient(gone, nil, nil, s.clock, c.metrics)
	require.NoError(t, err)
	defer away.Close()
	got := away.Tick().PromQL(t.Context(), `sum(queue)`, after)
	assert.Equal(t, decision.Missing, got.State)
	assert.Contains(t, got.Reason, "no answer: ask 127.0.0.1:1:")
	assert.NotContains(t, got.Reason, "query=", "the address of a query is of no use to anybody")
}

func TestEqualQueriesAreAskedOnce(t *testing.T) {
	s := newService(t, samples).at(5 * time.Minute)
	c := s.client(t, nil)
	tick := c.Tick()
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { assert.Equal(t, decision.Fresh, tick.PromQL(t.Context(), `sum(queue)`, after).State) })
	}
	group.Wait()
	assert.Len(t, s.asked, 2, "the value and the age")
	c.Tick().PromQL(t.Context(), `sum(queue)`, after)
	assert.Len(t, s.asked, 4, "the next tick asks again")
}

func TestConcurrencyIsBounded(t *testing.T) {
	s := newService(t, samples).at(5 * time.Minute)
	s.block = make(chan struct{})
	tick := s.client(t, nil).Tick()
	var group sync.WaitGroup
	for _, query := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		group.Go(func() { tick.PromQL(t.Context(), query, after) })
	}
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.running == 4 }, 5*time.Second, time.Millisecond)
	close(s.block)
	group.Wait()
	assert.Equal(t, 4, s.most)
}

func TestTimeout(t *testing.T) {
	s := newService(t, samples).at(5 * time.Minute)
	s.block = make(chan struct{})
	defer close(s.block)
	c := s.client(t, nil)
	c.timeout = 20 * time.Millisecond
	got := c.Tick().PromQL(t.Context(), `sum(queue)`, after)
	assert.Equal(t, decision.Missing, got.State)
	assert.Contains(t, got.Reason, "deadline exceeded")

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, decision.Missing, c.Tick().PromQL(canceled, `sum(queue)`, after).State)
}

func TestConfig(t *testing.T) {
	cfg := DefaultConfig()
	require.NoError(t, cfg.Validate())
	prom, loki, err := cfg.endpoints()
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:9428/prometheus", prom.String())
	assert.Equal(t, "http://127.0.0.1:9428", loki.String())
	assert.Equal(t, "http://127.0.0.1:9428/loki/api/v1/query", loki.JoinPath("loki/api/v1/query").String())

	cfg.PrometheusURL, cfg.LokiURL = "https://prometheus:9090", "http://loki:3100/tenant/"
	prom, loki, err = cfg.endpoints()
	require.NoError(t, err)
	assert.Equal(t, "https://prometheus:9090/api/v1/query", prom.JoinPath("api/v1/query").String())
	assert.Equal(t, "http://loki:3100/tenant/loki/api/v1/query", loki.JoinPath("loki/api/v1/query").String())

	for field, edit := range map[string]func(*Config){
		"url:":           func(c *Config) { *c = DefaultConfig(); c.URL = "127.0.0.1:9428" },
		"prometheusURL:": func(c *Config) { c.PrometheusURL = "ftp://x" },
		"lokiURL:":       func(c *Config) { c.LokiURL = "http://" },
		"timeout:":       func(c *Config) { c.Timeout = 0 },
		"concurrency:":   func(c *Config) { c.Concurrency = 0 },
	} {
		broken := cfg
		edit(&broken)
		assert.ErrorContains(t, broken.Validate(), field)
	}
}
