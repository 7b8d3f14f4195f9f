package cluster

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestPlanUsesNodesBeforeItBuys(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "4", "8Gi", 1))
	upsert(t, s, pod("bound", "3", "1Gi", onNode("n1")), pod("fits", "1", "1Gi"), pod("not", "2", "1Gi"))
	s.SetOffers([]Offer{offer("small", "a", "2", "4Gi", 0.5), offer("large", "a", "8", "16Gi", 2)})
	plan := s.Plan(Options{})
	if len(plan.Placed) != 1 || len(plan.Create) != 1 || plan.Create[0].Offer.Name != "small" {
		t.Fatalf("%+v", plan)
	}
	if plan.Cost.Before != 1 || plan.Cost.After != 1.5 || plan.Cost.LowerBound > 1.5 {
		t.Errorf("%+v", plan.Cost)
	}
	again := s.Plan(Options{})
	if len(again.Create) != 1 || len(again.Placed) != 1 {
		t.Errorf("a plan changed the state: %+v", again)
	}
}

func TestPlanKeepsToFilters(t *testing.T) {
	gpu := corev1.Taint{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}
	offers := []Offer{offer("plain", "a", "4", "8Gi", 1), offer("other", "b", "4", "8Gi", 2), offer("gpu", "a", "4", "8Gi", 0.1, gpu)}
	for name, test := range map[string]struct {
		pod    *corev1.Pod
		offer  string
		reason string
	}{
		"cheapest that it tolerates": {pod("p", "1", "1Gi"), "plain", ""},
		"toleration":                 {pod("p", "1", "1Gi", tolerating("gpu")), "gpu", ""},
		"node selector":              {pod("p", "1", "1Gi", selecting(corev1.LabelTopologyZone, "b")), "other", ""},
		"no such zone":               {pod("p", "1", "1Gi", selecting(corev1.LabelTopologyZone, "c")), "", reasonNodeSelector},
		"too large":                  {pod("p", "5", "1Gi", tolerating("gpu")), "", reasonResources},
		"a resource nobody has": {pod("p", "1", "1Gi", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["example.com/card"] = list("1", "1")[corev1.ResourceCPU]
		}), "", reasonResources},
		"gated": {pod("p", "1", "1Gi", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}} }), "", reasonGate},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			s.SetOffers(offers)
			upsert(t, s, test.pod)
			plan := s.Plan(Options{})
			if test.offer != "" {
				if len(plan.Create) != 1 || plan.Create[0].Offer.Name != test.offer {
					t.Fatalf("%+v", plan)
				}
				return
			}
			if len(plan.Create) != 0 || len(plan.Unschedulable) != 1 || plan.Unschedulable[0].Reasons[0].Code != test.reason {
				t.Fatalf("%+v", plan)
			}
		})
	}
}

func TestHostPortsTakeANodeEach(t *testing.T) {
	s := NewState()
	s.SetOffers([]Offer{offer("o", "a", "8", "8Gi", 1)})
	upsert(t, s, pod("a", "1", "1Gi", hostPortOf(80)), pod("b", "1", "1Gi", hostPortOf(80)), pod("c", "1", "1Gi", hostPortOf(81)))
	if plan := s.Plan(Options{}); len(plan.Create) != 2 {
		t.Fatalf("%+v", plan.Create)
	}
}

