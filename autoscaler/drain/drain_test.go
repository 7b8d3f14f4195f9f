package drain_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

func TestCordonAndUncordon(t *testing.T) {
	w := newWorld(t)
	for range 2 { // it is idempotent
		w.cordon()
		n := w.current()
		assert.True(t, n.Spec.Unschedulable)
		assert.True(t, taints(n, v1alpha1.TaintDisrupted))
	}
	require.NoError(t, w.d.Uncordon(t.Context(), w.current()))
	n := w.current()
	assert.False(t, n.Spec.Unschedulable)
	assert.False(t, taints(n, v1alpha1.TaintDisrupted))
	assert.NotContains(t, n.Annotations, v1alpha1.AnnotationCordoned)

	// What somebody else has closed stays closed.
	_, err := w.kube.CoreV1().Nodes().Patch(t.Context(), w.node, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	w.cordon()
	require.NoError(t, w.d.Uncordon(t.Context(), w.current()))
	n = w.current()
	assert.True(t, n.Spec.Unschedulable)
	assert.False(t, taints(n, v1alpha1.TaintDisrupted))

	gone := n.DeepCopy()
	gone.Name = "no-such-node"
	assert.NoError(t, w.d.Cordon(t.Context(), gone, v1alpha1.DisruptEmpty))
	p, err := w.d.Drain(t.Context(), gone, drain.Plan{})
	require.NoError(t, err)
	assert.True(t, p.Done)
}

func taints(n *corev1.Node, key string) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == key {
			return true
		}
	}
	return false
}

func TestPodsLeaveForTheirPlaces(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	assert.Equal(t, "NotCordoned", w.drain().Code)
	w.cordon()

	p := w.drain(func(p *drain.Plan) { p.Places = p.Places[:0] })
	assert.Equal(t, "NoPlace", p.Code, p.Message)
	assert.Equal(t, 2, p.Left)
	for _, pod := range pods {
		assert.Nil(t, w.get(pod.Name).DeletionTimestamp)
	}
	w.drainUntilDone()
	for _, pod := range w.pods("web") {
		if pod.DeletionTimestamp == nil {
			assert.NotEqual(t, w.node, pod.Spec.NodeName)
		}
	}
}

// TestTheLastReplicaWaitsForAnother has both replicas on the node: at no time are both of them gone.
func TestTheLastReplicaWaitsForAnother(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.cordon()
	p := w.drain()
	assert.Equal(t, 1, p.Leaving, "%+v", p)
	w.drainUntilDone()
}

func TestTheOnlyReplicaIsReplacedFirst(t *testing.T) {
	w := newWorld(t)
	old := w.deployment("single", 1)[0]
	w.cordon()
	p := w.drain()
	assert.Equal(t, "Surging", code(p, old.Name), "%+v", p)
	d, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "single", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, d.Spec.Template.Annotations[actuation.RestartedAnnotation])
	w.restart() // another process does not roll it out again
	first := d.Spec.Template.Annotations[actuation.RestartedAnnotation]
	for range 600 {
		p := w.drain()
		served := false
		for _, pod := range w.pods("single") {
			served = served || ready(pod)
		}
		require.True(t, served, "one of them always serves")
		if p.Done {
			break
		}
		w.clock.Step(time.Second)
		time.Sleep(20 * time.Millisecond)
	}
	d, err = w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "single", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, first, d.Spec.Template.Annotations[actuation.RestartedAnnotation])
	assert.Nil(t, w.get(old.Name))
}

func TestTheOnlyReplicaOfARecreateDeploymentIsEvicted(t *testing.T) {
	w := newWorld(t)
	old := w.deployment("recreate", 1, func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType })[0]
	w.cordon()
	assert.Equal(t, "Evicted", code(w.drain(), old.Name))
}

func TestBudgetsAreWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.deployment("other", 2)
	w.budget("web", 2)
	w.cordon()
	p := w.drain(func(p *drain.Plan) { p.Reason = v1alpha1.DisruptUnderutilized })
	assert.Equal(t, "PodDisruptionBudget", p.Code, "%+v", p)
	for _, pod := range w.pods("other") {
		assert.Nil(t, pod.DeletionTimestamp, "for its price alone a node is not emptied by half")
	}
	w.clock.Step(time.Minute)
	p = w.drain()
	assert.Equal(t, "PodDisruptionBudget", p.Code, "%+v", p)
	assert.Contains(t, p.Message, "web-2")
	for range 20 {
		w.clock.Step(time.Second)
		p = w.drain()
	}
	for _, pod := range w.pods("web") {
		assert.Nil(t, pod.DeletionTimestamp)
	}
	require.NoError(t, w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Delete(t.Context(), "web-2", metav1.DeleteOptions{}))
	w.drainUntilDone()
}

func TestTwoBudgetsForOnePodAreExplained(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.budget("web", 1)
	w.budget("web", 0)
	w.cordon()
	p := w.drain()
	assert.Equal(t, "BudgetMisconfigured", p.Code, "%+v", p)
	assert.Contains(t, p.Message, "more than one PodDisruptionBudget")
}

func TestWebhooksThatRefuseAreNamed(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	w.cordon()
	lift := w.webhook("not on a Friday")
	p := w.drain()
	assert.Equal(t, "Refused", p.Code, "%+v", p)
	assert.Contains(t, p.Message, `"keeper.yagura.test" denied the request: not on a Friday`)
	for _, pod := range pods {
		assert.Nil(t, w.get(pod.Name).DeletionTimestamp)
	}
	lift()
	w.drainUntilDone()
}

func TestWhatKeepsANode(t *testing.T) {
	w := newWorld(t)
	naked := w.pod("naked")
	keep := w.pod("keep", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationDoNotDisrupt] = "true" })
	willing := w.pod("willing", safe)
	w.cordon()

	// For its price a node is emptied as a whole or not at all.
	cheap := func(p *drain.Plan) { p.Reason = v1alpha1.DisruptUnderutilized }
	p := w.drain(cheap)
	assert.Equal(t, "DoNotDisrupt", code(p, keep.Name))
	assert.Equal(t, "NoController", code(p, naked.Name))
	assert.Equal(t, "Held", code(p, willing.Name))
	assert.Nil(t, w.get(willing.Name).DeletionTimestamp)
	never := time.Nanosecond
	w.clock.Step(time.Hour)
	p = w.drain(cheap, func(p *drain.Plan) { p.GracePeriod = &never })
	assert.False(t, p.Done, "and never by force")

	p = w.drain()
	assert.Equal(t, "Evicted", code(p, willing.Name), "%+v", p)
	assert.Equal(t, "DoNotDisrupt", code(p, keep.Name))
	assert.Nil(t, w.get(naked.Name).DeletionTimestamp)
}

