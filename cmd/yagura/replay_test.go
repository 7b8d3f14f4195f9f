package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/replay"
)

const replayPolicy = `
apiVersion: yagura.dev/v1alpha1
kind: WorkloadAutoscaler
metadata: {name: checkout, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  vertical:
    model: VPA
    containers:
    - {name: main, minAllowed: {cpu: 50m}, maxAllowed: {cpu: 4}}
    - {name: "*", mode: "Off"}
`

func runReplay(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"replay"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// usage is n samples, five minutes apart, the last of which is a tenfold peak.
func usage(n int, value float64) string {
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range n {
		v := value
		if i == n-1 {
			v = 10 * value
		}
		fmt.Fprintf(&b, "%s,%g\n", at.Add(time.Duration(i)*5*time.Minute).Format(time.DateTime), v)
	}
	return b.String()
}

// replayed is the documented part of the JSON.
type replayed struct {
	Steps   []replay.Step
	Summary map[string]any
	Compare *struct {
		Model   string
		Steps   []replay.Step
		Summary map[string]any
	}
}

func TestReplayOfOneResource(t *testing.T) {
	policy := write(t, "policy.yaml", replayPolicy)
	out, err := runReplay(t, usage(600, 0.5), "-f", policy, "--usage", "cpu=-", "--warmup", "24h", "--output", "json")
	require.NoError(t, err)
	var got replayed
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got.Steps, 600)
	assert.Nil(t, got.Steps[0].Request)
	assert.Equal(t, "main", got.Steps[0].Container, "the only one that the policy has a rule for")
	assert.Equal(t, "VPA", got.Steps[1].Model)
	assert.True(t, got.Steps[287].Warmup)
	assert.False(t, got.Steps[288].Warmup)
	assert.True(t, got.Steps[599].Over)
	assert.Nil(t, got.Compare)

	var slack, over float64
	for _, s := range got.Steps[288:] {
		slack += max(0, 1 - s.Usage / *s.Request)
		if s.Usage > *s.Request {
			over++
		}
	}
	assert.InDelta(t, slack/312, got.Summary["slack"], 1e-12)
	assert.InDelta(t, over/312, got.Summary["over_request"], 1e-12)
	assert.Equal(t, 0.0, got.Summary["ooms"])
	assert.Equal(t, 0.0, got.Summary["changes"])
}

func TestReplayOfTwoResourcesAgainstAnotherModel(t *testing.T) {
	policy := write(t, "policy.yaml", replayPolicy)
	args := []string{"-f", policy, "--usage", "cpu=" + write(t, "cpu.csv", usage(600, 0.5)), "--usage", "memory=" + write(t, "memory.csv", usage(600, 1<<27)),
		"--warmup", "1d", "--compare", "peak"}
	out, err := runReplay(t, "", append(args, "-o", "json")...)
	require.NoError(t, err)
	var got replayed
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Len(t, got.Steps, 1200)
	require.NotNil(t, got.Compare)
	assert.Equal(t, "Peak", got.Compare.Model)
	assert.Len(t, got.Compare.Steps, 1200)
	for _, summary := range []map[string]any{got.Summary, got.Compare.Summary} {
		require.Len(t, summary, 2)
		for _, resource := range []string{"cpu", "memory"} {
			of, ok := summary[resource].(map[string]any)
			require.True(t, ok, resource)
			for _, name := range []string{"slack", "over_request", "ooms", "changes"} {
				assert.Contains(t, of, name)
			}
		}
		assert.Equal(t, 1.0, summary["memory"].(map[string]any)["ooms"])
		assert.Equal(t, 0.0, summary["cpu"].(map[string]any)["ooms"])
	}
	killed := got.Steps[1199]
	assert.True(t, killed.OOM)
	assert.Contains(t, killed.Reason, "killed at ")
	assert.Greater(t, *killed.Next, *killed.Request)

	text, err := runReplay(t, "", args...)
	require.NoError(t, err)
	for _, want := range []string{"Policy shop/checkout, model VPA", "VPA", "Peak", "slack", "OOMs per container-day", "GiB-hours requested", "cost", "Kills for memory, VPA", "▁", "main memory"} {
		assert.Contains(t, text, want)
	}
}

