package sizing

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestPodsAreResizedInPlaceToWhatTheyUse(t *testing.T) {
	d := newScene().pods(3).fresh("web", corev1.ResourceCPU, 0.2).fresh("web", corev1.ResourceMemory, 600*mi).decide()
	assert.Equal(t, decision.Resized, d.Record.Outcome)
	assert.Equal(t, "Resize", d.Record.Code)
	assert.Equal(t, "Resized 3 pods: cpu of web from 500m to 200m: the peak was that", d.Record.Reason)
	require.Len(t, d.Steps, 3)
	step := d.Steps[0]
	assert.True(t, step.InPlace)
	assert.False(t, step.Recreate || step.Urgent || step.RollBack)
	assert.Equal(t, written(needs(list("cpu", "200m", "memory", "600Mi"), list("cpu", "400m", "memory", "1200Mi"))), written(step.Containers["web"]))
	require.Len(t, d.Sizes, 1)
	assert.Equal(t, "600Mi", d.Sizes[0].Requests.Memory().String())
	assert.Equal(t, "400m", d.Sizes[0].Limits.Cpu().String())
}

// written is how requirements are written, so that equal quantities compare equal.
func written(r corev1.ResourceRequirements) string {
	return fmt.Sprintf("%s %s %s %s", r.Requests.Cpu(), r.Requests.Memory(), r.Limits.Cpu(), r.Limits.Memory())
}

func TestNothingIsTakenWhileUsageIsUnknown(t *testing.T) {
	for _, state := range []decision.State{decision.Stale, decision.Missing, decision.Invalid} {
		stale := func(r *Reading) { r.State, r.Reason = state, "the newest sample is 5m old" }
		d := newScene().pods(2).fresh("web", corev1.ResourceCPU, 0.1, stale).fresh("web", corev1.ResourceMemory, 100*mi, stale).decide()
		assert.Equal(t, decision.Held, d.Record.Outcome)
		assert.Equal(t, "Signal"+string(state), d.Record.Code)
		assert.True(t, d.Record.Alarming())
		assert.Empty(t, d.Steps)
		assert.Equal(t, "1Gi", d.Sizes[0].Requests.Memory().String())
	}
}

func TestAKillIsAnsweredEvenWithoutFreshUsage(t *testing.T) {
	s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 1.5*gi, func(r *Reading) {
		r.State, r.OOM = decision.Stale, now.Add(-time.Second)
	})
	s.in.Pods[1].Killed = map[string]time.Time{"web": now.Add(-time.Second)}
	s.in.Brake = Brake{Reason: "enough for this hour"}
	d := s.decide()
	require.Len(t, d.Steps, 1, "the brake keeps the pods that were not killed")
	assert.Equal(t, "web-1", d.Steps[0].Pod.Name)
	assert.True(t, d.Steps[0].Urgent)
	to := d.Steps[0].Containers["web"]
	assert.Equal(t, "1536Mi", to.Requests.Memory().String())
	assert.Equal(t, "3Gi", to.Limits.Memory().String())
	assert.Equal(t, decision.Resized, d.Record.Outcome)
	assert.Equal(t, "OOM", d.Record.Code)
}

func TestALeakGrowsNoFurtherThanAllowedAndIsNamed(t *testing.T) {
	s := newScene().pods(1).rule(v1alpha1.ContainerVerticalPolicy{Name: "web", MaxAllowed: list("memory", "1Gi")})
	s.fresh("web", corev1.ResourceMemory, 9*gi, func(r *Reading) { r.Estimate.Reason = "it grows by 1 GiB a day and never falls: a leak" })
	d := s.decide()
	assert.Empty(t, d.Steps)
	assert.Equal(t, decision.Held, d.Record.Outcome)
	assert.Equal(t, "MaxAllowed", d.Record.Code)
	assert.Equal(t, "Held: memory of web: the policy allows 1 GiB at most and 9 GiB is asked for (it grows by 1 GiB a day and never falls: a leak)", d.Record.Reason)
	assert.False(t, d.Record.Alarming())
}

func TestPublishedReasonsStandStill(t *testing.T) {
	s := newScene().pods(1)
	var first []v1alpha1.ContainerSizeStatus
	for i := range 20 {
		s.fresh("web", corev1.ResourceMemory, (600+float64(i)/10)*mi, func(r *Reading) {
			r.Estimate.Reason = fmt.Sprintf("a peak of %d", i)
			r.Lower, r.Upper = r.Target*0.9, r.Target*1.1
		})
		d := s.decide()
		carryOut(&s.in, d.Steps)
		status := ToStatus(d.Sizes)
		if i == 0 {
			first = status
			continue
		}
		assert.Equal(t, first[0].Reason, status[0].Reason)
		assert.Equal(t, first[0].Target, status[0].Target)
	}
	assert.Contains(t, first[0].Reason, "a peak of 0")
}

func TestWhoSizesTheTargetAlreadyIsLeftToIt(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 100*mi)
	s.in.Owner = "VerticalPodAutoscaler shop/web"
	d := s.decide()
	assert.Equal(t, decision.Held, d.Record.Outcome)
	assert.Equal(t, "OwnedElsewhere", d.Record.Code)
	assert.Empty(t, d.Steps)
	assert.Empty(t, d.Sizes)
	s.in.Policy.Spec.Mode = v1alpha1.Recommend
	d = s.decide()
	assert.Equal(t, decision.Recommended, d.Record.Outcome)
	assert.NotEmpty(t, d.Sizes)
	s.in.Brake = Brake{Reason: "enough for this hour"}
	assert.Equal(t, decision.Recommended, s.decide().Record.Outcome, "what is not applied needs no brake")
}
