package catalog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// published returns the data set of instance types.
func published(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "data", "nodes", "instance_types.json"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no data set of instance types: %v", err)
	}
	return data
}

func TestReadPublishedInstanceTypes(t *testing.T) {
	offers, err := Read(bytes.NewReader(published(t)))
	require.NoError(t, err)
	require.Len(t, offers, 1152, "144 types in four zones under two contracts")
	first := offers[0]
	assert.Equal(t, "c-1x-amd64-linux", first.Name)
	assert.Equal(t, "test-zone-a", first.Zone)
	assert.Equal(t, "spot", first.CapacityType)
	assert.Empty(t, first.Group)
	assert.True(t, first.Available)
	assert.Equal(t, 0.019003238553599998, first.PricePerHour)
	assert.Equal(t, map[string]string{
		corev1.LabelInstanceTypeStable: "c-1x-amd64-linux",
		corev1.LabelArchStable:         "amd64",
		corev1.LabelOSStable:           "linux",
		corev1.LabelTopologyZone:       "test-zone-a",
		LabelCapacityType:              "spot",
	}, first.Labels)
	assert.Equal(t, "16", first.Allocatable.Pods().String())
	assert.Equal(t, "2Gi", first.Allocatable.Memory().String())
	windows := false
	for i := range offers {
		if offers[i].Labels[corev1.LabelOSStable] == "windows" {
			windows = true
		} else {
			assert.False(t, windows, "Linux is first")
		}
	}
}

