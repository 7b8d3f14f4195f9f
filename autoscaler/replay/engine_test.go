package replay_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// lastValue is a model that asks for a factor of the newest sample, and of what a kill reports.
type lastValue struct {
	factor float64
	value  float64
	known  bool
	floor  float64
	kills  []vertical.OOM
}

func (m *lastValue) Observe(s vertical.Sample) bool {
	m.value, m.known = s.Value, true
	return true
}

func (m *lastValue) ObserveOOM(o vertical.OOM) {
	m.kills = append(m.kills, o)
	m.value = 2 * o.Usage
}

func (m *lastValue) Estimate(time.Time) (vertical.Estimate, bool) {
	return vertical.Estimate{Target: m.factor * m.value, Floor: m.floor, Model: "LastValue", Reason: "the newest sample", Confidence: 1}, m.known
}

func factory(factor float64) func(string, vertical.Resource) (vertical.Model, error) {
	return func(string, vertical.Resource) (vertical.Model, error) { return &lastValue{factor: factor}, nil }
}

func run(t *testing.T, cfg replay.Config, resource vertical.Resource, usage ...float64) (*replay.Engine, []replay.Step) {
	t.Helper()
	engine, err := replay.New(cfg)
	require.NoError(t, err)
	steps := make([]replay.Step, len(usage))
	for i, u := range usage {
		steps[i], err = engine.Step(replay.Sample{Container: "web", Resource: resource, Time: start.Add(time.Duration(i) * time.Hour), Usage: u})
		require.NoError(t, err)
	}
	return engine, steps
}

func rules(r replay.Rules) func(string, vertical.Resource) replay.Rules {
	return func(string, vertical.Resource) replay.Rules { return r }
}

func requests(steps []replay.Step) []float64 {
	values := make([]float64, len(steps))
	for i, s := range steps {
		if s.Request != nil {
			values[i] = *s.Request
		}
	}
	return values
}

func TestARequestIsDecidedBeforeItsSample(t *testing.T) {
	engine, steps := run(t, replay.Config{Model: factory(1)}, vertical.CPU, 1, 2, 4, 1, 1)
	assert.Equal(t, []float64{0, 1, 2, 4, 1}, requests(steps))
	assert.Nil(t, steps[0].Request, "nothing is known before the first sample")

	got := engine.Summary()[vertical.CPU]
	assert.InDelta(t, (0+0+0.75+0)/4.0, got.Slack, 1e-12)
	assert.InDelta(t, 0.5, got.OverRequest, 1e-12)
	assert.Equal(t, 3, got.Changes, "1 to 2, to 4, to 1")
	assert.Equal(t, 0, got.OOMs, "CPU kills nobody")
	assert.Equal(t, 4, got.Samples)
	assert.Equal(t, 1, got.Unsized)
	assert.InDelta(t, 1+2+4+1, got.Requested, 1e-12, "core-hours, a request counts in the interval in which it was in force")
}

func TestTheFutureIsNotSeen(t *testing.T) {
	past := []float64{1, 3, 2, 5, 4, 4}
	_, short := run(t, replay.Config{Model: factory(1.1)}, vertical.Memory, past...)
	for _, future := range []float64{0, 100, 1e12} {
		_, long := run(t, replay.Config{Model: factory(1.1)}, vertical.Memory, append(past[:len(past):len(past)], future, 1)...)
		assert.Equal(t, short, long[:len(short)])
	}
}

func TestAKillIsAnswered(t *testing.T) {
	const mib = 1 << 20
	var model *lastValue
	cfg := replay.Config{
		Model: func(string, vertical.Resource) (vertical.Model, error) {
			model = &lastValue{factor: 1}
			return model, nil
		},
		Rules: rules(replay.Rules{Every: 24 * time.Hour}),
	}
	engine, steps := run(t, cfg, vertical.Memory, 100*mib, 90*mib, 150*mib, 160*mib)
	require.Len(t, model.kills, 1)
	assert.Equal(t, vertical.OOM{Time: start.Add(2 * time.Hour), Limit: 100 * mib, Usage: 150 * mib}, model.kills[0])
	assert.True(t, steps[2].OOM)
	assert.Equal(t, []float64{0, 100 * mib, 100 * mib, 300 * mib}, requests(steps), "at once, although the next decision is a day away")
	assert.Contains(t, steps[2].Reason, "killed at 100 MiB using 150 MiB")
	got := engine.Summary()[vertical.Memory]
	assert.Equal(t, 1, got.OOMs)
	assert.InDelta(t, 1/3.0, got.OverRequest, 1e-12)
}

func TestUsageEqualToTheRequestIsNotOver(t *testing.T) {
	_, steps := run(t, replay.Config{Model: factory(1)}, vertical.Memory, 8<<20, 8<<20)
	assert.False(t, steps[1].Over)
	assert.False(t, steps[1].OOM)
}

