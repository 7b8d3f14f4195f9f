package oracle

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// GangLabel says to which PodGroup a pod belongs.
const GangLabel = "scheduling.x-k8s.io/pod-group"

// gang makes pods that wait into a gang: those of one workload's name and namespace, all of them or all but one.
func (g *generator) gang() {
	if len(g.c.Pending) == 0 || !g.with("gangs", 4) {
		return
	}
	first := pick(g, g.c.Pending...)
	size := int64(0)
	for _, p := range g.c.Pending {
		if p.Namespace == first.Namespace && p.Labels["app"] == first.Labels["app"] {
			p.Labels[GangLabel] = "gang"
			size++
		}
	}
	if size > 1 && g.one(3) {
		size--
	}
	group := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"minMember": size}}}
	group.SetAPIVersion("scheduling.x-k8s.io/v1alpha1")
	group.SetKind("PodGroup")
	group.SetNamespace(first.Namespace)
	group.SetName("gang")
	g.c.Gangs = append(g.c.Gangs, group)
}

// Needs is how many pods the case's gang needs, 0 when it has none.
func (c *Case) Needs() int {
	if len(c.Gangs) == 0 {
		return 0
	}
	n, _, _ := unstructured.NestedInt64(c.Gangs[0].Object, "spec", "minMember")
	return int(n)
}