func TestRead(t *testing.T) {
	const head = `"name": "m", "architecture": "arm64"`
	for name, tc := range map[string]struct {
		in   string
		want []string // name|group|zone|capacity type|os
	}{
		"a type without offerings is no offer": {
			in: `[{` + head + `, "operatingSystems": ["linux"], "resources": {"cpu": 1}, "offerings": []}]`,
		},
		"zones and capacity types multiply": {
			in: `[{` + head + `, "operatingSystems": ["linux"], "resources": {"cpu": "1"}, "offerings": [{"Price": 1, "Available": true, "Requirements": [
				{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
				{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "reserved"]}]}]}]`,
			want: []string{"m||a|spot|linux", "m||b|spot|linux", "m||a|reserved|linux", "m||b|reserved|linux"},
		},
		"operating systems are told apart by the group, Linux first": {
			in:   `[{` + head + `, "operatingSystems": ["windows", "linux"], "resources": {"cpu": "1"}, "offerings": [{"Price": 1, "Available": false}]}]`,
			want: []string{"m|kubernetes.io/os=linux|||linux", "m|kubernetes.io/os=windows|||windows"},
		},
		"an offering can name its operating system": {
			in: `[{` + head + `, "operatingSystems": ["windows", "linux"], "resources": {"cpu": "1"}, "offerings": [{"Price": 1, "Available": true,
				"Requirements": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]}]`,
			want: []string{"m||||linux"},
		},
		"reservations are told apart by their own label": {
			in: `[{` + head + `, "operatingSystems": ["linux"], "resources": {"cpu": "1"}, "offerings": [
				{"Price": 1, "Available": true, "Requirements": [{"key": "example.com/reservation", "operator": "In", "values": ["r1"]}]},
				{"Price": 1, "Available": true, "Requirements": [{"key": "example.com/reservation", "operator": "In", "values": ["r2"]}]}]}]`,
			want: []string{"m|example.com/reservation=r1|||linux", "m|example.com/reservation=r2|||linux"},
		},
		"other operators and further keys are no labels": {
			in: `[{` + head + `, "operatingSystems": ["linux"], "resources": {"cpu": "1"}, "overhead": {}, "offerings": [{"Price": 1, "Available": true,
				"Requirements": [{"key": "example.com/x", "operator": "DoesNotExist"}]}]}]`,
			want: []string{"m||||linux"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			offers, err := Read(strings.NewReader(tc.in))
			require.NoError(t, err)
			var got []string
			for i := range offers {
				o := &offers[i]
				got = append(got, strings.Join([]string{o.Name, o.Group, o.Zone, o.CapacityType, o.Labels[corev1.LabelOSStable]}, "|"))
				assert.Equal(t, resource.MustParse("110"), o.Allocatable[corev1.ResourcePods], "as the kubelet has it")
				assert.Equal(t, !o.Available, o.Unavailable != "")
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestReadRefuses(t *testing.T) {
	entry := func(more string) string {
		return `[{"name": "m", "architecture": "amd64", "operatingSystems": ["linux"], ` + more + `}]`
	}
	for name, tc := range map[string]struct{ in, want string }{
		"no JSON":               {"- name: x\n", "offers: want a JSON list of instance types: line 1:"},
		"an object":             {"{}", "offers: want a JSON list of instance types: value: want"},
		"a cut list":            {"[\n{\n", "line 3:"},
		"an entry of a type":    {`["m"]`, "offers[0]: value: want"},
		"no name":               {`[{"architecture": "amd64"}]`, "offers[0].name: missing"},
		"the same name":         {`[{"name": "m", "architecture": "a", "operatingSystems": ["l"], "resources": {"cpu": 1}}, {"name": "m"}]`, "offers[1] (m).name: the same as offers[0]"},
		"no architecture":       {`[{"name": "m"}]`, "offers[0] (m).architecture: missing"},
		"no operating system":   {`[{"name": "m", "architecture": "amd64"}]`, "offers[0] (m).operatingSystems: missing"},
		"no resources":          {entry(`"offerings": []`), "offers[0] (m).resources: missing"},
		"a bad name":            {`[{"name": "a b", "architecture": "amd64", "operatingSystems": ["linux"], "resources": {"cpu": 1}}]`, `name: "a b" cannot be the value of a label`},
		"a bad quantity":        {entry(`"resources": {"cpu": "lots"}`), `offers[0] (m).resources.cpu: "lots" is no quantity`},
		"a null quantity":       {entry(`"resources": {"cpu": null}`), `offers[0] (m).resources.cpu: null is no quantity`},
		"a negative quantity":   {entry(`"resources": {"memory": "-1Gi"}`), "offers[0] (m).resources.memory: -1Gi is negative"},
		"no price":              {entry(`"resources": {"cpu": 1}, "offerings": [{"Available": true}]`), "offers[0] (m).offerings[0].Price: missing"},
		"a negative price":      {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": -1, "Available": true}]`), "offers[0] (m).offerings[0].Price: -1 is negative"},
		"a price in words":      {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": "cheap"}]`), "offerings.Price: want float64 instead of string"},
		"no availability":       {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": 1}]`), "offers[0] (m).offerings[0].Available: missing"},
		"a bad operator":        {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": 1, "Available": true, "Requirements": [{"key": "x", "operator": "in"}]}]`), `offerings[0].Requirements[0].operator: unknown operator "in"`},
		"a bad key":             {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": 1, "Available": true, "Requirements": [{"key": "", "operator": "In"}]}]`), `offerings[0].Requirements[0].key: "" is no name of a label`},
		"no values":             {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": 1, "Available": true, "Requirements": [{"key": "x", "operator": "In"}]}]`), "offerings[0].Requirements[0].values: missing"},
		"two that are the same": {entry(`"resources": {"cpu": 1}, "offerings": [{"Price": 1, "Available": true}, {"Price": 2, "Available": true}]`), `offers[0] (m).offerings: two of zone "" and capacity type ""`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tc.in))
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"name": "m", "architecture": "amd64", "operatingSystems": ["linux", "windows"], "resources": {"cpu": "1500m", "pods": 10},
		"offerings": [{"Price": 0.1, "Available": true, "Requirements": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}]}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		offers, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		seen := map[any]bool{}
		for i := range offers {
			o := &offers[i]
			if seen[o.ID()] || o.PricePerHour < 0 || o.Labels[corev1.LabelInstanceTypeStable] != o.Name || o.Zone != o.Labels[corev1.LabelTopologyZone] {
				t.Fatalf("%+v", o)
			}
			seen[o.ID()] = true
		}
	})
}
