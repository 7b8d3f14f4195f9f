package actuation

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// alive asserts that a pod was not taken away.
func (w *world) alive(pod *corev1.Pod) {
	w.Helper()
	now := w.pod(pod.Name)
	require.Equal(w, pod.UID, now.UID)
	require.Nil(w, now.DeletionTimestamp)
}

func (w *world) blocked(t Target, step sizing.Step, code, reason string) {
	w.Helper()
	got := w.execute(t, step)
	assert.Equal(w, decision.Blocked, got.Result, "%+v", got)
	assert.Equal(w, code, got.Code, "%+v", got)
	assert.Contains(w, got.Reason, reason)
	w.alive(step.Pod)
}

func TestEvictsWhenTheNewPodGetsItsSize(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 3)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	target := w.target(3, pods...)
	actions := w.x.Execute(t.Context(), target, []sizing.Step{recreate(pods[0], want), recreate(pods[1], want)})
	require.Len(t, actions, 2)
	assert.Equal(t, decision.PodAction{Pod: pods[0].Name, Method: decision.Evict, Result: decision.Done, Reason: "evicted"}, actions[0])
	assert.Equal(t, "Replacing", actions[1].Code)
	w.alive(pods[1])

	// The cache still has the evicted pod as it was; it counts as gone.
	assert.Equal(t, "Terminating", w.execute(target, recreate(pods[0], want)).Code)
	w.blocked(target, recreate(pods[1], want), "MaxUnavailable", "1 of 3 pods are missing or on their way out, and the policy allows 1")

	var now []*corev1.Pod
	w.eventually("the new pod", func() bool {
		now = w.readyPods("web", 3)
		return !has(now, pods[0])
	})
	for _, pod := range now {
		if !has(pods, pod) {
			assert.True(t, sameResources(want, pod.Spec.Containers[0].Resources))
		}
	}
	target = w.target(3, now...)
	w.blocked(target, recreate(pods[1], want), "Interval", "the policy asks for 1m0s in between")
	w.clock.Step(time.Minute)
	assert.Equal(t, decision.Done, w.execute(target, recreate(pods[1], want)).Result)
}

func has(pods []*corev1.Pod, pod *corev1.Pod) bool {
	for _, p := range pods {
		if p.UID == pod.UID {
			return true
		}
	}
	return false
}

func TestNothingIsEvictedForASizeThatNewPodsDoNotGet(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	target := w.target(2, pods...)
	want := sizes("200m", "128Mi")
	w.blocked(target, recreate(pods[0], want), "WebhookSilent", "a new pod would not get its size: main would request 100m of cpu, not 200m")

	size := w.webhook(sizes("200m", "96Mi"))
	w.clock.Step(admissionLife)
	w.blocked(target, recreate(pods[0], want), "WebhookSilent", "main would request 96Mi of memory, not 128Mi")

	_, err := w.kube.CoreV1().LimitRanges(w.namespace).Create(t.Context(), &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "small"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")}}}}},
		metav1.CreateOptions{})
	require.NoError(t, err)
	size.Store(&want)
	w.eventually("the limit range is in force", func() bool {
		w.clock.Step(admissionLife)
		got := w.execute(target, recreate(pods[0], want))
		return got.Code == "NotAdmitted" && strings.Contains(got.Reason, "maximum memory usage per Container is 100Mi, but limit is 128Mi")
	})
	w.alive(pods[0])
	w.alive(pods[1])
}

func TestWhileStartingAContainerMayHaveMore(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	want := sizes("200m", "128Mi")
	w.webhook(sizes("800m", "128Mi"))
	target := w.target(2, pods...)
	w.blocked(target, recreate(pods[0], want), "WebhookSilent", "main would request 800m of cpu, not 200m")
	w.clock.Step(admissionLife)
	target.Sizes = []sizing.ContainerSize{{Role: sizing.DefaultRole, Container: "main", Startup: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("800m")}}}
	assert.Equal(t, decision.Done, w.execute(target, recreate(pods[0], want)).Result)
}

