package nodes

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestPodsThatComeTogetherArePlannedTogether(t *testing.T) {
	b := batcher{idle: 150 * time.Millisecond, max: time.Second}
	_, ok := b.due()
	assert.False(t, ok)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	b.note(at(0))
	assert.False(t, b.take(at(149)))
	for ms := 100; ms <= 900; ms += 100 {
		b.note(at(ms))
		assert.False(t, b.take(at(ms+99)))
	}
	assert.True(t, b.take(at(1000)), "never later than a second after the first")
	assert.False(t, b.take(at(2000)), "until another one comes")
	b.note(at(3000))
	assert.True(t, b.take(at(3150)))
}

func TestTheInboxKeepsTheNewestOfEachObject(t *testing.T) {
	b := newInbox()
	h := b.handler(podKind, "pod", relevantPod)
	pod := func(name, version, node string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: version, Generation: 1}, Spec: corev1.PodSpec{NodeName: node}}
	}
	h.OnAdd(pod("a", "1", ""), true)
	h.OnAdd(pod("b", "2", ""), true)
	h.OnUpdate(pod("a", "1", ""), pod("a", "3", "n"))
	h.OnUpdate(pod("b", "2", ""), pod("b", "4", "")) // nothing that matters
	h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "shop/b", Obj: pod("b", "4", "")})
	<-b.wake
	events := b.take()
	require.Len(t, events, 2)
	assert.Equal(t, "3", events[0].object.GetResourceVersion())
	assert.True(t, events[1].deleted)
	assert.Empty(t, b.take())
}

func unplaced(name string, judged bool) *corev1.Pod {
	pod := largePod(name, "", 0)
	if !judged {
		pod.Status.Conditions = nil
	}
	return pod
}

func plannedPods(w *world) int {
	n := 0
	p := w.state.Plan(cluster.Options{SkipBound: true})
	for _, node := range p.Create {
		n += len(node.Pods)
	}
	return n + len(p.Placed) + len(p.Unschedulable)
}

func TestThePodsThatTheSchedulerHasNotJudgedWaitAMoment(t *testing.T) {
	w := newWorld(2 * time.Second)
	assert.Zero(t, w.apply(event{object: unplaced("new", false)}, start))
	assert.Zero(t, w.release(start.Add(time.Second)))
	assert.Zero(t, plannedPods(w))
	assert.Len(t, w.pending, 1)
	assert.Equal(t, plan, w.apply(event{object: unplaced("judged", true)}, start))
	assert.Equal(t, 1, plannedPods(w))
	assert.Equal(t, plan, w.release(start.Add(2*time.Second)), "a scheduler that is silent is not waited for")
	assert.Equal(t, 2, plannedPods(w))
	w.apply(event{object: largePod("judged", "node-1", 0)}, start)
	w.apply(event{object: unplaced("new", true), deleted: true}, start)
	assert.Zero(t, plannedPods(w))
	assert.Empty(t, w.pending)
}

func claimOf(name string, phase v1alpha1.NodeClaimPhase) *v1alpha1.NodeClaim {
	return &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u-1", ResourceVersion: "5"},
		Spec: v1alpha1.NodeClaimSpec{Policy: "general", Taints: []corev1.Taint{{Key: "team", Value: "shop", Effect: corev1.TaintEffectNoSchedule}},
			StartupTaints: []corev1.Taint{{Key: "prepare", Effect: corev1.TaintEffectNoSchedule}},
			Offer: v1alpha1.ClaimedOffer{Name: "m", Zone: "a", PricePerHour: resource.MustParse("0.5"), Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}}},
		Status: v1alpha1.NodeClaimStatus{Phase: phase}}
}

func nodeOf(name, claim string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelNodeClaim: claim, v1alpha1.LabelNodePolicy: "general"}}, Spec: corev1.NodeSpec{Taints: taints}}
}

