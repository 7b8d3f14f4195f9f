package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// mixes are kinds of requests, without demands on where pods go.
var mixes = map[string]func(r *rand.Rand) (cpu, memory int64){
	"few sizes": func(r *rand.Rand) (int64, int64) {
		return []int64{100, 250, 500, 1000, 1500}[r.IntN(5)], []int64{100, 256, 512, 1024, 2048, 4096}[r.IntN(6)]
	},
	"any size":     func(r *rand.Rand) (int64, int64) { return 10 + r.Int64N(3000), 32 + r.Int64N(8192) },
	"CPU-heavy":    func(r *rand.Rand) (int64, int64) { return 500 + r.Int64N(7500), 128 + r.Int64N(1024) },
	"memory-heavy": func(r *rand.Rand) (int64, int64) { return 50 + r.Int64N(500), 1024 + r.Int64N(16384) },
	"tiny":         func(r *rand.Rand) (int64, int64) { return 5 + r.Int64N(20), 8 + r.Int64N(64) },
	"long tail": func(r *rand.Rand) (int64, int64) {
		x := r.ExpFloat64()
		return 20 + int64(400*x*x), 32 + int64(1000*x*r.ExpFloat64())
	},
	"large":    func(r *rand.Rand) (int64, int64) { return 4000 + r.Int64N(28000), 8192 + r.Int64N(100000) },
	"one size": func(*rand.Rand) (int64, int64) { return 700, 1900 },
}

func mixedPods(name string, count int) []*corev1.Pod {
	r := rand.New(rand.NewPCG(uint64(count), 3))
	out := make([]*corev1.Pod, count)
	for i := range out {
		cpu, memory := mixes[name](r)
		out[i] = pod(numbered("pod", i), fmt.Sprintf("%dm", cpu), fmt.Sprintf("%dMi", memory))
	}
	return out
}

func TestFleetCostsAtMostThreePercentMoreThanTheBound(t *testing.T) {
	offers := sharedOffers(t)
	for _, name := range sortedKeys(mixes) {
		for _, count := range []int{300, 3000} {
			s := NewState()
			for _, p := range mixedPods(name, count) {
				upsert(t, s, p)
			}
			s.SetOffers(offers)
			plan := s.Plan(Options{})
			check(t, s, plan)
			ratio := plan.Cost.After / plan.Cost.LowerBound
			t.Logf("%s, %d pods: %d nodes, %.4f of the bound", name, count, len(plan.Create), ratio)
			if ratio > 1.03 || ratio < 1 || plannedPods(plan) != count {
				t.Errorf("%s, %d pods: %d planned at %.4f of the bound", name, count, plannedPods(plan), ratio)
			}
		}
	}
}
