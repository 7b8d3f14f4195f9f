package signal

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// usageSamples are those of an agent that measures every 5 seconds. a has two containers and is measured by a second agent as well; b's
// sidecar is not measured; c has died; d was started a moment ago.
const usageSamples = `
load 5s
  container_cpu_usage_seconds_total{namespace="shop",pod="a",container="main",job="one"} 0+2.5x120
  container_cpu_usage_seconds_total{namespace="shop",pod="a",container="main",job="two"} 0+2.5x120
  container_cpu_usage_seconds_total{namespace="shop",pod="a",container="proxy"} 0+0.5x120
  container_cpu_usage_seconds_total{namespace="shop",pod="a",container=""} 0+3x120
  container_cpu_usage_seconds_total{namespace="shop",pod="a",container="POD"} 0+1x120
  container_cpu_usage_seconds_total{namespace="other",pod="a",container="main"} 0+50x120
  container_cpu_usage_seconds_total{namespace="shop",pod="b",container="main"} 0+1x120
  container_cpu_usage_seconds_total{namespace="shop",pod="c",container="main"} 0+1x12
  container_cpu_usage_seconds_total{namespace="shop",pod="d",container="main"} _x119 5
  container_cpu_usage_seconds_total{namespace="shop",pod="nan",container="main"} _x57 NaN NaN NaN NaN NaN
  container_cpu_usage_seconds_total{namespace="shop",pod="inf",container="main"} _x57 Inf Inf Inf Inf Inf
  container_memory_working_set_bytes{namespace="shop",pod="inf",container="main"} _x57 Inf Inf Inf Inf Inf
  container_memory_working_set_bytes{namespace="shop",pod="a",container="main"} 1000x120
  container_memory_working_set_bytes{namespace="shop",pod="a",container="proxy"} 24x120
`

func usageQuery(resource Resource, pods ...Pod) UsageQuery {
	return UsageQuery{Namespace: "shop", Resource: resource, Pods: pods, Window: 15 * time.Second, After: after}
}

func TestUsage(t *testing.T) {
	a := Pod{"a", []string{"main", "proxy"}}
	b := Pod{"b", []string{"main", "proxy"}}
	c := Pod{"c", []string{"main"}}
	d := Pod{"d", []string{"main"}}
	tests := map[string]struct {
		query      UsageQuery
		want       map[string]float64
		wantState  decision.State
		wantReason string
	}{
		"all containers of a pod":       {usageQuery(CPU, a), map[string]float64{"a": 0.6}, decision.Fresh, ""},
		"memory":                        {usageQuery(Memory, a), map[string]float64{"a": 1024}, decision.Fresh, ""},
		"a pod that is measured partly": {usageQuery(CPU, a, b), map[string]float64{"a": 0.6}, decision.Fresh, ""},
		"only such": {usageQuery(CPU, b), map[string]float64{}, decision.Missing,
			"no pod has samples of container_cpu_usage_seconds_total from which a rate over 15s can be taken"},
		"one container": {func() UsageQuery { q := usageQuery(CPU, a, b); q.Container = "main"; return q }(), map[string]float64{"a": 0.5, "b": 0.2}, decision.Fresh, ""},
		"a pod that is not measured any more": {usageQuery(CPU, c), map[string]float64{}, decision.Stale,
			"the newest sample of container_cpu_usage_seconds_total is 4m0s old, more than 2m"},
		"a pod with one sample so far": {usageQuery(CPU, d), map[string]float64{}, decision.Missing,
			"no pod has samples of container_cpu_usage_seconds_total from which a rate over 15s can be taken"},
		"what is no number is no measurement": {usageQuery(CPU, a, Pod{"nan", []string{"main"}}, Pod{"inf", []string{"main"}}),
			map[string]float64{"a": 0.6}, decision.Fresh, ""},
		"infinite memory": {usageQuery(Memory, a, Pod{"inf", []string{"main"}}), map[string]float64{"a": 1024}, decision.Fresh, ""},
		"no pods":         {usageQuery(CPU), map[string]float64{}, decision.Missing, "the target has no running pods"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at := 5 * time.Minute
			if name == "a pod with one sample so far" {
				at = 10 * time.Minute
			}
			s := newService(t, usageSamples).at(at)
			got := s.client(t, nil).Tick().Usage(t.Context(), tc.query)
			assert.Equal(t, tc.wantState, got.State, got.Reason)
			assert.Equal(t, tc.wantReason, got.Reason)
			values := map[string]float64{}
			for pod, usage := range got.Usage {
				values[pod] = usage.Value
			}
			assert.InDeltaMapValues(t, tc.want, values, 1e-9)
		})
	}
}

func TestUsageQueryInRecords(t *testing.T) {
	s := newService(t, usageSamples).at(5 * time.Minute)
	got := s.client(t, nil).Tick().Usage(t.Context(), usageQuery(CPU, Pod{"a", []string{"main"}}))
	assert.Equal(t, `max by (pod, container) (rate(container_cpu_usage_seconds_total{namespace="shop",pod=~"…",container!="",container!="POD"}[15s]))`, got.Query)
	assert.Equal(t, 15*time.Second, got.Usage["a"].Window)
	assert.Equal(t, s.clock.Now(), got.Usage["a"].Time)
}

// podMetrics is a metrics.k8s.io of the test's.
type podMetrics struct {
	pods map[string]ContainerUsage
	err  error
}

func (p podMetrics) InNamespace(context.Context, string) (map[string]ContainerUsage, error) {
	return p.pods, p.err
}

func TestPodsThatTheQueryServiceDoesNotKnow(t *testing.T) {
	s := newService(t, usageSamples).at(5 * time.Minute)
	at := s.clock.Now().Add(-20 * time.Second)
	metrics := podMetrics{pods: map[string]ContainerUsage{
		"a":     {Time: at, Window: 30 * time.Second, CPU: map[string]float64{"main": 9, "proxy": 9}},
		"x":     {Time: at, Window: 30 * time.Second, CPU: map[string]float64{"main": 0.25}, Memory: map[string]float64{"main": 512}},
		"y":     {Time: at, Window: 30 * time.Second, CPU: map[string]float64{"main": 0.25}},
		"stale": {Time: at.Add(-time.Hour), Window: 30 * time.Second, CPU: map[string]float64{"main": 1}},
	}}
	tick := s.client(t, metrics).Tick()
	got := tick.Usage(t.Context(), usageQuery(CPU, Pod{"a", []string{"main", "proxy"}}, Pod{"x", []string{"main"}}, Pod{"y", []string{"main", "proxy"}}, Pod{"stale", []string{"main"}}, Pod{"nowhere", []string{"main"}}))
	require.Equal(t, decision.Fresh, got.State)
	assert.Len(t, got.Usage, 2)
	assert.InDelta(t, 0.6, got.Usage["a"].Value, 1e-9, "what the query service knows goes first")
	assert.Equal(t, PodUsage{Value: 0.25, Time: at, Window: 30 * time.Second}, got.Usage["x"])
	assert.Equal(t, 20*time.Second, *got.Age)

	s.fail = 503
	got = s.client(t, metrics).Tick().Usage(t.Context(), usageQuery(Memory, Pod{"x", []string{"main"}}))
	assert.Equal(t, decision.Fresh, got.State, "it also stands in when the query service is away")

	got = s.client(t, podMetrics{err: errors.New("this cluster does not serve it")}).Tick().Usage(t.Context(), usageQuery(Memory, Pod{"x", []string{"main"}}))
	assert.Equal(t, decision.Missing, got.State)
	assert.Contains(t, got.Reason, "as the test wants; metrics.k8s.io: this cluster does not serve it")
}
