package nodes

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

// fleetOf is a loop over a world without an API server: nodes of a policy, each with a claim and so many cores.
func fleetOf(t *testing.T, cores ...string) *Controller {
	t.Helper()
	w := newWorld(2 * time.Second)
	for i, c := range cores {
		name := string(rune('a' + i))
		k := claimOf("general-"+name, v1alpha1.ClaimReady)
		k.UID = types.UID(k.Name)
		node := nodeOf(name, k.Name)
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(c), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("110")}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		w.apply(event{object: node}, start)
		w.apply(event{object: k}, start)
	}
	w.policies["general"] = &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}, Spec: v1alpha1.NodePolicySpec{Mode: v1alpha1.Apply}}
	w.settle()
	w.state.SetTime(start)
	return &Controller{cfg: DefaultConfig(), deps: Dependencies{Metrics: NewMetrics(prometheus.NewRegistry())}, world: w, book: newOfferBook(),
		moves: newMover(), health: newHealthKeeper(), tell: newTeller()}
}

func (c *Controller) leave(t *testing.T, name string, reason v1alpha1.DisruptionReason) *v1alpha1.NodeClaim {
	t.Helper()
	k := c.world.claims["general-"+name].DeepCopy()
	k.ResourceVersion, k.Status.Phase = "6", v1alpha1.ClaimDraining
	k.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: reason, At: metav1.NewTime(start)}
	c.world.apply(event{object: k}, start)
	c.world.settle()
	return k
}

func (c *Controller) run(t *testing.T, name, node string, workload int, cpu string) *corev1.Pod {
	t.Helper()
	pod := largePod(name, node, workload)
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
	c.world.apply(event{object: pod}, start)
	return pod
}

func evicted(pods ...*corev1.Pod) *drain.Progress {
	p := &drain.Progress{}
	for _, pod := range pods {
		p.Pods = append(p.Pods, drain.PodProgress{Pod: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, Code: "Evicted"})
	}
	return p
}

// The pods of one workload leave, and the next workload's turn comes once they run somewhere else.
func TestPodsLeaveInTurns(t *testing.T) {
	c := fleetOf(t, "4", "8")
	one, two := c.run(t, "web-1", "a", 1, "500m"), c.run(t, "web-2", "a", 1, "500m")
	other := c.run(t, "db-1", "a", 2, "1")
	k := c.leave(t, "a", v1alpha1.DisruptUnderutilized)
	leaving := []*v1alpha1.NodeClaim{k}
	first := c.turn(t.Context(), leaving, start)
	if len(first) == 1 { // the order of workloads is not the test's
		first = c.turn(t.Context(), leaving, start)
	}
	require.Len(t, first, 2)
	assert.True(t, first[types.NamespacedName{Namespace: one.Namespace, Name: one.Name}])
	c.awaitSuccessors(evicted(one, two))

	assert.Empty(t, c.turn(t.Context(), leaving, start), "no watch has shown that they leave")
	for _, pod := range []*corev1.Pod{one, two} {
		gone := pod.DeepCopy()
		at := metav1.NewTime(start)
		gone.DeletionTimestamp = &at
		c.world.apply(event{object: gone}, start)
	}
	assert.Empty(t, c.turn(t.Context(), leaving, start), "nobody has made others in their place")
	for _, name := range []string{"web-3", "web-4"} {
		next := largePod(name, "", 1)
		next.Status.Conditions = nil
		c.world.apply(event{object: next}, start)
	}
	assert.Empty(t, c.turn(t.Context(), leaving, start), "the scheduler has not placed them")
	c.run(t, "web-3", "b", 1, "500m")
	c.run(t, "web-4", "b", 1, "500m")
	assert.Equal(t, map[types.NamespacedName]bool{{Namespace: other.Namespace, Name: other.Name}: true}, c.turn(t.Context(), leaving, start))
}

// Room that a pod takes which the scheduler has not judged yet is not given away, nor is that on a node that takes no pods.
func TestRoomMustBeThereBeforeAPodIsEvicted(t *testing.T) {
	c := fleetOf(t, "4", "2")
	c.run(t, "web-1", "a", 1, "1500m")
	holds, why := c.holds([]string{"a"})
	require.True(t, holds, why)

	young := largePod("young", "", 2)
	young.Status.Conditions = nil
	young.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	young.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1")
	c.world.apply(event{object: young}, start)
	holds, _ = c.holds([]string{"a"})
	assert.False(t, holds)
	c.world.apply(event{object: young, deleted: true}, start)
	holds, _ = c.holds([]string{"a"})
	assert.True(t, holds)

	broken := c.world.nodes["b"].DeepCopy()
	broken.Status.Conditions[0].Status = corev1.ConditionUnknown
	c.world.apply(event{object: broken}, start)
	c.world.settle()
	holds, why = c.holds([]string{"a"})
	assert.False(t, holds)
	assert.Contains(t, why, "takes no pods")
}

// A node whose pods have no place holds up itself, and no other one.
func TestADrainWithoutRoomDoesNotHoldUpOthers(t *testing.T) {
	c := fleetOf(t, "16", "4", "4")
	c.run(t, "huge", "a", 1, "12")
	c.run(t, "web-1", "b", 2, "500m")
	a, b := c.leave(t, "a", v1alpha1.DisruptDrifted), c.leave(t, "b", v1alpha1.DisruptDrifted)
	fit, outcome, lack := c.fitting([]*v1alpha1.NodeClaim{a, b})
	require.NotNil(t, lack)
	assert.Equal(t, "huge", lack.Blocking.Name)
	assert.Equal(t, []*v1alpha1.NodeClaim{b}, fit)
	require.Len(t, outcome.Moves, 1)
	assert.Equal(t, "c", outcome.Moves[0].Node)
}

// A node that takes no pods is disrupted already, and one that takes some becomes so, whatever the reason.
func TestANodeIsCountedOnceForTheBudget(t *testing.T) {
	for name, test := range map[string]struct {
		reason v1alpha1.DisruptionReason
		broken string
		free   bool
	}{
		"drifted and not ready":               {v1alpha1.DisruptDrifted, "a", true},
		"drifted, another one is not ready":   {v1alpha1.DisruptDrifted, "b", false},
		"sick and not ready":                  {v1alpha1.DisruptUnhealthy, "a", true},
		"sick and ready, another one is not":  {v1alpha1.DisruptUnhealthy, "b", false},
		"sick and ready, and the only one so": {v1alpha1.DisruptUnhealthy, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := fleetOf(t, "4", "4")
			policy := c.world.policies["general"]
			policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(1)}}
			if test.broken != "" {
				broken := c.world.nodes[test.broken].DeepCopy()
				broken.Status.Conditions[0].Status = corev1.ConditionFalse
				c.world.apply(event{object: broken}, start)
				c.world.settle()
			}
			why := c.overBudget(policy, &disruption.Move{Reason: test.reason, Policy: "general", Remove: []string{"a"}}, start)
			assert.Equal(t, test.free, why == "", why)
		})
	}
}
