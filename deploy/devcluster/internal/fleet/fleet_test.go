package fleet_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/fleet"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
)

func TestScrapeTargetsAreFileSD(t *testing.T) {
	data, err := fleet.ScrapeTargets(10247, fleet.Names(2))
	require.NoError(t, err)
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	require.NoError(t, json.Unmarshal(data, &groups))
	require.Len(t, groups, 2)
	require.Equal(t, []string{"127.0.0.1:10247"}, groups[1].Targets)
	require.Equal(t, map[string]string{
		"__scheme__": "http", "__metrics_path__": "/metrics/nodes/fake-1/metrics/resource", "job": "kwok", "node": "fake-1",
	}, groups[1].Labels)
}

func TestScrapeTargetsOfNoNodesIsAnEmptyList(t *testing.T) {
	data, err := fleet.ScrapeTargets(10247, nil)
	require.NoError(t, err)
	require.Equal(t, "[]\n", string(data), "readers of file_sd refuse null")
}

func TestDiff(t *testing.T) {
	tests := map[string]struct {
		existing       []string
		n              int
		create, remove []string
	}{
		"new":                {nil, 2, []string{"fake-0", "fake-1"}, nil},
		"as wanted":          {[]string{"fake-0", "fake-1"}, 2, nil, nil},
		"more":               {[]string{"fake-0"}, 3, []string{"fake-1", "fake-2"}, nil},
		"fewer":              {[]string{"fake-0", "fake-1", "fake-2"}, 1, nil, []string{"fake-1", "fake-2"}},
		"a gap":              {[]string{"fake-1"}, 2, []string{"fake-0"}, nil},
		"none":               {[]string{"fake-0"}, 0, nil, []string{"fake-0"}},
		"others are kept":    {[]string{"big", "fake-x", "fake-07", "fake-9-b"}, 0, nil, nil},
		"two-digit boundary": {[]string{"fake-9", "fake-10"}, 10, names(0, 9), []string{"fake-10"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			create, remove := fleet.Diff(test.existing, test.n)
			require.Equal(t, test.create, create)
			require.Equal(t, test.remove, remove)
		})
	}
}

// names returns fake-from … fake-(to-1).
func names(from, to int) []string { return fleet.Names(to)[from:] }

func TestNodesHaveNoTaintsAndASpreadOfZones(t *testing.T) {
	zones := map[string]int{}
	for _, name := range fleet.Names(30) {
		node := fleet.Node(name)
		require.Empty(t, node.Spec.Taints)
		require.Equal(t, "kwok", node.Labels["type"])
		require.Equal(t, name, node.Labels["kubernetes.io/hostname"])
		require.False(t, fleet.PoweredOff(node))
		require.Equal(t, "32", node.Status.Allocatable.Cpu().String())
		require.Equal(t, "256Gi", node.Status.Allocatable.Memory().String())
		zones[node.Labels["topology.kubernetes.io/zone"]]++
	}
	require.Len(t, zones, 3)
}

func TestSetupWritesAConfigurationOfKnownKinds(t *testing.T) {
	dir := t.TempDir()
	store := pki.NewStore(filepath.Join(dir, "pki"), nil)
	ca, err := store.Authority("ca", "test-ca")
	require.NoError(t, err)
	spec, err := fleet.Setup(fleet.Config{Bin: "/bin/dir", Dir: dir, Port: 10247, Server: "https://127.0.0.1:6443"}, store, ca)
	require.NoError(t, err)
	require.Equal(t, "/bin/dir/kwok", spec.Path)

	data, err := os.ReadFile(filepath.Join(dir, "kwok.yaml"))
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, document := range strings.Split(string(data), "\n---\n") {
		var object struct {
			Kind    string
			Options map[string]any
		}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object), document)
		kinds[object.Kind]++
		if object.Kind == "KwokConfiguration" {
			require.EqualValues(t, 10247, object.Options["nodePort"])
			require.Equal(t, "127.0.0.1:10247", object.Options["serverAddress"])
		}
	}
	require.Equal(t, map[string]int{
		"KwokConfiguration": 1, "Stage": 5, "Metric": 1, "ClusterResourceUsage": 1,
	}, kinds)
}
