package sizing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// memoryOf is the memory that a step has web request.
func memoryOf(step Step) string {
	q := step.Containers["web"].Requests[corev1.ResourceMemory]
	return q.String()
}

func TestModesAndLadder(t *testing.T) {
	tests := map[string]struct {
		mode    v1alpha1.Mode
		apply   v1alpha1.VerticalApply
		outcome decision.Outcome
		code    string
		steps   int
		sizes   bool
	}{
		"observe":           {v1alpha1.Observe, v1alpha1.ApplyInPlace, decision.Observed, "Observe", 0, false},
		"recommend":         {v1alpha1.Recommend, v1alpha1.ApplyInPlace, decision.Recommended, "Recommend", 0, true},
		"apply off":         {v1alpha1.Apply, v1alpha1.ApplyOff, decision.Recommended, "ApplyOff", 0, true},
		"on create":         {v1alpha1.Apply, v1alpha1.ApplyOnCreate, decision.Recommended, "OnCreate", 0, true},
		"in place":          {v1alpha1.Apply, v1alpha1.ApplyInPlace, decision.Resized, "Resize", 2, true},
		"in place or again": {v1alpha1.Apply, v1alpha1.ApplyInPlaceOrRecreate, decision.Resized, "Resize", 2, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 300*mi)
			s.in.Policy.Spec.Mode, s.in.Policy.Spec.Vertical.Apply = tc.mode, tc.apply
			d := s.decide()
			assert.Equal(t, tc.outcome, d.Record.Outcome)
			assert.Equal(t, tc.code, d.Record.Code)
			require.Len(t, d.Steps, tc.steps)
			assert.Equal(t, tc.sizes, len(d.Sizes) > 0)
			for _, step := range d.Steps {
				assert.True(t, step.InPlace)
				assert.Equal(t, tc.apply == v1alpha1.ApplyInPlaceOrRecreate, step.Recreate)
			}
		})
	}
}

func TestWhichPodsAreChanged(t *testing.T) {
	tests := map[string]struct {
		pod  func(*corev1.Pod)
		code string
		step bool
	}{
		"a running one":      {func(*corev1.Pod) {}, "Resize", true},
		"a pending one":      {func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, "NotRunning", false},
		"one that ends":      {func(p *corev1.Pod) { p.DeletionTimestamp = ptr(metav1.NewTime(now)) }, "NotRunning", false},
		"a static one":       {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, "NotRunning", false},
		"one on an old node": {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Resources = nil }, "NotInPlace", false},
		"one that has it": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = needs(list("cpu", "500m", "memory", "300Mi"), list("cpu", "1", "memory", "600Mi"))
		}, "Fits", false},
		"one that nearly has it": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = needs(list("cpu", "500m", "memory", "320Mi"), list("cpu", "1", "memory", "640Mi"))
		}, "Fits", false},
		"one with no requests, which would change its class": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
		}, "NotInPlace", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(1, tc.pod).fresh("web", corev1.ResourceMemory, 300*mi)
			d := s.decide()
			assert.Equal(t, tc.step, len(d.Steps) > 0)
			assert.Equal(t, tc.code, d.Record.Code, d.Record.Reason)
		})
	}
}

func TestAGuaranteedPodStaysGuaranteed(t *testing.T) {
	same := list("cpu", "1", "memory", "1Gi")
	s := newScene(named("web", needs(same, same))).pods(1).fresh("web", corev1.ResourceMemory, 300*mi).fresh("web", corev1.ResourceCPU, 0.2, func(r *Reading) { r.State = decision.Stale })
	d := s.decide()
	require.Len(t, d.Steps, 1)
	assert.Equal(t, "1 300Mi 1 300Mi", written(d.Steps[0].Containers["web"]))
}

func TestABurstablePodDoesNotBecomeGuaranteed(t *testing.T) {
	s := newScene(named("web", needs(list("cpu", "500m", "memory", "1Gi"), list("cpu", "1", "memory", "1Gi")))).pods(1)
	s.rule(v1alpha1.ContainerVerticalPolicy{Name: "*", Limits: v1alpha1.LimitFixed}).fresh("web", corev1.ResourceCPU, 3)
	d := s.decide()
	require.Len(t, d.Steps, 1)
	assert.Equal(t, "999m 1Gi 1 1Gi", written(d.Steps[0].Containers["web"]))
	carryOut(&s.in, d.Steps)
	assert.Empty(t, s.decide().Steps)
}

