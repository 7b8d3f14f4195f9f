package vertical_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// How VPA's own recommender stands in the tables: its recommendations taken over once an hour, as its updater needs some time for,
// and of every sample.
const (
	rowPeer     = "VerticalPodAutoscaler 1.8.1, hourly"
	rowPeerBare = "the same without its floor"
	rowVPAHour  = "VPA, hourly"
)

// contestant is a row of a table.
type contestant struct {
	name  string
	model func(container string, resource vertical.Resource) (vertical.Model, error)
	rules replay.Rules
}

func contestants() []contestant {
	policy := &v1alpha1.WorkloadAutoscaler{Spec: v1alpha1.WorkloadAutoscalerSpec{Vertical: &v1alpha1.VerticalPolicy{}}}
	peer := func(o vpa.Options) func(string, vertical.Resource) (vertical.Model, error) {
		return func(_ string, resource vertical.Resource) (vertical.Model, error) {
			return newVPAPeer(resource, o), nil
		}
	}
	exact := func(_ string, resource vertical.Resource) (vertical.Model, error) {
		return vertical.NewVPA(resource, vpa.DefaultOptions())
	}
	hourly := replay.Rules{Every: time.Hour}
	rows := []contestant{
		{rowPeer, peer(vpa.DefaultOptions()), hourly},
		{rowVPAHour, exact, hourly},
		{rowPeerBare, peer(vpa.DefaultOptions().WithoutFloor()), hourly},
	}
	for _, name := range []v1alpha1.EstimationModel{v1alpha1.ModelVPA, v1alpha1.ModelPercentile, v1alpha1.ModelPeak, v1alpha1.ModelForecast, v1alpha1.ModelAutopilot, v1alpha1.ModelAuto} {
		rows = append(rows, contestant{string(name), replay.Models(policy, name), replay.Rules{Tolerance: replay.DefaultTolerance}})
	}
	return rows
}

// run replays a data set with a row's model. Warm-up is a day, or a fifth of a series that lasts less than five.
func (c contestant) run(t *testing.T, set dataSet) replay.Totals {
	t.Helper()
	engine, err := replay.New(replay.Config{
		Model: c.model, Warmup: set.warmup(),
		Rules: func(string, vertical.Resource) replay.Rules { return c.rules },
	})
	require.NoError(t, err)
	for _, s := range set.series {
		for _, sample := range s {
			_, err := engine.Step(sample)
			require.NoError(t, err)
		}
	}
	return engine.Summary()[set.resource]
}

// TestEvidence holds every model against VPA's own recommender on measured usage, in the order of time, each decision from the
// samples before it. With -v it prints the tables of docs/reference/benchmarks.md.
func TestEvidence(t *testing.T) {
	sets, rows := dataSets(t), contestants()
	if raceEnabled {
		// The rows that the set is held to.
		rows = slices.DeleteFunc(rows, func(c contestant) bool {
			return !slices.Contains([]string{rowPeer, rowVPAHour, vertical.Autopilot, vertical.Auto}, c.name)
		})
	}
	for _, set := range sets {
		t.Run(set.name, func(t *testing.T) {
			results := map[string]replay.Totals{}
			var table strings.Builder
			fmt.Fprintf(&table, "| %s | slack | over the request | OOMs | OOMs per container and day | changes per container and day |\n|---|---:|---:|---:|---:|---:|\n", set.title())
			for _, c := range rows {
				r := c.run(t, set)
				results[c.name] = r
				days := r.ContainerHours / 24
				fmt.Fprintf(&table, "| %s | %.3f | %.2f%% | %d | %.2f | %.1f |\n", c.name, r.Slack, 100*r.OverRequest, r.OOMs, float64(r.OOMs)/days, float64(r.Changes)/days)
			}
			if set.resource == vertical.CPU {
				checkOracles(t, set, results, &table)
			}
			t.Log("\n" + table.String())

			assert.Equal(t, results[rowPeer], results[rowVPAHour], "our estimator is VPA's")
			peer, auto := results[rowPeer], results["Auto"]
			assert.Greater(t, peer.Samples, 1000)
			assert.Less(t, auto.Slack, peer.Slack, "slack, against VPA's")
			assert.LessOrEqual(t, auto.Slack, set.auto.Slack, "slack")
			assert.LessOrEqual(t, auto.OverRequest, set.auto.OverRequest, "time over the request")
			assert.LessOrEqual(t, auto.OOMs, set.auto.OOMs, "OOMs")
		})
	}
}

// checkOracles adds what is possible in hindsight to a table, with no more time over the request than VPA's.
func checkOracles(t *testing.T, set dataSet, results map[string]replay.Totals, table *strings.Builder) {
	peer := results[rowPeer]
	constant, over := newOracle(set, 1).best(peer.OverRequest)
	fmt.Fprintf(table, "| in hindsight: the best constant request | %.3f | %.2f%% | | | 0 |\n", constant, 100*over)
	following, over := newOracle(set, 10).best(peer.OverRequest)
	fmt.Fprintf(table, "| in hindsight: the best for each tenth of the usage before | %.3f | %.2f%% | | | |\n", following, 100*over)
	if set.auto.Slack > 0.25 {
		assert.Greater(t, following, 0.6, "nobody has little slack at so little time over the request")
	}
	assert.True(t, slices.ContainsFunc([]string{vertical.Auto, vertical.Autopilot}, func(name string) bool {
		return results[name].Slack < peer.Slack && results[name].OverRequest <= peer.OverRequest
	}), "a model with less slack than VPA and no more time over the request")
}