func TestAPodDisruptionBudgetBlocksAnEviction(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	w.webhook(sizes("200m", "128Mi"))
	two := intstr.FromInt32(2)
	_, err := w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Create(t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "both"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.eventually("the budget is known", func() bool {
		b, err := w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Get(t.Context(), "both", metav1.GetOptions{})
		return err == nil && b.Status.ObservedGeneration == b.Generation && b.Status.CurrentHealthy == 2
	})
	target := w.target(2, pods...)
	w.blocked(target, recreate(pods[0], sizes("200m", "128Mi")), "PodDisruptionBudget", "The disruption budget both needs 2 healthy pods and has 2 currently")
	// What was not done costs nothing.
	w.clock.Step(time.Minute)
	require.NoError(t, w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Delete(t.Context(), "both", metav1.DeleteOptions{}))
	w.eventually("evicted", func() bool {
		w.clock.Step(time.Duration(w.config.RetryInterval))
		return w.execute(target, recreate(pods[0], sizes("200m", "128Mi"))).Result == decision.Done
	})
}

func TestPodsThatAreNeverEvicted(t *testing.T) {
	w := newWorld(t)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	annotated := func(name, value string) func(*corev1.PodTemplateSpec) {
		return func(p *corev1.PodTemplateSpec) { p.Annotations = map[string]string{name: value} }
	}
	ours := w.deployment("ours", 2, annotated(DoNotDisruptAnnotation, "true"))
	w.blocked(w.target(2, ours...), recreate(ours[0], want), "DoNotDisrupt", `yagura.dev/do-not-disrupt: "true"`)
	theirs := w.deployment("theirs", 2, annotated(SafeToEvictAnnotation, "false"))
	w.blocked(w.target(2, theirs...), recreate(theirs[0], want), "DoNotDisrupt", SafeToEvictAnnotation)

	template := podTemplate("bare")
	_, err := w.kube.CoreV1().Pods(w.namespace).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Labels: template.Labels}, Spec: template.Spec}, metav1.CreateOptions{})
	require.NoError(t, err)
	bare := w.readyPods("bare", 1)
	w.blocked(w.target(1, bare...), recreate(bare[0], want), "NoController", "no controller")

	// A controller that nobody here knows how to ask. Its template may be known otherwise.
	template = podTemplate("odd")
	claim, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "set"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "set", UID: claim.UID, Controller: ptr.To(true)}
	_, err = w.kube.CoreV1().Pods(w.namespace).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "odd", Labels: template.Labels, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: template.Spec}, metav1.CreateOptions{})
	require.NoError(t, err)
	odd := w.readyPods("odd", 1)[0]
	target := w.target(2, odd, odd.DeepCopy()) // the second stands for another replica
	target.Pods[1].Object.UID = "another"
	w.blocked(target, recreate(odd, want), "TemplateUnknown", "ConfigMap set: what new pods would be made from is unknown")
	target.Template = &template
	w.clock.Step(time.Duration(w.config.RetryInterval))
	assert.Equal(t, decision.Done, w.execute(target, recreate(odd, want)).Result)
	w.clock.Step(time.Minute)

	work := podTemplate("job")
	work.Spec.RestartPolicy = corev1.RestartPolicyNever
	work.Spec.NodeSelector = map[string]string{"no": "such-node"} // a simulated node would end them at once
	_, err = w.kube.BatchV1().Jobs(w.namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"},
		Spec: batchv1.JobSpec{Template: work, Parallelism: ptr.To(int32(2)), Completions: ptr.To(int32(2))}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var job []*corev1.Pod
	w.eventually("the job's pods", func() bool { job = w.pods("job"); return len(job) == 2 })
	w.blocked(w.target(2, job...), recreate(job[0], want), "Job", "would lose its work")
}

func TestTheOnlyReplicaIsRolledOut(t *testing.T) {
	w := newWorld(t)
	old := w.deployment("web", 1)[0]
	want := sizes("200m", "128Mi")
	w.webhook(want)
	target := w.target(1, old)

	w.policy.Spec.Vertical.Recreate.SingleReplica = v1alpha1.SingleNever
	w.blocked(target, recreate(old, want), "SingleReplica", "only replica")
	w.policy.Spec.Vertical.Recreate.SingleReplica = v1alpha1.SingleSurge

	got := w.execute(target, recreate(old, want))
	assert.Equal(t, decision.PodAction{Pod: old.Name, Method: decision.Surge, Result: decision.Done, Reason: "rolled out Deployment web"}, got)
	assert.Equal(t, "RollingOut", w.execute(target, recreate(old, want)).Code)

	var now []*corev1.Pod
	w.eventually("the new pod alone", func() bool {
		now = w.readyPods("web", 1)
		return now[0].UID != old.UID
	})
	assert.True(t, sameResources(want, now[0].Spec.Containers[0].Resources))
	d, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	assert.True(t, sameResources(sizes("100m", "64Mi"), d.Spec.Template.Spec.Containers[0].Resources), "the manifest's sizes stay")
	assert.Len(t, d.Spec.Template.Annotations, 1)
	owned := 0
	for _, f := range d.ManagedFields {
		if f.Manager == "yagura-autoscaler-surge" {
			owned++
			assert.JSONEq(t, `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:yagura.dev/restartedAt":{}}}}}}`, f.FieldsV1.GetRawString())
		}
	}
	assert.Equal(t, 1, owned)

	// It would not help to do so again and again.
	w.clock.Step(2 * time.Minute)
	now[0].CreationTimestamp = metav1.NewTime(w.clock.Now().Add(-time.Minute)) // the cluster's clock is not the test's
	w.blocked(w.target(1, now[0]), recreate(now[0], sizes("300m", "256Mi")), "ReplacedLately", "without the size that it should have got")
}