func TestTheEndOfTheGracePeriodEndsThePods(t *testing.T) {
	w := newWorld(t)
	long := int64(120)
	keep := w.pod("keep", func(p *corev1.Pod) {
		p.Annotations[v1alpha1.AnnotationDoNotDisrupt] = "true"
		p.Spec.TerminationGracePeriodSeconds = &long
		p.Finalizers = []string{"yagura.dev/test"}
	})
	t.Cleanup(func() {
		_, _ = w.kube.CoreV1().Pods(w.namespace).Patch(context.WithoutCancel(t.Context()), "keep", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	})
	w.cordon()
	ten := 10 * time.Minute
	forced := func(p *drain.Plan) { p.GracePeriod = &ten }
	w.clock.SetTime(w.since.Add(ten - 3*time.Minute))
	assert.Equal(t, "DoNotDisrupt", code(w.drain(forced), keep.Name))
	assert.Nil(t, w.get("keep").DeletionTimestamp)
	w.clock.SetTime(w.since.Add(ten - 90*time.Second))
	assert.Equal(t, "Ended", code(w.drain(forced), keep.Name))
	require.NotNil(t, w.get("keep").DeletionGracePeriodSeconds)
	w.clock.SetTime(w.since.Add(ten + time.Minute))
	p := w.drain(forced)
	assert.True(t, p.Done && p.Forced, "%+v", p)
	assert.Equal(t, 1, p.Left)
}

func TestImportantPodsLeaveLast(t *testing.T) {
	w := newWorld(t)
	cluster := w.pod("cluster", safe, func(p *corev1.Pod) { p.Spec.PriorityClassName = "system-cluster-critical" })
	plain := w.pod("plain", safe, func(p *corev1.Pod) { p.Finalizers = []string{"yagura.dev/test"} })
	w.cordon()
	p := w.drain()
	assert.Equal(t, "Evicted", code(p, plain.Name), "%+v", p)
	assert.Equal(t, "Order", code(p, cluster.Name))
	p = w.drain()
	assert.Equal(t, "Order", code(p, cluster.Name), "the other one is on its way")
	_, err := w.kube.CoreV1().Pods(w.namespace).Patch(t.Context(), plain.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	w.drainUntilDone()
}

func TestPodsOfTheNodeStay(t *testing.T) {
	w := newWorld(t)
	template := w.template("agent")
	template.Spec.Affinity = nil
	template.Spec.NodeSelector = map[string]string{"drain-test": w.node}
	_, err := w.kube.AppsV1().DaemonSets(w.namespace).Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template,
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.eventually("the agent runs", func() bool { pods := w.pods("agent"); return len(pods) == 1 && ready(pods[0]) })
	w.cordon()
	p := w.drain()
	assert.True(t, p.Done, "%+v", p)
	assert.Nil(t, w.pods("agent")[0].DeletionTimestamp)
}

func TestVolumesAreDetachedFirst(t *testing.T) {
	w := newWorld(t)
	w.cordon()
	attached := func(text string) {
		_, err := w.kube.CoreV1().Nodes().Patch(t.Context(), w.node, types.MergePatchType, []byte(`{"status":{"volumesAttached":`+text+`}}`), metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
	attached(`[{"name":"kubernetes.io/csi/disk.example.com^vol-1","devicePath":""}]`)
	p := w.drain()
	assert.Equal(t, "Volumes", p.Code, "%+v", p)
	assert.Contains(t, p.Message, "vol-1")
	w.clock.Step(time.Duration(w.config.DetachTimeout))
	assert.True(t, w.drain().Done, "not for ever")
	w.restart()
	attached(`null`)
	assert.True(t, w.drain().Done)
}

func TestADeadNodeIsReleasedOnceItsMachineIsOff(t *testing.T) {
	w := newWorld(t)
	pod := w.pod("stuck", safe)
	w.cordon()
	p := w.drain(func(p *drain.Plan) { p.Dead = true; p.Reason = v1alpha1.DisruptUnhealthy })
	assert.True(t, p.Done && p.Dead)
	assert.Nil(t, w.get(pod.Name).DeletionTimestamp, "it may still run: nothing is done to it before the machine is off")

	w.eventually("released", func() bool {
		done, _, err := w.d.Release(t.Context(), w.current())
		require.NoError(t, err)
		return done
	})
	assert.Nil(t, w.get(pod.Name))
	assert.True(t, taints(w.current(), corev1.TaintNodeOutOfService))
}

func TestConfig(t *testing.T) {
	assert.NoError(t, drain.DefaultConfig().Validate())
	for field, change := range map[string]func(*drain.Config){
		"evictions":     func(c *drain.Config) { c.Evictions = 0 },
		"retryInterval": func(c *drain.Config) { c.RetryInterval = 0 },
		"retryLimit":    func(c *drain.Config) { c.RetryLimit = 1 },
		"detachTimeout": func(c *drain.Config) { c.DetachTimeout = -1 },
		"surgeTimeout":  func(c *drain.Config) { c.SurgeTimeout = -1 },
	} {
		c := drain.DefaultConfig()
		change(&c)
		assert.ErrorContains(t, c.Validate(), field+": must")
	}
}
