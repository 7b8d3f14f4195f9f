package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// randomState is a small cluster with every constraint that the checker knows.
func randomState(t testing.TB, r *rand.Rand) *State {
	zones := []string{"a", "b", "c"}[:1+r.IntN(3)]
	zone := func() string { return zones[r.IntN(len(zones))] }
	taint := func() []corev1.Taint {
		if r.IntN(5) == 0 {
			return []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
		}
		return nil
	}
	s := NewState()
	nodes := r.IntN(6)
	for i := range nodes {
		s.SetNode(node(fmt.Sprintf("n%d", i), zone(), fmt.Sprint(1+r.IntN(8)), fmt.Sprintf("%dGi", 2+r.IntN(16)), r.Float64(), taint()...))
	}
	var offers []Offer
	for i := range r.IntN(8) {
		o := offer(fmt.Sprintf("o%d", i), zone(), fmt.Sprint(1+r.IntN(16)), fmt.Sprintf("%dGi", 2+r.IntN(32)), 0.1+r.Float64(), taint()...)
		o.Available = r.IntN(8) > 0
		if r.IntN(4) == 0 {
			o.Stock = r.IntN(3)
		}
		o.Weight = int32(r.IntN(2))
		offers = append(offers, o)
	}
	s.SetOffers(offers)
	apps := []string{"x", "y", "z"}
	app := func() string { return apps[r.IntN(len(apps))] }
	key := func() string {
		return []string{corev1.LabelHostname, corev1.LabelTopologyZone}[r.IntN(2)]
	}
	for i := range 5 + r.IntN(40) {
		own := app()
		options := []podOption{labelled("app", own)}
		if r.IntN(3) == 0 {
			options = append(options, tolerating("dedicated"))
		}
		if r.IntN(6) == 0 {
			options = append(options, selecting(corev1.LabelTopologyZone, zone()))
		}
		if r.IntN(8) == 0 {
			options = append(options, hostPortOf(int32(8000+r.IntN(2))))
		}
		switch r.IntN(8) {
		case 0:
			options = append(options, spreadOver(key(), int32(1+r.IntN(2)), "app", own))
		case 1:
			options = append(options, spreadOver(key(), 1, "app", app()))
		case 2:
			options = append(options, nearTo(key(), "app", own))
		case 3:
			options = append(options, nearTo(key(), "app", app()))
		case 4:
			options = append(options, apartFrom(key(), "app", own))
		case 5:
			options = append(options, apartFrom(key(), "app", app()))
		}
		if r.IntN(4) == 0 {
			options = append(options, withPriority(int32(r.IntN(3))))
		}
		upsert(t, s, pod(fmt.Sprintf("p%02d", i), fmt.Sprintf("%dm", 50+r.IntN(2000)), fmt.Sprintf("%dMi", 64+r.IntN(4000)), options...))
	}
	return s
}

func TestRandomPlansHold(t *testing.T) {
	for seed := range uint64(400) {
		if holdRandomPlan(t, rand.New(rand.NewPCG(seed, 5))); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzPlan draws a cluster from the bytes and holds the plan for it against the rules of scheduling.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("nodes, offers and pods"))
	f.Add([]byte{255, 128, 64, 0, 0, 0, 0, 0, 0, 200, 100, 50, 25, 12, 6, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		holdRandomPlan(t, rand.New(&draws{data: data, after: rand.NewPCG(uint64(len(data)), 5)}))
	})
}

// draws is a source of randomness of which each byte decides one draw; after decides the others.
type draws struct {
	data  []byte
	after rand.Source
}

func (d *draws) Uint64() uint64 {
	if len(d.data) == 0 {
		return d.after.Uint64()
	}
	b := d.data[0]
	d.data = d.data[1:]
	return uint64(b) * 0x0101010101010101
}

// holdRandomPlan plans twice for a random cluster and checks what must be true of any plan.
func holdRandomPlan(t *testing.T, r *rand.Rand) {
	s := randomState(t, r)
	before := fmt.Sprint(s.Plan(Options{}))
	plan := s.Plan(Options{})
	if after := fmt.Sprint(plan); before != after {
		t.Fatalf("two plans for one state:\n%s\n%s", before, after)
	}
	checkInTurn(t, s, plan)
	if n := plannedPods(plan) + len(plan.Unschedulable); n != len(s.pods) {
		t.Errorf("%d of %d pods are told of", n, len(s.pods))
	}
	if plan.Cost.LowerBound > plan.Cost.After+1e-9 {
		t.Errorf("lower bound %v of %v", plan.Cost.LowerBound, plan.Cost.After)
	}
	holdWithin(t, s, len(plan.Create)/2)
}

// holdWithin plans with a limit of nodes.
func holdWithin(t *testing.T, s *State, nodes int) {
	s.SetPolicies([]Policy{{Left: Limits{Nodes: &nodes}}})
	plan := s.Plan(Options{})
	checkInTurn(t, s, plan)
	if len(plan.Create) > nodes {
		t.Errorf("%d nodes, where the limit is %d", len(plan.Create), nodes)
	}
	if n := plannedPods(plan) + len(plan.Unschedulable); n != len(s.pods) {
		t.Errorf("%d of %d pods are told of within the limit", n, len(s.pods))
	}
}
