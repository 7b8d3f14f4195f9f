package replay_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// scripted says what it was told to.
type scripted struct {
	next   vertical.Estimate
	killed time.Time
}

func (s *scripted) Observe(vertical.Sample) bool                            { return true }
func (s *scripted) ObserveOOM(o vertical.OOM)                               { s.killed = o.Time }
func (s *scripted) Estimate(time.Time) (vertical.Estimate, bool)            { return s.next, true }
func (s *scripted) model(string, vertical.Resource) (vertical.Model, error) { return s, nil }

// TestRulesAreThoseOfSizing holds what a replay makes of estimates against what package sizing makes of them for a running pod. A
// replay has rules of its own only because millions of decisions with a record each would take minutes.
func TestRulesAreThoseOfSizing(t *testing.T) {
	for seed := range uint64(40) {
		for _, res := range []vertical.Resource{vertical.CPU, vertical.Memory} {
			t.Run(fmt.Sprintf("%s %d", res, seed), func(t *testing.T) { compareWithSizing(t, res, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
}

func compareWithSizing(t *testing.T, res vertical.Resource, random *rand.Rand) {
	unit, name := 1.0, corev1.ResourceCPU
	if res == vertical.Memory {
		unit, name = 256<<20, corev1.ResourceMemory
	}
	quantity := func(v float64) resource.Quantity {
		if res == vertical.CPU {
			return *resource.NewMilliQuantity(int64(math.Round(v*1000)), resource.DecimalSI)
		}
		return *resource.NewQuantity(int64(math.Round(v/(1<<20)))<<20, resource.BinarySI)
	}
	declared := quantity(unit * (0.2 + random.Float64()))
	policy := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"}, Spec: v1alpha1.WorkloadAutoscalerSpec{
		TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"}, Mode: v1alpha1.Apply,
		Vertical: &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyInPlace, Rollback: &v1alpha1.RollbackPolicy{Window: &metav1.Duration{}},
			Containers: []v1alpha1.ContainerVerticalPolicy{{Name: "main", Resources: []v1alpha1.SizedResource{v1alpha1.SizedResource(name)}}}},
	}}
	c := &policy.Spec.Vertical.Containers[0]
	if random.IntN(2) == 0 {
		c.MinAllowed = corev1.ResourceList{name: quantity(unit * 0.3)}
	}
	if random.IntN(2) == 0 {
		c.MaxAllowed = corev1.ResourceList{name: quantity(unit * 1.5)}
	}
	if random.IntN(2) == 0 {
		tolerance := resource.MustParse("0.25")
		policy.Spec.Vertical.Tolerance = &tolerance
	}
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
	template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{name: declared}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1", UID: "1"}, Spec: *template.Spec.DeepCopy(), Status: corev1.PodStatus{Phase: corev1.PodRunning}}

	model := &scripted{}
	rules, sized := replay.RulesFor(policy, "main", res)
	require.True(t, sized)
	rules.Declared = declared.AsApproximateFloat64()
	engine, err := replay.New(replay.Config{Model: model.model, Rules: func(string, vertical.Resource) replay.Rules { return rules }})
	require.NoError(t, err)
	var memory sizing.Memory
	for i := range 200 {
		now := start.Add(time.Duration(i) * 5 * time.Minute)
		usage := unit * random.Float64()
		model.next = vertical.Estimate{Target: unit * 2 * random.Float64(), Confidence: math.Sqrt(random.Float64()), Model: "Scripted", Reason: "it is written", Samples: i + 1}
		if random.IntN(3) == 0 {
			model.next.Floor = unit * random.Float64()
		}
		step, err := engine.Step(replay.Sample{Container: "main", Resource: res, Time: now, Usage: usage})
		require.NoError(t, err)

		d := sizing.Decide(sizing.Input{Now: now, Policy: policy, Template: &template, Replicas: 1, Pods: []sizing.Pod{{Object: pod}}, Memory: &memory, Brake: sizing.Brake{Open: true},
			Readings: map[sizing.Key]sizing.Reading{{Role: sizing.DefaultRole, Container: "main", Resource: name}: {Estimate: model.next, State: decision.Fresh, Usage: usage, OOM: model.killed}}})
		require.Len(t, d.Sizes, 1)
		want := d.Sizes[0].Requests[name]
		require.NotNil(t, step.Next)
		require.InDelta(t, want.AsApproximateFloat64(), *step.Next, 1e-9*unit, "step %d of %+v after %v: %+v", i, model.next, step.Request, d.Record.Sizes)
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{name: want}
	}
}