func TestStepsAreOrderedByHarm(t *testing.T) {
	s := newScene().pods(4).fresh("web", corev1.ResourceMemory, gi, func(r *Reading) { r.OOM = now.Add(-time.Minute) })
	have := []string{"2Gi", "700Mi", "500Mi", "800Mi"}
	for i := range s.in.Pods {
		s.in.Pods[i].Object.Spec.Containers[0].Resources = needs(list("memory", have[i]), list("memory", "4Gi"))
	}
	s.in.Memory.asked = map[Key]asked{{DefaultRole, "web", corev1.ResourceMemory}: {value: 0.9 * gi}}
	s.in.Pods[3].Killed = map[string]time.Time{"web": now.Add(-time.Minute)}
	d := s.decide()
	require.Len(t, d.Steps, 4)
	var order []string
	for _, step := range d.Steps {
		order = append(order, step.Pod.Name)
	}
	assert.Equal(t, []string{"web-3", "web-2", "web-1", "web-0"}, order, "the killed one, then who lacks most, then who wastes")
	assert.True(t, d.Steps[0].Urgent)
	assert.False(t, d.Steps[1].Urgent)
}

func TestThePeakProtectsEachPod(t *testing.T) {
	s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 300*mi, func(r *Reading) { r.Floor = 500 * mi })
	s.in.Pods[1].Object.Spec.Containers[0].Resources = needs(list("cpu", "500m", "memory", "400Mi"), list("cpu", "1", "memory", "800Mi"))
	d := s.decide()
	for _, step := range d.Steps {
		assert.GreaterOrEqual(t, amount(step.Containers["web"].Requests, corev1.ResourceMemory), 500*mi, step.Pod.Name)
	}
}

func TestTheBrakeLetsOnlyUrgentStepsPass(t *testing.T) {
	s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 300*mi)
	s.in.Brake = Brake{Reason: "20% of the cluster's pods were changed this hour"}
	d := s.decide()
	assert.Empty(t, d.Steps)
	assert.Equal(t, decision.Held, d.Record.Outcome)
	assert.Equal(t, "BrakeClosed", d.Record.Code)
	assert.Equal(t, "Held: 20% of the cluster's pods were changed this hour", d.Record.Reason)
}

func TestNodesThatDoNotCarryOutAResize(t *testing.T) {
	pending := func(reason string, age time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.NodeName = "n1"
			p.Spec.Containers[0].Resources = needs(list("cpu", "500m", "memory", "4Gi"), list("cpu", "1", "memory", "8Gi"))
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue,
				Reason: reason, Message: "not enough memory", LastTransitionTime: metav1.NewTime(now.Add(-age))})
		}
	}
	tests := map[string]struct {
		pod   func(*corev1.Pod)
		apply v1alpha1.VerticalApply
		step  bool
		code  string
	}{
		"never possible":                 {pending(corev1.PodReasonInfeasible, 0), v1alpha1.ApplyInPlaceOrRecreate, true, "Resize"},
		"never possible, not replaced":   {pending(corev1.PodReasonInfeasible, 0), v1alpha1.ApplyInPlace, false, "NotCarriedOut"},
		"no room now":                    {pending(corev1.PodReasonDeferred, time.Minute), v1alpha1.ApplyInPlaceOrRecreate, false, "Deferred"},
		"no room for long":               {pending(corev1.PodReasonDeferred, time.Hour), v1alpha1.ApplyInPlaceOrRecreate, true, "Resize"},
		"no room for long, not replaced": {pending(corev1.PodReasonDeferred, time.Hour), v1alpha1.ApplyInPlace, false, "NotCarriedOut"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(1, tc.pod).fresh("web", corev1.ResourceMemory, 4*gi)
			s.in.Policy.Spec.Vertical.Apply = tc.apply
			d := s.decide()
			assert.Equal(t, tc.code, d.Record.Code, d.Record.Reason)
			require.Equal(t, tc.step, len(d.Steps) == 1)
			if tc.step {
				assert.True(t, d.Steps[0].Recreate)
				assert.Equal(t, "4Gi", memoryOf(d.Steps[0]))
			}
		})
	}
}

func TestPodLevelResourcesFollowTheirContainers(t *testing.T) {
	s := newScene(web(), named("log", needs(list("cpu", "500m", "memory", "1Gi"), nil)))
	s.in.Template.Spec.Resources = &corev1.ResourceRequirements{Requests: list("cpu", "2", "memory", "4Gi"), Limits: list("cpu", "2", "memory", "4Gi")}
	s.pods(1).fresh("web", corev1.ResourceMemory, 3*gi)
	d := s.decide()
	require.Len(t, d.Steps, 1)
	require.NotNil(t, d.Steps[0].PodResources)
	// The containers request 4 GiB instead of 2, and the pod keeps twice that.
	assert.Equal(t, "2 8Gi 2 8Gi", written(*d.Steps[0].PodResources))
	assert.True(t, d.Steps[0].InPlace)
}