func TestWhatCannotSurgeStays(t *testing.T) {
	w := newWorld(t)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	db := w.statefulSet("db", 1)[0]
	w.blocked(w.target(1, db), recreate(db, want), "CannotSurge", "a StatefulSet cannot put another one beside it")

	web := w.deployment("web", 1)[0]
	edit := func(change func(*appsv1.Deployment)) {
		w.eventually("edited", func() bool {
			d, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			require.NoError(t, err)
			change(d)
			_, err = w.kube.AppsV1().Deployments(w.namespace).Update(t.Context(), d, metav1.UpdateOptions{})
			require.True(t, err == nil || apierrors.IsConflict(err), err)
			return err == nil
		})
		w.eventually("seen", func() bool {
			d, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			return err == nil && d.Status.ObservedGeneration == d.Generation
		})
		w.clock.Step(time.Duration(w.config.RetryInterval))
	}
	edit(func(d *appsv1.Deployment) {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	})
	w.blocked(w.target(1, web), recreate(web, want), "CannotSurge", "strategy is Recreate")
	one, none := intstr.FromInt32(1), intstr.FromInt32(0)
	edit(func(d *appsv1.Deployment) {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &one, MaxSurge: &none}}
	})
	w.blocked(w.target(1, web), recreate(web, want), "CannotSurge", "maxSurge 0, maxUnavailable 1")
	edit(func(d *appsv1.Deployment) { d.Spec.Paused = true })
	w.blocked(w.target(1, web), recreate(web, want), "CannotSurge", "paused")
}

func TestWhatTheNodeCannotDoIsReplaced(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	w.execute(w.target(2, pods...), both(pods[0], want))
	deferred := w.node(pods[0], corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonDeferred, Message: "no room"})
	target := w.target(2, deferred, pods[1])
	assert.Equal(t, decision.Deferred, w.execute(target, both(deferred, want)).Result)
	w.clock.Step(time.Duration(w.config.DeferredTimeout))
	assert.Equal(t, decision.Deferred, w.execute(target, inPlace(deferred, want)).Result, "it may not be replaced")
	got := w.execute(target, both(deferred, want))
	assert.Equal(t, decision.PodAction{Pod: deferred.Name, Method: decision.Evict, Result: decision.Done, Reason: "no room; evicted"}, got)

	w.clock.Step(time.Minute)
	now := w.reported(w.readyPodsWithout("web", 2, pods[0]))
	target = w.target(2, now...)
	other := now[0]
	if other.UID != pods[1].UID {
		other = now[1]
	}
	w.execute(target, inPlace(other, want))
	infeasible := w.node(other, corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible, Message: "no such node"})
	got = w.execute(w.target(2, now[0], now[1]), both(infeasible, want))
	assert.Equal(t, decision.Done, got.Result, got.Reason)
	assert.Equal(t, decision.Evict, got.Method)
}

func (w *world) readyPodsWithout(app string, n int, gone *corev1.Pod) []*corev1.Pod {
	var pods []*corev1.Pod
	w.eventually("the replacement", func() bool {
		pods = w.readyPods(app, n)
		return !has(pods, gone)
	})
	return pods
}

func TestANewExecutorGoesByWhatItSees(t *testing.T) {
	w := newWorld(t)
	w.clock.SetTime(time.Now().Add(24 * time.Hour)) // the pods are old
	w.restart()
	pods := w.deployment("web", 3)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	assert.Equal(t, decision.Done, w.execute(w.target(3, pods...), recreate(pods[0], want)).Result)

	// The process is killed. What is left of it is a pod that is not there.
	w.restart()
	w.blocked(w.target(3, pods[1:]...), recreate(pods[1], want), "MaxUnavailable", "1 of 3 pods")

	// The controller made another one; it is young, and so was made for a pod that went lately.
	now := w.readyPodsWithout("web", 3, pods[0])
	for _, pod := range now {
		if !has(pods, pod) {
			assert.True(t, sameResources(want, pod.Spec.Containers[0].Resources))
			pod.CreationTimestamp = metav1.NewTime(w.clock.Now().Add(-20 * time.Second)) // the cluster's clock is not the test's
		}
	}
	w.restart()
	w.blocked(w.target(3, now...), recreate(pods[1], want), "Interval", "replaced 20s ago")
	w.clock.Step(40 * time.Second)
	assert.Equal(t, decision.Done, w.execute(w.target(3, now...), recreate(pods[1], want)).Result)
}
