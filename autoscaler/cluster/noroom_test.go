package cluster_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// TestARemovalSaysWhichFilterFails has a pod on one node, and four others that do not take it.
func TestARemovalSaysWhichFilterFails(t *testing.T) {
	state := cluster.NewState()
	node := func(name string, cores int64, change func(*cluster.Node)) {
		n := cluster.Node{Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": "fast"}}}}
		n.Node.Status.Allocatable = corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewQuantity(cores, resource.DecimalSI), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("10"),
		}
		if change != nil {
			change(&n)
		}
		state.SetNode(n)
	}
	node("home", 4, nil)
	node("small-1", 1, nil)
	node("small-2", 1, nil)
	node("tainted", 4, func(n *cluster.Node) {
		n.Node.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	})
	node("slow", 4, func(n *cluster.Node) { n.Node.Labels["disk"] = "slow" })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	pod.Spec.NodeName = "home"
	pod.Spec.NodeSelector = map[string]string{"disk": "fast"}
	pod.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}}}}
	if err := state.Upsert(pod); err != nil {
		t.Fatal(err)
	}
	out := state.Simulate(cluster.Removal{Nodes: []string{"home"}})
	want := "of 4 other nodes: too little cpu left (2), a taint that the pod does not tolerate (1), node selector or affinity does not match (1)"
	if out.Feasible || out.Blocking.Name != "web" || out.Reason != want {
		t.Errorf("feasible %v, %s: %s", out.Feasible, out.Blocking, out.Reason)
	}
	if out := state.Simulate(cluster.Removal{Nodes: []string{"home", "small-1", "small-2", "tainted", "slow"}}); out.Reason != "there is no other node" {
		t.Errorf("%s", out.Reason)
	}
}
