package replay_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// policy uses every field of a vertical policy.
const policy = `
apiVersion: yagura.dev/v1alpha1
kind: WorkloadAutoscaler
metadata: {name: checkout, namespace: shop, labels: {app: checkout}}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  mode: Apply
  vertical:
    apply: InPlaceOrRecreate
    model: Percentile
    history: 336h
    tolerance: 50m
    growth: Auto
    recreate: {maxUnavailable: 25%, interval: 2m, singleReplica: Surge}
    rollback: {window: 15m, health: {promql: burn, max: "2"}}
    containers:
    - {name: main, resources: [cpu, memory], minAllowed: {cpu: 50m, memory: 64Mi}, maxAllowed: {cpu: 4, memory: 2Gi}, limits: KeepRatio, startup: {factor: 2, duration: 1m}, runtime: JVM}
    - {name: helper, mode: "Off"}
    - {name: "*", resources: [cpu], maxAllowed: {cpu: 500m}}
`

func TestParsePolicy(t *testing.T) {
	p, err := replay.ParsePolicy("policy.yaml", []byte(policy))
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ModelPercentile, p.Spec.Vertical.Model)
	assert.Equal(t, 336*time.Hour, p.Spec.Vertical.History.Duration)

	tests := map[string]struct {
		container string
		resource  vertical.Resource
		want      replay.Rules
		sized     bool
	}{
		"its own rule":               {"main", vertical.CPU, replay.Rules{Min: 0.05, Max: 4, Tolerance: 0.05}, true},
		"memory":                     {"main", vertical.Memory, replay.Rules{Min: 64 << 20, Max: 2 << 30, Tolerance: 0.05}, true},
		"switched off":               {"helper", vertical.CPU, replay.Rules{}, false},
		"the rule for all":           {"other", vertical.CPU, replay.Rules{Max: 0.5, Tolerance: 0.05}, true},
		"a resource it does not set": {"other", vertical.Memory, replay.Rules{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, sized := replay.RulesFor(p, tc.container, tc.resource)
			assert.Equal(t, tc.sized, sized)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestTheSmallestPolicy(t *testing.T) {
	p, err := replay.ParsePolicy("policy.yaml", []byte("---\n# a comment\n---\n"+`{"apiVersion": "yagura.dev/v1alpha1", "kind": "WorkloadAutoscaler",
		"metadata": {"name": "x"}, "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Job", "name": "x"}, "vertical": {}}}`))
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ModelAuto, p.Spec.Vertical.Model)
	rules, sized := replay.RulesFor(p, "any", vertical.Memory)
	assert.True(t, sized)
	assert.Equal(t, replay.Rules{Tolerance: 0.1}, rules)
}

func TestPoliciesThatAreRefused(t *testing.T) {
	tests := map[string]struct{ old, new, want string }{
		"an unknown field":               {"growth: Auto", "shrink: 3", `unknown field "spec.vertical.shrink"`},
		"an unknown field of a rule":     {"limits: KeepRatio", "limit: KeepRatio", `unknown field "spec.vertical.containers[0].limit"`},
		"another case":                   {"tolerance: 50m", "Tolerance: 50m", `unknown field "spec.vertical.Tolerance"`},
		"a key twice":                    {"mode: Apply", "mode: Apply\n  mode: Observe", `"mode" already set`},
		"an unknown model":               {"model: Percentile", "model: Guess", "spec.vertical.model"},
		"an unknown mode":                {"mode: Apply", "mode: Auto", "spec.mode"},
		"Off without quotes":             {`mode: "Off"`, "mode: Off", "spec.vertical.containers[1].mode must be of type string"},
		"no target":                      {"targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}", "", "spec.targetRef"},
		"a kind that is none":            {"kind: Deployment", "kind: deployment", "spec.targetRef.kind"},
		"no workload":                    {"kind: Deployment", "kind: Pod", "spec.targetRef.kind: this kind is no workload"},
		"another API":                    {"yagura.dev/v1alpha1", "yagura.dev/v1", `want yagura.dev/v1alpha1`},
		"another kind":                   {"kind: WorkloadAutoscaler", "kind: VerticalPodAutoscaler", `kind "VerticalPodAutoscaler"`},
		"a short history":                {"history: 336h", "history: 5m", "spec.vertical.history: must be a duration from 1h to 2160h"},
		"a history that is none":         {"history: 336h", "history: long", `"long"`},
		"a negative tolerance":           {"tolerance: 50m", "tolerance: -1", "spec.vertical.tolerance: must not be negative"},
		"a quantity that is none":        {"cpu: 50m,", "cpu: much,", "spec.vertical.containers[0].minAllowed.cpu should match"},
		"a minimum above the maximum":    {"cpu: 50m,", "cpu: 5,", "spec.vertical.containers[0]: minAllowed.cpu is above maxAllowed.cpu"},
		"a resource that is none":        {"resources: [cpu, memory]", "resources: [disk]", "spec.vertical.containers[0].resources[0] should match"},
		"a resource twice":               {"resources: [cpu, memory]", "resources: [cpu, cpu]", `spec.vertical.containers[0].resources[1]: duplicate value "cpu"`},
		"a container twice":              {"name: helper", "name: main", `spec.vertical.containers[1].name: duplicate value "main"`},
		"a name that is none":            {"name: helper", "name: Helper", "spec.vertical.containers[1].name should match"},
		"two kinds of start":             {"{factor: 2,", "{factor: 2, cpu: 1,", "spec.vertical.containers[0].startup: exactly one of factor and cpu must be set"},
		"a factor below 1":               {"{factor: 2,", "{factor: 500m,", "spec.vertical.containers[0].startup.factor: must be at least 1"},
		"a long start":                   {"duration: 1m", "duration: 2h", "spec.vertical.containers[0].startup.duration"},
		"too short an interval":          {"interval: 2m", "interval: 0s", "spec.vertical.recreate.interval"},
		"too long a window":              {"window: 15m", "window: 25h", "spec.vertical.rollback.window"},
		"no number of pods":              {"maxUnavailable: 25%", "maxUnavailable: 0%", "spec.vertical.recreate.maxUnavailable"},
		"two policies":                   {"spec:", "spec: {}\n---\nspec:", "more than one document"},
		"replicas of a DaemonSet":        {"kind: Deployment", "kind: DaemonSet", ""},
		"a vertical policy alone is one": {"name: checkout, namespace", "name: checkout, namespace", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, policy, tc.old)
			_, err := replay.ParsePolicy("policy.yaml", []byte(strings.Replace(policy, tc.old, tc.new, 1)))
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			assert.ErrorContains(t, err, "policy.yaml")
		})
	}
}