func TestLimitsAndStockAreNeverExceeded(t *testing.T) {
	two, low := 2, int32(-1)
	for name, test := range map[string]struct {
		offers []Offer
		policy Policy
		nodes  int
		reason string
	}{
		"nodes": {[]Offer{offer("o", "a", "1", "8Gi", 1)}, Policy{Left: Limits{Nodes: &two}}, 2, reasonLimit},
		"stock": {[]Offer{func() Offer { o := offer("o", "a", "1", "8Gi", 1); o.Stock = 1; return o }()}, Policy{}, 1, reasonUnavailable},
		"price": {[]Offer{offer("o", "a", "1", "8Gi", 1)}, Policy{Left: Limits{PricePerHour: new(float64)}}, 0, reasonLimit},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			test.policy.Name = "p"
			for i := range test.offers {
				test.offers[i].Policy = "p"
			}
			s.SetOffers(test.offers)
			s.SetPolicies([]Policy{test.policy})
			for i := range 4 {
				upsert(t, s, pod(numbered("low", i), "1", "1Gi", withPriority(low)), pod(numbered("high", i), "1", "1Gi", withPriority(5)))
			}
			plan := s.Plan(Options{})
			if len(plan.Create) != test.nodes || len(plan.Unschedulable) != 8-test.nodes {
				t.Fatalf("%+v", plan)
			}
			if test.nodes > 0 && plan.Create[0].Pods[0].Name != "high-000000" {
				t.Errorf("the first place went to %v", plan.Create[0].Pods)
			}
			last := plan.Unschedulable[len(plan.Unschedulable)-1]
			if last.Reasons[0].Code != test.reason {
				t.Errorf("%+v", last)
			}
		})
	}
}

func TestSimulateMovesPodsAndLeavesTheStateAlone(t *testing.T) {
	s := NewState()
	s.SetNode(node("n1", "a", "4", "8Gi", 1))
	s.SetNode(node("n2", "a", "4", "8Gi", 1))
	upsert(t, s, pod("a", "2", "1Gi", onNode("n1")), pod("b", "1", "1Gi", onNode("n2")))
	out := s.Simulate(Removal{Nodes: []string{"n2"}})
	if !out.Feasible || out.Saving != 1 || len(out.Moves) != 1 || out.Moves[0].Node != "n1" {
		t.Fatalf("%+v", out)
	}
	if out := s.Simulate(Removal{Nodes: []string{"n1", "n2"}}); out.Feasible {
		t.Fatalf("%+v", out)
	}
	s.SetOffers([]Offer{offer("small", "a", "3", "4Gi", 0.5)})
	out = s.Simulate(Removal{Nodes: []string{"n1", "n2"}, Buy: true, MaxPrice: 2, MaxNew: 1})
	if !out.Feasible || len(out.Create) != 1 || out.Saving != 1.5 {
		t.Fatalf("%+v", out)
	}
	if out = s.Simulate(Removal{Nodes: []string{"n1"}, Buy: true, MaxPrice: 2, MaxNew: 1}); !out.Feasible || out.Moves[0].Node != "n2" {
		t.Fatalf("%+v", out)
	}
	upsert(t, s, pod("pending", "2", "1Gi"))
	if out = s.Simulate(Removal{Nodes: []string{"n2"}}); out.Feasible {
		t.Fatalf("the room of a pending pod was given away: %+v", out)
	}
	if got := s.Nodes(); !slices.Equal(got, []string{"n1", "n2"}) {
		t.Error(got)
	}
	view, ok := s.NodeView("n1")
	if !ok || len(view.Pods) != 1 || view.Requested.Cpu().MilliValue() != 2000 {
		t.Errorf("%+v", view)
	}
}

func TestPodsFollowTheirNodes(t *testing.T) {
	s := NewState()
	upsert(t, s, pod("early", "1", "1Gi", onNode("n1")))
	s.SetNode(node("n1", "a", "1", "8Gi", 1))
	upsert(t, s, pod("late", "1", "1Gi"))
	if plan := s.Plan(Options{}); len(plan.Placed) != 0 || len(plan.Unschedulable) != 1 {
		t.Fatalf("%+v", plan)
	}
	s.Delete(pod("early", "1", "1Gi", onNode("n1")))
	if plan := s.Plan(Options{}); len(plan.Placed) != 1 {
		t.Fatalf("%+v", plan)
	}
	s.Bind(types.NamespacedName{Namespace: "shop", Name: "late"}, "n1")
	if view, _ := s.NodeView("n1"); len(view.Pods) != 1 || view.Pods[0].Spec.NodeName != "n1" {
		t.Fatalf("%+v", view)
	}
	s.DeleteNode("n1")
	s.SetNode(node("n1", "a", "2", "8Gi", 1))
	if view, _ := s.NodeView("n1"); len(view.Pods) != 1 {
		t.Fatalf("%+v", view)
	}
}
