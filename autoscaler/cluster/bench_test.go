package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// binPackingPods are those of cluster-autoscaler's public benchmark.
func binPackingPods() []*corev1.Pod {
	out := make([]*corev1.Pod, 0, 51000)
	for i := range 50000 {
		out = append(out, pod(numbered("small", i), "50m", "100"))
	}
	for i := range 1000 {
		out = append(out, pod(numbered("large", i), "95m", "190"))
	}
	return out
}

func binPackingOffer() Offer {
	o := offer("only", "a", "1000m", "5000", 1)
	o.Allocatable[corev1.ResourcePods] = list("100", "0")[corev1.ResourceCPU]
	return o
}

func TestBinPackingBenchmarkNeedsTheFewestNodes(t *testing.T) {
	s := NewState()
	for _, p := range binPackingPods() {
		upsert(t, s, p)
	}
	s.SetOffers([]Offer{binPackingOffer()})
	plan := s.Plan(Options{})
	if len(plan.Create) != 2595 || plannedPods(plan) != 51000 || len(plan.Unschedulable) != 0 {
		t.Fatalf("%d pods on %d nodes, %d without a place", plannedPods(plan), len(plan.Create), len(plan.Unschedulable))
	}
	if plan.Cost.LowerBound < 2594.999 || plan.Cost.LowerBound > 2595.001 {
		t.Errorf("lower bound %v", plan.Cost.LowerBound)
	}
}

func BenchmarkBinPacking(b *testing.B) {
	pods := binPackingPods()
	b.Run("classify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := NewState()
			for _, p := range pods {
				upsert(b, s, p)
			}
		}
	})
	s := NewState()
	for _, p := range pods {
		upsert(b, s, p)
	}
	s.SetOffers([]Offer{binPackingOffer()})
	b.Run("plan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if plan := s.Plan(Options{}); len(plan.Create) != 2595 {
				b.Fatal(len(plan.Create))
			}
		}
	})
}
