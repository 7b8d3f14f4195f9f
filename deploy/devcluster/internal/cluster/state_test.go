package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	_, err := loadState(dir)
	require.True(t, notFound(err))
	state := State{Mode: Node, Version: "v1.37.2", Nodes: []NodeState{{Name: "n1", Index: 1, Off: true}}}
	state.Ports.APIServer = 20001
	require.NoError(t, saveState(dir, state))
	got, err := loadState(dir)
	require.NoError(t, err)
	require.Equal(t, state, got)

	require.NoError(t, os.WriteFile(stateFile(dir), []byte("{"), 0o600))
	_, err = loadState(dir)
	require.ErrorContains(t, err, "cluster.json")
	require.False(t, notFound(err), "a damaged cluster is not a missing one")
}

func TestSettleKeepsWhatItCan(t *testing.T) {
	all := func(int) bool { return true }
	var ports Ports
	changed, err := ports.settle(Fleet, all)
	require.NoError(t, err)
	require.True(t, changed)
	first := ports

	changed, err = ports.settle(Fleet, all)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, first, ports)

	changed, err = ports.settle(Fleet, func(port int) bool { return port != first.Kwok })
	require.NoError(t, err)
	require.True(t, changed)
	require.NotEqual(t, first.Kwok, ports.Kwok)
	ports.Kwok = first.Kwok
	require.Equal(t, first, ports, "the others are kept")
}

func TestSettleOfNodeModeNeedsOnePort(t *testing.T) {
	var ports Ports
	_, err := ports.settle(Node, func(int) bool { return true })
	require.NoError(t, err)
	require.NotZero(t, ports.APIServer)
	ports.APIServer = 0
	require.Zero(t, ports)
}

func TestPrepare(t *testing.T) {
	tests := map[string]struct {
		files   map[string]string
		options UpOptions
		want    State
		isNew   bool
		err     string
	}{
		"a new fleet":              {options: UpOptions{Nodes: -1}, want: State{Mode: Fleet}, isNew: true},
		"new nodes":                {options: UpOptions{Mode: Node, Nodes: -1}, want: State{Mode: Node, Nodes: []NodeState{{Name: "n1", Index: 1}, {Name: "n2", Index: 2}}}, isNew: true},
		"one new node":             {options: UpOptions{Mode: Node, Nodes: 1}, want: State{Mode: Node, Nodes: []NodeState{{Name: "n1", Index: 1}}}, isNew: true},
		"only a lock":              {files: map[string]string{"lock": ""}, options: UpOptions{Nodes: -1}, want: State{Mode: Fleet}, isNew: true},
		"an existing one":          {files: map[string]string{"cluster.json": `{"mode":"node"}`}, options: UpOptions{Nodes: -1}, want: State{Mode: Node}},
		"an existing one, by mode": {files: map[string]string{"cluster.json": `{"mode":"node"}`}, options: UpOptions{Mode: Node}, want: State{Mode: Node}},
		"another mode":             {files: map[string]string{"cluster.json": `{"mode":"node"}`}, options: UpOptions{Mode: Fleet}, err: "holds a cluster in node mode"},
		"something else":           {files: map[string]string{"thesis.txt": ""}, options: UpOptions{}, err: "holds something else (thesis.txt)"},
		"a damaged one":            {files: map[string]string{"cluster.json": `{`}, options: UpOptions{}, err: "cluster.json"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range test.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
			}
			c, err := New(dir, nil)
			require.NoError(t, err)
			got, isNew, err := c.prepare(test.options)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.isNew, isNew)
			got.Created = test.want.Created
			require.Equal(t, test.want, got)
		})
	}
}

func TestPhase(t *testing.T) {
	run, dead := ProcessStatus{Running: true}, ProcessStatus{}
	tests := map[string]struct {
		status Status
		want   Phase
	}{
		"all run":          {Status{Processes: []ProcessStatus{run, run}}, Running},
		"none runs":        {Status{Processes: []ProcessStatus{dead, dead}, Problem: "refused"}, Stopped},
		"one is missing":   {Status{Processes: []ProcessStatus{run, dead}}, Degraded},
		"no answer":        {Status{Processes: []ProcessStatus{run, run}, Problem: "refused"}, Degraded},
		"a node is off":    {Status{Processes: []ProcessStatus{run, dead}, Nodes: []NodeStatus{{PoweredOff: true}}}, Running},
		"a fake one is":    {Status{Processes: []ProcessStatus{run, dead}, Nodes: []NodeStatus{{PoweredOff: true, Simulated: true}}}, Degraded},
		"off, and missing": {Status{Processes: []ProcessStatus{run, dead, dead}, Nodes: []NodeStatus{{PoweredOff: true}}}, Degraded},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, phaseOf(test.status)) })
	}
}

func TestNodeReady(t *testing.T) {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}
	node := func(condition corev1.NodeCondition, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{Spec: corev1.NodeSpec{Taints: taints}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{condition}}}
	}
	require.True(t, nodeReady(node(ready)))
	require.True(t, nodeReady(node(ready, corev1.Taint{Key: "mine"})))
	require.False(t, nodeReady(node(ready, corev1.Taint{Key: corev1.TaintNodeNotReady})), "it is not scheduled to yet")
	require.False(t, nodeReady(node(corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown})))
	require.False(t, nodeReady(&corev1.Node{}))
}

func TestResetCanBeRepeated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etcd", "member"), 0o700))
	require.NoError(t, saveState(dir, State{Mode: Fleet}))
	var out bytes.Buffer
	c, err := New(dir, &out)
	require.NoError(t, err)
	require.NoError(t, c.Reset(context.Background()))
	require.NoDirExists(t, dir)
	require.NoError(t, c.Reset(context.Background()))
}
