package nodes

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// largeWorld is a world of many nodes, full of pods.
func largeWorld(tb testing.TB, nodes, podsPerNode int) *world {
	tb.Helper()
	w := newWorld(2 * time.Second)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range nodes {
		w.apply(event{object: largeNode(i)}, now)
		for j := range podsPerNode {
			w.apply(event{object: largePod(fmt.Sprintf("web-%d-%d", i, j), fmt.Sprintf("node-%d", i), (i*podsPerNode+j)%500)}, now)
		}
	}
	w.settle()
	w.state.SetTime(now)
	offers := []cluster.Offer{}
	for i, cores := range []int64{2, 4, 8, 16, 32} {
		for _, zone := range []string{"a", "b", "c"} {
			offers = append(offers, cluster.Offer{Name: fmt.Sprintf("general-%d", cores), Zone: zone, CapacityType: "on-demand", Policy: "general", PricePerHour: 0.04 * float64(cores),
				Available: true, Stock: -1, Labels: map[string]string{corev1.LabelTopologyZone: zone, corev1.LabelInstanceTypeStable: fmt.Sprintf("general-%d", cores), corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"},
				Allocatable: corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(cores, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(cores<<32, resource.BinarySI), corev1.ResourcePods: *resource.NewQuantity(int64(30*(i+1)), resource.DecimalSI)}})
		}
	}
	w.setOffers(offers)
	w.state.SetOffers(offers)
	w.state.SetPolicies([]cluster.Policy{{Name: "general"}})
	return w
}

func largeNode(i int) *corev1.Node {
	name := fmt.Sprintf("node-%d", i)
	zone := string(rune('a' + i%3))
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: zone, corev1.LabelInstanceTypeStable: "general-8", corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("7500m"), corev1.ResourceMemory: resource.MustParse("30Gi"), corev1.ResourcePods: resource.MustParse("110")}}}
}

func largePod(name, node string, workload int) *corev1.Pod {
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", workload%50), Name: name, UID: types.UID(name), Labels: map[string]string{"app": fmt.Sprintf("app-%d", workload)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprintf("app-%d", workload), UID: types.UID(fmt.Sprintf("rs-%d", workload)), Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("512Mi")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if node == "" {
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}}
	}
	return pod
}

// TestALargeClusterIsPlannedFor prints how long it takes from the event of a pod without a place to the nodes to buy, with 5,000 nodes
// and 150,000 pods, and what the state takes of memory.
func TestALargeClusterIsPlannedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := largeWorld(t, 5000, 30)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d nodes and %d pods: %d MiB with the pods themselves", len(w.nodes), len(w.pods), (after.HeapAlloc-before.HeapAlloc)>>20)
	now := time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC)
	first := true
	for _, burst := range []int{1, 100, 1000} {
		started := time.Now()
		for i := range burst {
			require.NotZero(t, w.apply(event{object: largePod(fmt.Sprintf("new-%d-%d", burst, i), "", i%20)}, now)&plan)
		}
		w.settle()
		result := w.state.Plan(cluster.Options{SkipBound: true})
		took := time.Since(started)
		require.NotEmpty(t, result.Create)
		require.Empty(t, result.Unschedulable)
		t.Logf("%d pods more (first plan: %v): %d nodes to buy after %s", burst, first, len(result.Create), took.Round(time.Microsecond))
		first = false
	}
	started := time.Now()
	result := w.state.Plan(cluster.Options{})
	t.Logf("a plan with its lower bound: %s (%.2f of %.2f)", time.Since(started).Round(time.Millisecond), result.Cost.LowerBound, result.Cost.After)

	c := &Controller{cfg: DefaultConfig(), deps: Dependencies{Metrics: NewMetrics(prometheus.NewRegistry())}, world: w, book: newOfferBook(), moves: newMover(), health: newHealthKeeper(), tell: newTeller()}
	for range 2 {
		started = time.Now()
		c.examine(now)
		examined := time.Now()
		view, _ := c.snapshot(now)
		t.Logf("health of all nodes: %s; the view of %d nodes: %s", examined.Sub(started).Round(time.Millisecond), len(view.Nodes), time.Since(examined).Round(time.Millisecond))
	}
}