func TestRules(t *testing.T) {
	tests := map[string]struct {
		resource vertical.Resource
		rules    replay.Rules
		floor    float64
		usage    []float64
		want     []float64 // requests in force
	}{
		"the least CPU is a thousandth":          {vertical.CPU, replay.Rules{}, 0, []float64{0, 0}, []float64{0, 0.001}},
		"the least memory is 4 MiB":              {vertical.Memory, replay.Rules{}, 0, []float64{0, 0}, []float64{0, 4 << 20}},
		"CPU is rounded up to thousandths":       {vertical.CPU, replay.Rules{}, 0, []float64{0.1001, 0}, []float64{0, 0.101}},
		"a minimum":                              {vertical.CPU, replay.Rules{Min: 0.5}, 0, []float64{0.1, 0.2, 0.7, 0.1}, []float64{0, 0.5, 0.5, 0.7}},
		"a maximum":                              {vertical.CPU, replay.Rules{Max: 0.5}, 0, []float64{0.1, 2, 0}, []float64{0, 0.1, 0.5}},
		"within the tolerance nothing changes":   {vertical.CPU, replay.Rules{Tolerance: 0.1}, 0, []float64{1, 1.09, 0.91, 1.11, 0}, []float64{0, 1, 1, 1, 1.11}},
		"memory is rounded up to MiB":            {vertical.Memory, replay.Rules{}, 0, []float64{10<<20 + 1, 0}, []float64{0, 11 << 20}},
		"a maximum below the minimum":            {vertical.CPU, replay.Rules{Min: 2, Max: 1}, 0, []float64{3, 3}, []float64{0, 1}},
		"what is declared is in force at first":  {vertical.CPU, replay.Rules{Declared: 2}, 0, []float64{3, 3}, []float64{2, 3}},
		"a cadence":                              {vertical.CPU, replay.Rules{Every: 2 * time.Hour}, 0, []float64{1, 2, 3, 4, 5}, []float64{0, 1, 1, 3, 3}},
		"memory does not shrink below the floor": {vertical.Memory, replay.Rules{}, 64 << 20, []float64{100 << 20, 10 << 20, 10 << 20}, []float64{0, 100 << 20, 64 << 20}},
		"the floor is no reason to grow":         {vertical.Memory, replay.Rules{}, 64 << 20, []float64{50 << 20, 10 << 20, 10 << 20}, []float64{0, 50 << 20, 50 << 20}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := replay.Config{Rules: rules(tc.rules), Model: func(string, vertical.Resource) (vertical.Model, error) {
				return &lastValue{factor: 1, floor: tc.floor}, nil
			}}
			_, steps := run(t, cfg, tc.resource, tc.usage...)
			assert.InDeltaSlice(t, tc.want, requests(steps), 1e-9)
		})
	}
}

func TestWarmupCountsFromEachContainersFirstSample(t *testing.T) {
	engine, err := replay.New(replay.Config{Model: factory(1), Warmup: 2 * time.Hour})
	require.NoError(t, err)
	counted := map[string]int{}
	for hour := range 6 {
		for container, first := range map[string]int{"early": 0, "late": 3} {
			if hour < first {
				continue
			}
			step, err := engine.Step(replay.Sample{Container: container, Resource: vertical.CPU, Time: start.Add(time.Duration(hour) * time.Hour), Usage: 1})
			require.NoError(t, err)
			assert.Equal(t, hour < first+2, step.Warmup, "%s at %d: a sample at the very end of the warm-up counts", container, hour)
			if !step.Warmup {
				counted[container]++
			}
		}
	}
	assert.Equal(t, map[string]int{"early": 4, "late": 1}, counted)
	got := engine.Summary()[vertical.CPU]
	assert.Equal(t, 5, got.Samples)
	assert.Equal(t, 2, got.Containers)
	per := engine.Containers()
	require.Len(t, per, 2)
	assert.Equal(t, "early", per[0].Container)
	assert.Equal(t, 4, per[0].Samples)
}

func TestAGapCostsNothing(t *testing.T) {
	engine, err := replay.New(replay.Config{Model: factory(1), Prices: replay.Prices{CPU: 2}})
	require.NoError(t, err)
	for _, at := range []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 7 * 24 * time.Hour} {
		_, err := engine.Step(replay.Sample{Container: "web", Resource: vertical.CPU, Time: start.Add(at), Usage: 1})
		require.NoError(t, err)
	}
	got := engine.Summary()[vertical.CPU]
	assert.InDelta(t, 0.25, got.Requested, 1e-9, "a week without samples counts as one interval of five minutes")
	assert.InDelta(t, 0.5, got.Cost, 1e-9)
}

func TestSamplesThatCannotBe(t *testing.T) {
	tests := map[string]struct {
		at    time.Duration
		usage float64
		want  string
	}{
		"a negative one":   {time.Hour, -1, "not negative"},
		"not a number":     {time.Hour, math.NaN(), "finite"},
		"infinite":         {time.Hour, math.Inf(1), "finite"},
		"the same time":    {0, 1, "container web has a sample of that time already"},
		"an earlier time":  {-time.Minute, 1, "has a sample of 2026-01-05T00:00:00Z before it"},
		"a time just past": {time.Nanosecond, 1, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			engine, _ := run(t, replay.Config{Model: factory(1)}, vertical.CPU, 1)
			_, err := engine.Step(replay.Sample{Container: "web", Resource: vertical.CPU, Time: start.Add(tc.at), Usage: tc.usage})
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := replay.New(replay.Config{})
	require.Error(t, err)
	_, err = replay.New(replay.Config{Model: factory(1), Warmup: -1})
	require.Error(t, err)
}

func TestSummaryInJSON(t *testing.T) {
	one := replay.Summary{vertical.CPU: {Slack: 0.25, OverRequest: 0.5, OOMs: 1, Changes: 2}}
	two := replay.Summary{vertical.CPU: {Slack: 0.25}, vertical.Memory: {Slack: 0.75}}
	var flat map[string]any
	decode(t, one, &flat)
	assert.Equal(t, 0.25, flat["slack"])
	assert.Equal(t, 0.5, flat["over_request"])
	assert.Equal(t, 1.0, flat["ooms"])
	assert.Equal(t, 2.0, flat["changes"])
	var nested map[string]map[string]any
	decode(t, two, &nested)
	assert.Equal(t, 0.25, nested["cpu"]["slack"])
	assert.Equal(t, 0.75, nested["memory"]["slack"])
	assert.Len(t, nested, 2)
}

func decode(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, to))
}
