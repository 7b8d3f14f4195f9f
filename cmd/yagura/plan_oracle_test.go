package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/cluster/oracle"
)

// TestPlanIsTheLibrarys writes the oracle's random clusters into files and has them planned from there: what is bought and where pods go
// must be what the planner says of the same objects.
func TestPlanIsTheLibrarys(t *testing.T) {
	bought := 0
	for seed := range uint64(40) {
		c := oracle.Generate(seed)
		plain(c)
		var pods []*corev1.Pod
		for _, p := range slices.Concat(c.Bound, c.Pending) {
			pods = append(pods, oracle.Completed(p))
		}
		state, err := c.State(cluster.Policy{}, c.Nodes, pods)
		require.NoError(t, err)
		want := state.Plan(cluster.Options{})
		bought += len(want.Create)

		dir := t.TempDir()
		objects := c.Surroundings(c.Nodes)
		for _, p := range pods {
			objects = append(objects, p)
		}
		var nodes []any
		for _, n := range c.Nodes {
			nodes = append(nodes, n)
		}
		args := []string{
			"--pods", writeList(t, filepath.Join(dir, "pods.json"), objects), "--nodes", writeList(t, filepath.Join(dir, "nodes.json"), nodes),
			"--offers", writeOffers(t, filepath.Join(dir, "offers.json"), c.Offers), "-o", "json",
		}
		out, err := runPlan("", args...)
		require.NoError(t, err, "seed %d", seed)
		var got planReport
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Empty(t, got.Remove, "seed %d", seed)
		require.Equal(t, libraryPlaces(want), reportPlaces(&got), "seed %d", seed)
	}
	require.Positive(t, bought)
}

// plain takes out what files cannot say of offers, and keeps the nodes from being removed.
func plain(c *oracle.Case) {
	c.Devices, c.Storage.Limit = nil, 0
	for i := range c.Offers {
		o := &c.Offers[i]
		o.Policy, o.Taints, o.Slices, o.Stock = "", nil, nil, -1
	}
	for _, p := range c.Pending {
		p.Spec.ResourceClaims = nil
		for i := range p.Spec.Containers {
			p.Spec.Containers[i].Resources.Claims = nil
		}
	}
	for _, n := range c.Nodes {
		n.Annotations = map[string]string{v1alpha1.AnnotationDoNotDisrupt: "true"}
	}
}

func libraryPlaces(p cluster.Plan) map[string]string {
	places := map[string]string{}
	for _, n := range p.Create {
		for _, pod := range n.Pods {
			places[pod.String()] = n.Offer.Name + " " + n.Offer.Zone + " " + n.Offer.CapacityType + " for " + n.Pods[0].String()
		}
	}
	for _, placed := range slices.Concat(p.Placed, p.Preempting) {
		places[placed.Pod.String()] = placed.Node
	}
	for _, u := range p.Unschedulable {
		places[u.Pod.String()] = ""
	}
	return places
}

func reportPlaces(r *planReport) map[string]string {
	places := map[string]string{}
	for _, n := range r.Create {
		for _, pod := range n.Pods {
			places[pod] = n.Offer + " " + n.Zone + " " + n.CapacityType + " for " + n.Pods[0]
		}
	}
	for _, placed := range slices.Concat(r.Placed, r.Preempting) {
		places[placed.Pod] = placed.Node
	}
	for _, u := range r.Unschedulable {
		places[u.Pod] = ""
	}
	return places
}

// writeList writes a List as kubectl prints it.
func writeList(t *testing.T, path string, objects []any) string {
	t.Helper()
	items := []any{}
	for _, o := range objects {
		object, ok := o.(runtime.Object)
		require.True(t, ok)
		if kinds, _, err := clientscheme.Scheme.ObjectKinds(object); err == nil {
			object.GetObjectKind().SetGroupVersionKind(kinds[0])
		}
		items = append(items, object)
	}
	return writeJSON(t, path, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

// writeOffers writes one instance type for each shape.
func writeOffers(t *testing.T, path string, offers []cluster.Offer) string {
	t.Helper()
	types := map[string]map[string]any{}
	for i := range offers {
		o := &offers[i]
		shape := types[o.Name]
		if shape == nil {
			shape = map[string]any{"name": o.Name, "architecture": o.Labels[corev1.LabelArchStable], "operatingSystems": []string{"linux"}, "resources": o.Allocatable, "offerings": []any{}}
			types[o.Name] = shape
		}
		requirements := []corev1.NodeSelectorRequirement{}
		for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
			requirements = append(requirements, corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{o.Labels[key]}})
		}
		shape["offerings"] = append(shape["offerings"].([]any), map[string]any{"Price": o.PricePerHour, "Available": o.Available, "Requirements": requirements})
	}
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		list = append(list, types[name])
	}
	return writeJSON(t, path, list)
}

func writeJSON(t *testing.T, path string, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}
