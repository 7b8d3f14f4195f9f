package oracle

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

func TestLocal(t *testing.T) {
	if os.Getenv("LOCAL") == "" { t.Skip() }
	c := Generate(uint64(number(t, "LOCAL", 1)))
	r := &trial{c: c, given: map[types.NamespacedName]*corev1.Pod{}}
	r.nodes, r.bound, r.pending = c.Nodes, c.Bound, c.Pending
	for _, p := range append(append([]*corev1.Pod{}, c.Bound...), c.Pending...) {
		for _, pc := range priorityClasses() { if pc.Name == p.Spec.PriorityClassName { v := pc.Value; p.Spec.Priority = &v; p.Spec.PreemptionPolicy = pc.PreemptionPolicy } }
	}
	for _, v := range c.Storage.Volumes { v.Status.Phase = corev1.VolumeBound }
	for _, v := range c.Storage.Claims { v.Status.Phase = corev1.ClaimBound; v.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"} }
	s, err := r.state(r.nodes, nil, r.bound, r.pending)
	if err != nil { t.Fatal(err) }
	t.Log("\n" + describe(s.Plan(cluster.Options{})))
}