func TestReplayRefuses(t *testing.T) {
	policy := write(t, "policy.yaml", replayPolicy)
	cpu := write(t, "cpu.csv", usage(10, 0.5))
	horizontal := strings.Split(replayPolicy, "  vertical:")[0] + "  horizontal: {max: 3, objectives: [{name: cpu, resource: {name: cpu, utilization: 70}}]}\n"
	tests := map[string]struct {
		args []string
		want string
	}{
		"no policy":                   {[]string{"--usage", "cpu=" + cpu}, "--filename"},
		"a policy that is not there":  {[]string{"-f", "nowhere.yaml", "--usage", "cpu=" + cpu}, "nowhere.yaml"},
		"an unknown field":            {[]string{"-f", write(t, "p.yaml", replayPolicy+"    shrink: 1\n"), "--usage", "cpu=" + cpu}, `unknown field "spec.vertical.shrink"`},
		"a horizontal policy":         {[]string{"-f", write(t, "p.yaml", horizontal), "--usage", "cpu=" + cpu}, "horizontal policies come later"},
		"no usage":                    {[]string{"-f", policy}, "--usage: want cpu=FILE"},
		"usage of nothing":            {[]string{"-f", policy, "--usage", cpu}, "want cpu=FILE or memory=FILE"},
		"usage of disks":              {[]string{"-f", policy, "--usage", "disk=" + cpu}, "want cpu=FILE or memory=FILE"},
		"usage that is not there":     {[]string{"-f", policy, "--usage", "cpu=nowhere.csv"}, "nowhere.csv"},
		"two of standard input":       {[]string{"-f", policy, "--usage", "cpu=-", "--usage", "memory=-"}, "only one of them"},
		"an empty file":               {[]string{"-f", policy, "--usage", "cpu=" + write(t, "e.csv", "timestamp,value\n")}, "no samples"},
		"a bad row":                   {[]string{"-f", policy, "--usage", "cpu=" + write(t, "b.csv", "timestamp,value\n100,1\n160,-1\n")}, `b.csv:3: value "-1": must not be negative`},
		"rows out of order":           {[]string{"-f", policy, "--usage", "cpu=" + write(t, "o.csv", "100,1\n40,1\n")}, "o.csv:2: timestamp 1970-01-01T00:00:40Z"},
		"containers that are not his": {[]string{"-f", policy, "--usage", "cpu=" + write(t, "c.csv", "100,1,other\n")}, "sizes cpu of none"},
		"an unknown model":            {[]string{"-f", policy, "--usage", "cpu=" + cpu, "--compare", "ARIMA"}, "--compare: unknown model"},
		"an unknown output":           {[]string{"-f", policy, "--usage", "cpu=" + cpu, "-o", "yaml"}, "--output"},
		"a negative price":            {[]string{"-f", policy, "--usage", "cpu=" + cpu, "--price", "cpu=-1"}, "--price cpu=-1"},
		"a price of disks":            {[]string{"-f", policy, "--usage", "cpu=" + cpu, "--price", "disk=1"}, "--price disk"},
		"no request":                  {[]string{"-f", policy, "--usage", "cpu=" + cpu, "--requests", "cpu=0"}, "--requests cpu=0"},
		"a warm-up that is none":      {[]string{"-f", policy, "--usage", "cpu=" + cpu, "--warmup", "long"}, "warmup"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(tc.args, "-o") {
				tc.args = append(tc.args, "-o", "json")
			}
			out, err := runReplay(t, "", tc.args...)
			require.ErrorContains(t, err, tc.want)
			assert.Empty(t, out, "nothing is printed of what is not good")
		})
	}
}

func TestReplayPricesAndRequests(t *testing.T) {
	policy := write(t, "policy.yaml", replayPolicy)
	out, err := runReplay(t, usage(13, 1), "-f", policy, "--usage", "cpu=-", "--requests", "cpu=2", "--every", "1d", "--price", "cpu=0.5", "-o", "json")
	require.NoError(t, err)
	var got replayed
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.NotNil(t, got.Steps[0].Request)
	assert.InDelta(t, 2, *got.Steps[0].Request, 1e-12)
	assert.Equal(t, 0.0, got.Summary["unsized"])
	cost := 0.5 * got.Summary["requested"].(float64)
	assert.InDelta(t, cost, got.Summary["cost"], 1e-9)
}
