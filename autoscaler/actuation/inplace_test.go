package actuation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestResizesInPlaceOnceAndRemembersWhatWasThere(t *testing.T) {
	w := newWorld(t)
	old := w.deployment("web", 2)
	step := inPlace(old[0], sizes("200m", "128Mi"))

	got := w.execute(w.target(2, old...), step)
	assert.Equal(t, decision.PodAction{Pod: old[0].Name, Method: decision.InPlace, Result: decision.Pending, Code: "Unseen", Reason: "the resize was sent"}, got)
	resized := w.pod(old[0].Name)
	assert.True(t, sameResources(sizes("200m", "128Mi"), resized.Spec.Containers[0].Resources), "%v", resized.Spec.Containers[0].Resources)
	assert.Equal(t, old[0].UID, resized.UID)

	// A cache that is behind brings the same step again, and nothing is written for it.
	again := w.execute(w.target(2, old...), step)
	assert.Equal(t, decision.Pending, again.Result)
	assert.Equal(t, resized.ResourceVersion, w.pod(old[0].Name).ResourceVersion)

	// The pod itself tells a successor what there was.
	w.restart()
	at, from := w.x.Changed(resized)
	assert.WithinDuration(t, w.clock.Now(), at, 0)
	require.Contains(t, from, "main")
	assert.True(t, sameResources(sizes("100m", "64Mi"), from["main"]))
	never, _ := w.x.Changed(old[1])
	assert.True(t, never.IsZero())

	w.clock.Step(time.Second)
	step.Pod = resized
	assert.Equal(t, decision.Pending, w.execute(w.target(2, resized, old[1]), step).Result)
	seen := w.node(resized)
	step.Pod = seen
	assert.Equal(t, decision.Done, w.execute(w.target(2, seen, old[1]), step).Result)
}

func TestWhatTheNodeSays(t *testing.T) {
	w := newWorld(t)
	old := w.deployment("web", 1)[0]
	w.execute(w.target(1, old), inPlace(old, sizes("200m", "128Mi")))

	tests := []struct {
		condition corev1.PodCondition
		want      decision.PodAction
	}{
		{corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonDeferred, Message: "Node didn't have enough resource: memory"},
			decision.PodAction{Result: decision.Deferred, Reason: "Node didn't have enough resource: memory"}},
		{corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible, Message: "Node didn't have enough capacity: memory"},
			decision.PodAction{Result: decision.Infeasible, Reason: "Node didn't have enough capacity: memory"}},
		{corev1.PodCondition{Type: corev1.PodResizeInProgress}, decision.PodAction{Result: decision.Pending, Code: "Running", Reason: "the node is carrying the resize out"}},
		{corev1.PodCondition{Type: corev1.PodResizeInProgress, Reason: corev1.PodReasonError, Message: "memory limit is below usage"},
			decision.PodAction{Result: decision.Pending, Code: "Error", Reason: "memory limit is below usage"}},
	}
	for _, tc := range tests {
		pod := w.node(old, tc.condition)
		tc.want.Pod, tc.want.Method = pod.Name, decision.InPlace
		assert.Equal(t, tc.want, w.execute(w.target(1, pod), inPlace(pod, sizes("200m", "128Mi"))))
	}
}

func TestTheAPIRefuses(t *testing.T) {
	w := newWorld(t)
	bare := w.deployment("web", 1, func(p *corev1.PodTemplateSpec) { p.Spec.Containers[0].Resources = corev1.ResourceRequirements{} })[0]
	step := inPlace(bare, sizes("200m", "128Mi"))
	got := w.execute(w.target(1, bare), step)
	assert.Equal(t, decision.Refused, got.Result)
	assert.Equal(t, "Invalid", got.Code)
	assert.Contains(t, got.Reason, "Pod QOS Class may not change as a result of resizing")
	at, _ := w.x.Changed(w.pod(bare.Name))
	assert.True(t, at.IsZero(), "a refused resize is no change")
	assert.True(t, w.x.Brake(w.clock.Now()).Open)

	// It is not asked again each second.
	before := w.pod(bare.Name).ResourceVersion
	assert.Equal(t, got, w.execute(w.target(1, bare), step))
	assert.Equal(t, before, w.pod(bare.Name).ResourceVersion)

	step.Containers["sidecar"] = sizes("1", "1Gi")
	delete(step.Containers, "main")
	assert.Equal(t, "NoSuchContainer", w.execute(w.target(1, bare), step).Code)
}

func TestAnotherPodOfTheSameNameIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	pod := w.statefulSet("db", 1)[0]
	stale := pod.DeepCopy()
	stale.UID = "another"
	assert.Equal(t, "Gone", w.execute(w.target(1, stale), inPlace(stale, sizes("1", "1Gi"))).Code)
	assert.Equal(t, pod.Generation, w.pod(pod.Name).Generation)
}

func TestSidecarsAndPodResources(t *testing.T) {
	w := newWorld(t)
	w.nodesDeclare("InPlacePodLevelResourcesVerticalScaling")
	always := corev1.ContainerRestartPolicyAlways
	pod := w.deployment("web", 1, func(p *corev1.PodTemplateSpec) {
		p.Spec.InitContainers = []corev1.Container{{Name: "proxy", Image: "none", RestartPolicy: &always, Resources: sizes("50m", "32Mi")}}
		whole := sizes("300m", "256Mi")
		p.Spec.Resources = &whole
	})[0]
	step := inPlace(pod, sizes("100m", "128Mi"))
	step.Containers["proxy"] = sizes("50m", "64Mi")
	whole := sizes("400m", "512Mi")
	step.PodResources = &whole
	got := w.execute(w.target(1, pod), step)
	assert.Equal(t, decision.Pending, got.Result, got.Reason)
	after := w.pod(pod.Name)
	assert.True(t, sameResources(sizes("50m", "64Mi"), after.Spec.InitContainers[0].Resources))
	assert.True(t, sameResources(sizes("100m", "128Mi"), after.Spec.Containers[0].Resources))
	assert.True(t, sameResources(whole, *after.Spec.Resources))
	c, ok := ChangeOf(after)
	require.True(t, ok)
	assert.True(t, sameResources(sizes("300m", "256Mi"), *c.Pod))
}

func TestARestartIsNotAResizeInPlace(t *testing.T) {
	w := newWorld(t)
	pod := w.deployment("web", 2, func(p *corev1.PodTemplateSpec) {
		p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}}
	})
	cpu := inPlace(pod[0], sizes("200m", "64Mi"))
	assert.Equal(t, decision.Pending, w.execute(w.target(2, pod...), cpu).Result, "the policy is about memory")
	memory := inPlace(pod[1], sizes("100m", "128Mi"))
	got := w.execute(w.target(2, pod...), memory)
	assert.Equal(t, decision.Blocked, got.Result)
	assert.Equal(t, "RestartNeeded", got.Code)
	assert.Equal(t, pod[1].Generation, w.pod(pod[1].Name).Generation)

	w.clock.Step(time.Minute)
	memory.Recreate = true
	got = w.execute(w.target(2, pod...), memory)
	assert.Equal(t, decision.Pending, got.Result, got.Reason)
	assert.Equal(t, decision.InPlace, got.Method)
	// It took the target's turn.
	first := both(w.pod(pod[0].Name), sizes("200m", "128Mi"))
	assert.Equal(t, "Interval", w.execute(w.target(2, pod...), first).Code)
}