// A claim is counted on from its charge until its node is ready, under one name at a time, so that nothing is bought twice.
func TestANodeThatIsBeingMadeIsCountedOn(t *testing.T) {
	w := newWorld(0)
	w.apply(event{object: claimOf("general-1", v1alpha1.ClaimPending)}, start)
	w.settle()
	view, ok := w.state.NodeView("general-1")
	require.True(t, ok)
	assert.True(t, view.Expected)
	assert.Equal(t, 0.5, view.PricePerHour)
	assert.Equal(t, "a", view.Node.Node.Labels[corev1.LabelTopologyZone])

	// It registers under another name, with the taints of a node that boots and nothing to offer yet.
	boot := nodeOf("ip-10-0-0-1", "general-1", corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule},
		corev1.Taint{Key: "prepare", Effect: corev1.TaintEffectNoSchedule}, corev1.Taint{Key: v1alpha1.TaintUnregistered, Effect: corev1.TaintEffectNoExecute})
	w.apply(event{object: boot}, start)
	w.settle()
	assert.Equal(t, []string{"ip-10-0-0-1"}, w.state.Nodes())
	view, _ = w.state.NodeView("ip-10-0-0-1")
	assert.True(t, view.Expected)
	assert.Equal(t, []corev1.Taint{{Key: "team", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}, view.Node.Node.Spec.Taints)
	assert.Equal(t, "4", view.Allocatable.Cpu().String())

	ready := claimOf("general-1", v1alpha1.ClaimReady)
	ready.ResourceVersion = "6"
	w.apply(event{object: ready}, start)
	w.apply(event{object: claimOf("general-1", v1alpha1.ClaimPending)}, start) // an older answer comes late
	w.settle()
	view, _ = w.state.NodeView("ip-10-0-0-1")
	assert.False(t, view.Expected)
	assert.False(t, view.Leaving)

	leaving := ready.DeepCopy()
	leaving.ResourceVersion, leaving.Status.Disruption = "7", &v1alpha1.ClaimDisruption{}
	w.apply(event{object: leaving}, start)
	w.settle()
	view, _ = w.state.NodeView("ip-10-0-0-1")
	assert.True(t, view.Leaving)

	w.apply(event{object: leaving, deleted: true}, start)
	w.settle()
	view, _ = w.state.NodeView("ip-10-0-0-1")
	assert.True(t, view.Leaving, "its machine is gone, so it will be")
	w.apply(event{object: boot, deleted: true}, start)
	w.settle()
	assert.Empty(t, w.state.Nodes())
}

func TestAClaimThatNoWatchEverShowsIsForgotten(t *testing.T) {
	w := newWorld(0)
	w.setClaim(claimOf("general-1", v1alpha1.ClaimPending), start)
	w.settle()
	assert.Equal(t, []string{"general-1"}, w.state.Nodes())
	w.forgetGhosts(start.Add(boughtLife + time.Second))
	w.settle()
	assert.Empty(t, w.state.Nodes())
}

func TestDecidedPodsAreThoseThatAreNotThereYet(t *testing.T) {
	w := newWorld(0)
	replicas := int32(5)
	yes := true
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "d"}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}}}}}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "rs", OwnerReferences: []metav1.OwnerReference{{UID: "d", Controller: &yes}}}}
	policy := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:   v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, Horizontal: &v1alpha1.HorizontalPolicy{}},
		Status: v1alpha1.WorkloadAutoscalerStatus{DesiredReplicas: 5}}
	key := func(k kind, name string) eventKey { e := eventKey{kind: k}; e.name.Name = name; return e }
	w.apply(event{key: key(ownerKind, "web"), object: d}, start)
	w.apply(event{key: key(ownerKind, "web-1"), object: set}, start)
	w.apply(event{object: policy}, start)
	for _, name := range []string{"a", "b"} {
		pod := largePod(name, "node-1", 0)
		pod.Namespace, pod.OwnerReferences[0].UID = "shop", "rs"
		w.apply(event{object: pod}, start)
	}
	var book demandBook
	demand := w.decided(&book, start)
	require.Len(t, demand, 1)
	assert.Equal(t, 3, demand[0].Count)
	assert.Equal(t, "1", demand[0].Pod.Spec.Containers[0].Resources.Requests.Cpu().String(), "requests follow from limits")
	assert.Empty(t, d.Spec.Template.Spec.Containers[0].Resources.Requests, "the cache's object is left alone")

	assert.Empty(t, w.decided(&book, start.Add(maxUnborn+time.Second)), "nobody makes these pods")
	fewer := d.DeepCopy()
	two := int32(2)
	fewer.Spec.Replicas = &two
	w.apply(event{key: key(ownerKind, "web"), object: fewer}, start)
	assert.Empty(t, w.decided(&demandBook{}, start), "somebody has set fewer replicas since")
	at := metav1.NewTime(start.Add(-time.Second))
	policy.Status.LastScaleTime = &at
	assert.Len(t, w.decided(&demandBook{}, start), 1, "the decision is a second old")
}