func TestPoliciesThatAreNone(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":     {"", "empty"},
		"a comment":   {"# later\n", "empty"},
		"a list":      {"[1, 2]", "want a WorkloadAutoscaler"},
		"a word":      {"hello", "want a WorkloadAutoscaler"},
		"broken YAML": {"spec: {", "yaml"},
		"no spec":     {"apiVersion: yagura.dev/v1alpha1\nkind: WorkloadAutoscaler\n", "spec"},
		"horizontal only": {strings.Split(policy, "  vertical:")[0] + "  horizontal: {max: 3, objectives: [{name: cpu, resource: {name: cpu, utilization: 70}}]}\n",
			"horizontal policies come later"},
		"neither": {strings.Split(policy, "  vertical:")[0], "horizontal, vertical or both must be set"},
		"min above max": {policy + "  horizontal: {min: 4, max: 3, objectives: [{name: cpu, resource: {name: cpu, utilization: 70}}]}\n",
			"spec.horizontal: min must not be above max"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := replay.ParsePolicy("policy.yaml", []byte(tc.text))
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestModelByName(t *testing.T) {
	for _, name := range []string{"VPA", "vpa", "Vpa"} {
		m, err := replay.ModelByName(name)
		require.NoError(t, err)
		assert.Equal(t, v1alpha1.ModelVPA, m)
	}
	_, err := replay.ModelByName("ARIMA")
	require.ErrorContains(t, err, "Auto, VPA, Percentile, Peak, Forecast, Autopilot")
}

// TestDocumentedPolicies reads what the documentation shows.
func TestDocumentedPolicies(t *testing.T) {
	files, err := filepath.Glob("../../docs/*/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.HasPrefix(block, "apiVersion: yagura.dev/v1alpha1\nkind: WorkloadAutoscaler\n") || !strings.Contains(block, "\n  vertical:") || strings.Contains(block, "…") {
				continue
			}
			_, err := replay.ParsePolicy(file, []byte(block))
			assert.NoError(t, err, "block %d", i)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(policy)
	f.Add("")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := replay.ParsePolicy("policy.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory} {
			replay.RulesFor(p, "main", resource)
		}
	})
}
