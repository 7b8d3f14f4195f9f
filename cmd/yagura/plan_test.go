package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runPlan runs `yagura plan` with arguments.
func runPlan(stdin string, args ...string) (string, error) {
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetArgs(append([]string{"plan"}, args...))
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.Execute()
	return out.String(), err
}

func planFiles(more ...string) []string {
	dir := filepath.Join("testdata", "plan")
	return append([]string{"--pods", filepath.Join(dir, "pods.yaml"), "--nodes", filepath.Join(dir, "nodes.yaml"), "--offers", filepath.Join(dir, "offers.json")}, more...)
}

func TestPlanText(t *testing.T) {
	for name, args := range map[string][]string{
		"plan":        nil,
		"with-policy": {"--policy", filepath.Join("testdata", "plan", "policy.yaml")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := runPlan("", planFiles(args...)...)
			require.NoError(t, err)
			// What evictions are worth is consolidation's business, and tuned there.
			got = regexp.MustCompile(`evictions worth [0-9.]+`).ReplaceAllString(got, "evictions worth SOMETHING")
			golden := filepath.Join("testdata", "plan", name+".txt")
			if os.Getenv("YAGURA_UPDATE_GOLDEN") != "" {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

func TestPlanJSON(t *testing.T) {
	out, err := runPlan("", planFiles("--output", "json")...)
	require.NoError(t, err)
	var got struct {
		Create []struct {
			Offer, Zone, CapacityType string
			Pods                      []string
		}
		Remove        []string
		Unschedulable []struct {
			Pod     string
			Reasons []string
		}
		Cost        struct{ Before, After, LowerBound float64 }
		PlanSeconds float64
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got.Create, 1)
	assert.Equal(t, "m-16x", got.Create[0].Offer)
	assert.Equal(t, "a", got.Create[0].Zone)
	assert.Equal(t, "on-demand", got.Create[0].CapacityType)
	assert.ElementsMatch(t, []string{"default/big", "shop/web-1", "shop/web-2"}, got.Create[0].Pods, "what is bought for one pod takes those of two nodes that are not needed any more")
	assert.Equal(t, []string{"empty", "old-1", "old-2"}, got.Remove)
	require.Len(t, got.Unschedulable, 1)
	assert.Equal(t, "default/moon", got.Unschedulable[0].Pod)
	assert.NotEmpty(t, got.Unschedulable[0].Reasons)
	assert.InDelta(t, 0.6, got.Cost.Before, 1e-9)
	assert.InDelta(t, 0.8, got.Cost.After, 1e-9)
	assert.LessOrEqual(t, got.Cost.LowerBound, got.Cost.After+1e-9)
	assert.Positive(t, got.PlanSeconds)
}

func TestPlanOfNothing(t *testing.T) {
	out, err := runPlan(`{"apiVersion": "v1", "kind": "List", "items": []}`, "--pods", "-", "--offers", filepath.Join("testdata", "plan", "offers.json"), "-o", "json")
	require.NoError(t, err)
	var got map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	for _, list := range []string{"create", "remove", "unschedulable", "placed", "preempting", "stays", "removals"} {
		assert.JSONEq(t, "[]", string(got[list]), list)
	}
}

// TestPlanForms plans for the same pods in every form that files have.
func TestPlanForms(t *testing.T) {
	const a, b = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}`
	for name, pods := range map[string]string{
		"List":               `{"apiVersion": "v1", "kind": "List", "items": [` + a + "," + b + `]}`,
		"PodList":            `{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}`,
		"JSON objects":       a + "\n" + b,
		"array":              "[" + a + "," + b + "]",
		"YAML documents":     "# first\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n---\n",
		"YAML List":          "apiVersion: v1\nkind: List\nitems:\n- " + a + "\n- " + b + "\n",
		"byte order mark":    "\xef\xbb\xbf" + a + b,
		"with other kinds":   a + b + `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "c"}}`,
		"a list in a list":   `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]}, ` + b + `]}`,
		"kind without items": a + b + `{"apiVersion": "v1", "kind": "PodList"}`,
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runPlan(pods, "--pods", "-", "--offers", filepath.Join("testdata", "plan", "offers.json"), "-o", "json")
			require.NoError(t, err)
			pods := regexp.MustCompile(`"default/[ab]"`).FindAllString(out, -1)
			assert.ElementsMatch(t, []string{`"default/a"`, `"default/b"`}, pods)
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	pod := func(spec string) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": %s}`, spec)
	}
	const head = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`
	for name, tc := range map[string]struct{ pods, want string }{
		"text":                  {"hello", "--pods: stdin: document 1: want an object"},
		"cut JSON":              {`{"kind": "Pod"`, "--pods: stdin: byte "},
		"cut YAML":              {"a: [", "--pods: stdin: document 1:"},
		"no kind":               {`{"apiVersion": "v1"}`, "--pods: stdin: kind: missing"},
		"no version":            {head + `{"kind": "Pod"}`, "--pods: stdin: document 2: apiVersion: missing"},
		"no name":               {`{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}, {}]}`, "--pods: stdin: items[1]: Pod: metadata.name: missing"},
		"the same twice":        {head + head, "stdin: document 2: Pod default/a: metadata.name: the same as at stdin"},
		"a field of a type":     {pod(`{"containers": "x"}`), "spec.containers"},
		"a quantity":            {pod(`{"containers": [{"name": "c", "resources": {"requests": {"cpu": "lots"}}}]}`), "spec.containers[0].resources.requests.cpu"},
		"a negative quantity":   {pod(`{"containers": [{"name": "c", "resources": {"requests": {"cpu": "-1"}}}]}`), "pod default/a: spec.containers[0].resources.requests.cpu: -1 is negative"},
		"a negative overhead":   {pod(`{"overhead": {"cpu": "-1"}}`), "spec.overhead.cpu: -1 is negative"},
		"a skew":                {pod(`{"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}`), "spec.topologySpreadConstraints[0].maxSkew: 0, want at least 1"},
		"a selector":            {pod(`{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "is"}]}}]}`), "spec.topologySpreadConstraints[0].labelSelector"},
		"a node selector":       {pod(`{"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "is"}]}]}}}}`), "spec.affinity.nodeAffinity"},
		"a topology":            {pod(`{"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}`), "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: missing"},
		"a node of nothing":     {`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}`, "node n: status.allocatable: missing"},
		"a list without object": {`{"apiVersion": "v1", "kind": "List", "items": [1]}`, "stdin: items[0]: want an object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runPlan(tc.pods, "--pods", "-", "--offers", filepath.Join("testdata", "plan", "offers.json"))
			assert.ErrorContains(t, err, tc.want)
		})
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no pods":           {[]string{"--offers", "x"}, "--pods: want a file"},
		"no offers":         {[]string{"--pods", "x"}, "--offers: want a file"},
		"no such file":      {[]string{"--pods", "nowhere.yaml", "--offers", "x"}, "--pods: open nowhere.yaml"},
		"an output":         {planFiles("-o", "xml"), `--output "xml": want text or json`},
		"stdin twice":       {[]string{"--pods", "-", "--nodes", "-", "--offers", "x"}, "--nodes: --pods reads standard input already"},
		"offers of objects": {[]string{"--pods", filepath.Join("testdata", "plan", "pods.yaml"), "--offers", filepath.Join("testdata", "plan", "pods.yaml")}, "--offers: testdata/plan/pods.yaml: offers: want a JSON list"},
		"policy of pods":    {planFiles("--policy", filepath.Join("testdata", "plan", "pods.yaml")), "--policy: testdata/plan/pods.yaml: document 1: Pod of v1: want a NodePolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runPlan("", tc.args...)
			assert.ErrorContains(t, err, tc.want)
		})
	}
	t.Run("a misspelt limit", func(t *testing.T) {
		_, err := runPlan(`{"apiVersion": "yagura.dev/v1alpha1", "kind": "NodePolicy", "metadata": {"name": "p"}, "spec": {"provider": {"name": "kwok"}, "limit": {}}}`, planFiles("--policy", "-")...)
		assert.ErrorContains(t, err, `unknown field "spec.limit"`)
	})
}

func FuzzPlanObjects(f *testing.F) {
	f.Add([]byte(`{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]}`))
	f.Add([]byte("apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: 1}}\n---\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &manifests{}
		if err := m.read("file", bytes.NewReader(data)); err != nil && !strings.Contains(err.Error(), "file") {
			t.Fatalf("%q does not name the file", err)
		}
	})
}