func TestAWatchThatStaysBrokenIsTold(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	h := NewWatchHealth(clock)
	for range 5 {
		h.Failed("pods", errors.New("forbidden"))
		clock.Step(20 * time.Second)
	}
	what, broken := h.Broken(time.Minute)
	assert.True(t, broken)
	assert.Equal(t, "pods could not be watched for 1m40s: forbidden", what)
	_, broken = h.Broken(2 * time.Minute)
	assert.False(t, broken)
	clock.Step(quiet)
	_, broken = h.Broken(0)
	assert.False(t, broken, "it has not failed for a while, so it works")
}

func TestConfigErrorsNameTheField(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for field, edit := range map[string]func(*Config){
		"interval":              func(c *Config) { c.Interval = 0 },
		"batchMax":              func(c *Config) { c.BatchMax = c.BatchIdle - 1 },
		"maxNodesPerPlan":       func(c *Config) { c.MaxNodesPerPlan = 0 },
		"workers":               func(c *Config) { c.Workers = 0 },
		"maxStaleness":          func(c *Config) { c.MaxStaleness = 0 },
		"consolidation.horizon": func(c *Config) { c.Consolidation.Horizon.Duration = 0 },
		"forecast.interval":     func(c *Config) { c.Forecast.Interval = 0 },
		"forecast.history":      func(c *Config) { c.Forecast.History = 0 },
		"forecast.maxWorkloads": func(c *Config) { c.Forecast.MaxWorkloads = 0 },
		"forecast.bootTime":     func(c *Config) { c.Forecast.BootTime = 0 },
	} {
		cfg := DefaultConfig()
		edit(&cfg)
		assert.ErrorContains(t, cfg.Validate(), field)
	}
}

// The claims of a StatefulSet's next pod, and those of ephemeral volumes, are made together with the pod.
func TestDecidedPodsDoNotWaitForClaimsThatComeWithThem(t *testing.T) {
	replicas := int32(1)
	claimed := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "s"}, Spec: appsv1.StatefulSetSpec{Replicas: &replicas,
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}, Volumes: []corev1.Volume{claimed("data"), claimed("shared"),
			{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}}}}}
	w := newWorld(0)
	w.apply(event{object: set}, start)
	w.apply(event{object: &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
		Spec:   v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{Kind: "StatefulSet", Name: "db"}, Horizontal: &v1alpha1.HorizontalPolicy{}},
		Status: v1alpha1.WorkloadAutoscalerStatus{DesiredReplicas: 1}}}, start)
	demand := w.decided(&demandBook{}, start)
	require.Len(t, demand, 1)
	assert.Equal(t, []corev1.Volume{claimed("shared")}, demand[0].Pod.Spec.Volumes)
	assert.Len(t, set.Spec.Template.Spec.Volumes, 3, "the cache's object is left alone")
}

// A kubelet's first Node object may carry the claim's name and nothing else: no label, no provider's id, no room.
func TestANodeThatHasJustComeDoesNotHideItsClaim(t *testing.T) {
	w := newWorld(2 * time.Second)
	claim := claimOf("n-1", v1alpha1.ClaimLaunched)
	w.setClaim(claim, start)
	w.settle()
	bare := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-1", ResourceVersion: "5"}}
	w.applyNode(bare, false)
	w.settle()
	view, ok := w.state.NodeView("n-1")
	require.True(t, ok)
	assert.True(t, view.Expected)
	assert.False(t, view.Allocatable.Cpu().IsZero())

	// Its claim goes, the node of that name stays: it is somebody else's.
	w.applyClaim(claim, true)
	w.settle()
	view, ok = w.state.NodeView("n-1")
	require.True(t, ok)
	assert.False(t, view.Expected)
}