func TestRolesAreSizedApart(t *testing.T) {
	s := newScene().pods(2)
	s.in.Pods[0].Role, s.in.Pods[1].Role = "leader", "follower"
	s.fresh("web", corev1.ResourceMemory, 4*gi)
	reading := s.in.Readings[Key{DefaultRole, "web", corev1.ResourceMemory}]
	delete(s.in.Readings, Key{DefaultRole, "web", corev1.ResourceMemory})
	s.in.Readings[Key{"leader", "web", corev1.ResourceMemory}] = reading
	reading.Target = 300 * mi
	s.in.Readings[Key{"follower", "web", corev1.ResourceMemory}] = reading
	d := s.decide()
	require.Len(t, d.Steps, 2)
	assert.Equal(t, "4Gi", memoryOf(d.Steps[0]))
	assert.Equal(t, "300Mi", memoryOf(d.Steps[1]))
	assert.Contains(t, d.Record.Reason, "memory of web (leader) from 1 GiB to 4 GiB")
}

func TestOddTargets(t *testing.T) {
	s := newScene().fresh("web", corev1.ResourceMemory, 300*mi)
	assert.Equal(t, "NoPods", s.decide().Record.Code)
	s.in.Template = nil
	assert.Equal(t, "NoTemplate", s.decide().Record.Code)
	s.in.Policy.Spec.Vertical = nil
	assert.Equal(t, "NotVertical", s.decide().Record.Code)
}

func TestARestartedControllerGoesOnFromTheStatus(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 300*mi)
	d := s.decide()
	s.in.Policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: ToStatus(d.Sizes)}
	carryOut(&s.in, d.Steps)
	s.in.Memory = &Memory{}
	s.in.Readings = nil
	d = s.decide()
	assert.Empty(t, d.Steps)
	require.Len(t, d.Sizes, 1)
	assert.Equal(t, "300Mi", d.Sizes[0].Requests.Memory().String(), "created pods get what was published")
}

func TestTheAnswerToAKillIsUrgentUntilItIsInForce(t *testing.T) {
	answered := func(state decision.State) *scene {
		s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 3*gi-1, func(r *Reading) { r.OOM, r.State = now.Add(-2*time.Second), state })
		s.in.Brake = Brake{Reason: "enough for this hour"}
		s.in.Pods[0].Killed = map[string]time.Time{"web": now.Add(-2 * time.Second)}
		return s
	}
	for _, state := range []decision.State{decision.Fresh, decision.Stale} {
		t.Run(string(state), func(t *testing.T) {
			s := answered(state)
			for range 3 {
				// Nothing is carried out: the API server is slow, or another controller leads now.
				d := s.decide()
				require.Len(t, d.Steps, 1, d.Record.Reason)
				assert.True(t, d.Steps[0].Urgent)
				assert.Equal(t, "web-0", d.Steps[0].Pod.Name)
				assert.Equal(t, "OOM", d.Record.Code)
				s.in.Now = s.in.Now.Add(time.Second)
				s.in.Policy.Status.Vertical, s.in.Memory = verticalStatus(d), &Memory{}
			}
			carryOut(&s.in, s.decide().Steps)
			assert.Empty(t, s.decide().Steps, "the other pod waits for the brake")
			s.in.Pods[1].Killed = map[string]time.Time{"web": s.in.Now}
			s.in.Now = s.in.Now.Add(time.Second)
			d := s.decide()
			require.Len(t, d.Steps, 1, "until it is killed, too")
			assert.Equal(t, "web-1", d.Steps[0].Pod.Name)
			carryOut(&s.in, d.Steps)
			assert.Empty(t, s.decide().Steps)
		})
	}
}

func TestADeferredAnswerToAKillIsNotWaitedFor(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 3*gi, func(r *Reading) { r.OOM = now.Add(-2 * time.Second) })
	s.in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyInPlaceOrRecreate
	s.in.Brake = Brake{Reason: "enough for this hour"}
	s.in.Pods[0].Killed = map[string]time.Time{"web": now.Add(-2 * time.Second)}
	carryOut(&s.in, s.decide().Steps)
	pod := s.in.Pods[0].Object
	pod.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue,
		Reason: corev1.PodReasonDeferred, LastTransitionTime: metav1.NewTime(now)}}
	s.in.Now = now.Add(5 * time.Second)
	d := s.decide()
	require.Len(t, d.Steps, 1, d.Record.Reason)
	assert.True(t, d.Steps[0].Urgent && d.Steps[0].Recreate)
	assert.Equal(t, "3Gi", memoryOf(d.Steps[0]))
	// The node has found room.
	pod.Status.Conditions, pod.Status.ContainerStatuses = nil, statuses(pod.Spec.Containers)
	assert.Empty(t, s.decide().Steps)
}

func TestAReplacementAfterAKillSaysSo(t *testing.T) {
	s := newScene().pods(1, func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Resources = nil })
	s.fresh("web", corev1.ResourceMemory, 3*gi, func(r *Reading) { r.OOM = now.Add(-2 * time.Second) })
	s.in.Policy.Spec.Vertical.Apply = v1alpha1.ApplyInPlaceOrRecreate
	d := s.decide()
	assert.Equal(t, decision.Recreated, d.Record.Outcome)
	assert.Equal(t, "OOM", d.Record.Code)
}
