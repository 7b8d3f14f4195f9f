package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestExpandersChooseByWhatTheirNamesSay(t *testing.T) {
	ranked := func(o Offer, rank int) Offer {
		o.Rank = rank
		return o
	}
	for name, test := range map[string]struct {
		policy Policy
		offers []Offer
		pods   int
		want   []string
	}{
		"LeastCost takes the cheapest, also when most of it stays unused": {Policy{Expander: leastCost},
			[]Offer{offer("exact", "a", "2", "4Gi", 5), offer("vast", "a", "32", "64Gi", 1)}, 1, []string{"vast"}},
		"LeastWaste takes what is used best, also when it is dearer": {Policy{Expander: leastWaste},
			[]Offer{offer("exact", "a", "2", "4Gi", 5), offer("vast", "a", "32", "64Gi", 1)}, 1, []string{"exact"}},
		"LeastWaste takes a large one that is used well": {Policy{Expander: leastWaste},
			[]Offer{offer("loose", "a", "3", "8Gi", 1), offer("vast", "a", "8", "16Gi", 9)}, 4, []string{"vast"}},
		"Priority takes the first rank, also when it is dearer": {Policy{Expander: byPriority},
			[]Offer{ranked(offer("second", "a", "2", "4Gi", 1), 1), ranked(offer("first", "a", "2", "4Gi", 5), 0)}, 2, []string{"first", "first"}},
		"Priority goes on to the next rank when the first is too small": {Policy{Expander: byPriority},
			[]Offer{ranked(offer("second", "a", "2", "4Gi", 1), 1), ranked(offer("first", "a", "1", "4Gi", 5), 0)}, 1, []string{"second"}},
		"Priority goes on to the next rank when the first is sold out": {Policy{Expander: byPriority},
			[]Offer{ranked(offer("second", "a", "2", "4Gi", 1), 1), ranked(stocked(offer("first", "a", "2", "4Gi", 5), 1), 0)}, 3, []string{"first", "second", "second"}},
		"Balanced takes the zone with the fewest nodes, also when it is dearer": {Policy{Expander: balanced, Owned: map[string]int{"a": 2}},
			[]Offer{offer("here", "a", "2", "4Gi", 1), offer("there", "b", "2", "4Gi", 5)}, 2, []string{"there", "there"}},
		"Balanced counts what it buys": {Policy{Expander: balanced},
			[]Offer{offer("here", "a", "2", "4Gi", 1), offer("there", "b", "2", "4Gi", 5)}, 4, []string{"here", "here", "there", "there"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			test.policy.Name = "p"
			for i := range test.offers {
				test.offers[i].Policy = "p"
			}
			s.SetPolicies([]Policy{test.policy})
			s.SetOffers(test.offers)
			for i := range test.pods {
				upsert(t, s, pod(numbered("p", i), "2", "4Gi"))
			}
			plan := s.Plan(Options{})
			check(t, s, plan)
			bought := map[string]int{}
			for _, n := range plan.Create {
				bought[n.Offer.Name]++
			}
			for _, name := range test.want {
				bought[name]--
			}
			for name, n := range bought {
				if n != 0 {
					t.Errorf("%s: %+d of what was expected", name, n)
				}
			}
			if len(plan.Unschedulable) > 0 {
				t.Errorf("%+v", plan.Unschedulable)
			}
		})
	}
}

func stocked(o Offer, n int) Offer {
	o.Stock = n
	return o
}

func TestHeadroomGivesWayToPods(t *testing.T) {
	headroom := func(priority int32) Demand {
		return Demand{Name: "headroom", Pod: pod("room", "2", "4Gi", withPriority(priority)), Count: 1, Kind: Headroom}
	}
	for name, test := range map[string]struct {
		headroom, pod int32
		wins          bool
	}{
		"same priority":       {5, 5, true},
		"pod of a higher one": {5, 9, true},
		"pod of a lower one":  {5, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			s.SetNode(node("n1", "a", "2", "4Gi", 1))
			s.SetDemand([]Demand{headroom(test.headroom)})
			s.SetOffers([]Offer{offer("o", "a", "2", "4Gi", 1)})
			plan := s.Plan(Options{})
			if len(plan.Create) != 0 || len(plan.Placed) != 1 || plan.Placed[0].Pod.Demand != "headroom" {
				t.Fatalf("room that is free is not headroom: %+v", plan)
			}
			upsert(t, s, pod("real", "2", "4Gi", withPriority(test.pod)))
			plan = s.Plan(Options{})
			if len(plan.Placed) != 1 || len(plan.Create) != 1 || (plan.Placed[0].Pod.Demand == "") != test.wins {
				t.Fatalf("%+v", plan)
			}
			// And where only one can be bought.
			s.DeleteNode("n1")
			s.SetPolicies([]Policy{{Name: "p", Left: Limits{Nodes: ptr.To(1)}}})
			only := offer("o", "a", "2", "4Gi", 1)
			only.Policy = "p"
			s.SetOffers([]Offer{only})
			plan = s.Plan(Options{})
			if len(plan.Create) != 1 || len(plan.Unschedulable) != 1 || (plan.Create[0].Pods[0].Demand == "") != test.wins {
				t.Fatalf("%+v", plan)
			}
		})
	}
}

func TestExpandersAlsoChooseForPodsThatArePlacedOneByOne(t *testing.T) {
	kinds := map[string]podOption{
		"a claim for one pod alone": withClaim("data"),
		"near others on a host":     func(p *corev1.Pod) { labelled("app", "x")(p); nearTo(corev1.LabelHostname, "app", "x")(p) },
	}
	for name, test := range map[string]struct {
		policy Policy
		want   string
	}{
		leastCost:  {Policy{}, "vast"},
		leastWaste: {Policy{}, "exact"},
		byPriority: {Policy{}, "exact"},
		balanced:   {Policy{Owned: map[string]int{"a": 3}}, "exact"},
	} {
		for kind, option := range kinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				s := NewState()
				upsert(t, s, boundClaim("shop", "data", "", corev1.ReadWriteOncePod)...)
				test.policy.Name, test.policy.Expander = "p", name
				s.SetPolicies([]Policy{test.policy})
				vast, exact := offer("vast", "a", "32", "64Gi", 1), offer("exact", "b", "2", "4Gi", 5)
				vast.Policy, vast.Rank, exact.Policy = "p", 1, "p"
				s.SetOffers([]Offer{vast, exact})
				upsert(t, s, pod("only", "2", "4Gi", option))
				plan := s.Plan(Options{})
				if len(plan.Create) != 1 || plan.Create[0].Offer.Name != test.want {
					t.Errorf("%+v, want %s", plan.Create, test.want)
				}
			})
		}
	}
}
