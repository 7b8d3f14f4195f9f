package cluster

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// zonalOffers are one shape in three zones under the policy p.
func zonalOffers(cpu string) []Offer {
	var out []Offer
	for _, zone := range []string{"a", "b", "c"} {
		o := offer("shape", zone, cpu, "64Gi", 1)
		o.Policy = "p"
		out = append(out, o)
	}
	return out
}

func TestLimitIsUsedUpByPodsThatCanBeBound(t *testing.T) {
	zonal := spreadOver(corev1.LabelTopologyZone, 1, "app", "web")
	for name, test := range map[string]struct {
		limits Limits
		// existing is the number of full nodes in each zone, each with one of the pods.
		existing int
		options  []podOption
		pods     int
		change   func([]Offer)
		nodes    int
		bound    int
		reason   string
	}{
		"a node":                       {Limits{Nodes: ptr.To(1)}, 2, []podOption{zonal}, 60, nil, 1, 1, reasonLimit},
		"two nodes":                    {Limits{Nodes: ptr.To(2)}, 2, []podOption{zonal}, 60, nil, 2, 2, reasonLimit},
		"a node for each zone":         {Limits{Nodes: ptr.To(3)}, 2, []podOption{zonal}, 60, nil, 3, 6, reasonLimit},
		"nodes, one more in a zone":    {Limits{Nodes: ptr.To(4)}, 2, []podOption{zonal}, 60, nil, 4, 7, reasonLimit},
		"nodes, two more":              {Limits{Nodes: ptr.To(5)}, 2, []podOption{zonal}, 60, nil, 5, 8, reasonLimit},
		"many nodes":                   {Limits{Nodes: ptr.To(21)}, 2, []podOption{zonal}, 60, nil, 21, 42, reasonLimit},
		"no nodes there":               {Limits{Nodes: ptr.To(4)}, 0, []podOption{zonal}, 60, nil, 4, 7, reasonLimit},
		"money":                        {Limits{PricePerHour: ptr.To(6.5)}, 2, []podOption{zonal}, 60, nil, 6, 12, reasonLimit},
		"cores":                        {Limits{MilliCPU: ptr.To(int64(11500))}, 2, []podOption{zonal}, 60, nil, 6, 12, reasonLimit},
		"memory":                       {Limits{Memory: ptr.To(int64(6 * 64 << 30))}, 2, []podOption{zonal}, 60, nil, 6, 12, reasonLimit},
		"zones and hosts":              {Limits{Nodes: ptr.To(5)}, 2, []podOption{zonal, spreadOver(corev1.LabelHostname, 1, "app", "web")}, 60, nil, 5, 8, reasonLimit},
		"hosts":                        {Limits{Nodes: ptr.To(5)}, 0, []podOption{spreadOver(corev1.LabelHostname, 1, "app", "web")}, 60, nil, 5, 10, reasonLimit},
		"apart on hosts":               {Limits{Nodes: ptr.To(5)}, 2, []podOption{apartFrom(corev1.LabelHostname, "app", "web")}, 60, nil, 5, 5, reasonLimit},
		"apart on hosts and zonal":     {Limits{Nodes: ptr.To(5)}, 2, []podOption{zonal, apartFrom(corev1.LabelHostname, "app", "web")}, 60, nil, 5, 5, reasonLimit},
		"apart in zones":               {Limits{Nodes: ptr.To(2)}, 0, []podOption{apartFrom(corev1.LabelTopologyZone, "app", "web")}, 60, nil, 2, 2, reasonLimit},
		"near in a zone":               {Limits{Nodes: ptr.To(4)}, 0, []podOption{nearTo(corev1.LabelTopologyZone, "app", "web")}, 60, nil, 4, 8, reasonLimit},
		"near on a host":               {Limits{Nodes: ptr.To(4)}, 0, []podOption{nearTo(corev1.LabelHostname, "app", "web")}, 60, nil, 1, 2, reasonAffinity},
		"no limit":                     {Limits{}, 2, []podOption{zonal}, 60, nil, 30, 60, ""},
		"more than there are pods for": {Limits{Nodes: ptr.To(40)}, 2, []podOption{zonal}, 60, nil, 30, 60, ""},
		"a zone sold out":              {Limits{Nodes: ptr.To(20)}, 2, []podOption{zonal}, 60, soldOut("c"), 2, 2, reasonSpread},
		"a zone gone":                  {Limits{Nodes: ptr.To(7)}, 0, []podOption{zonal}, 60, soldOut("c"), 7, 13, reasonLimit},
		"a zone gone, no limit":        {Limits{}, 0, []podOption{zonal}, 60, soldOut("c"), 30, 60, ""},
		"fewer zones than asked for":   {Limits{}, 0, []podOption{atLeast(3, zonal)}, 60, soldOut("c"), 2, 2, reasonSpread},
		"fewer by the limit":           {Limits{Nodes: ptr.To(2)}, 0, []podOption{atLeast(3, zonal)}, 60, nil, 2, 2, reasonLimit},
		"two zones sold out":           {Limits{Nodes: ptr.To(20)}, 1, []podOption{zonal}, 60, soldOut("b", "c"), 1, 1, reasonSpread},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			s.SetPolicies([]Policy{{Name: "p", Left: test.limits}})
			offers := zonalOffers("1900m")
			if test.change != nil {
				test.change(offers)
			}
			s.SetOffers(offers)
			for i := range test.existing {
				for _, zone := range []string{"a", "b", "c"} {
					name := fmt.Sprintf("%s-%d", zone, i)
					s.SetNode(node(name, zone, "900m", "64Gi", 1))
					upsert(t, s, pod("on-"+name, "900m", "1Gi", append(test.options, labelled("app", "web"), onNode(name))...))
				}
			}
			for i := range test.pods {
				upsert(t, s, pod(numbered("p", i), "900m", "1Gi", append(test.options, labelled("app", "web"))...))
			}
			plan := s.Plan(Options{})
			checkInTurn(t, s, plan)
			if got := plannedPods(plan); len(plan.Create) != test.nodes || got != test.bound {
				t.Errorf("%d pods on %d nodes, want %d on %d", got, len(plan.Create), test.bound, test.nodes)
			}
			if got := len(plan.Unschedulable); got != test.pods-test.bound {
				t.Errorf("%d pods are without a place, want %d", got, test.pods-test.bound)
			}
			for _, u := range plan.Unschedulable {
				found := false
				for _, r := range u.Reasons {
					found = found || r.Code == test.reason
				}
				if !found {
					t.Fatalf("%s: %+v, want %s", u.Pod.Name, u.Reasons, test.reason)
				}
			}
		})
	}
}

func TestLimitServesHigherPrioritiesAndWholeGangsFirst(t *testing.T) {
	zonal := func(app string) podOption {
		return func(p *corev1.Pod) {
			labelled("app", app)(p)
			spreadOver(corev1.LabelTopologyZone, 1, "app", app)(p)
		}
	}
	for name, test := range map[string]struct {
		limit int
		pods  map[string][]podOption
		gang  int
		want  map[string]int
	}{
		"the higher priority": {4, map[string][]podOption{"low": {zonal("low")}, "high": {zonal("high"), withPriority(5)}}, 1,
			map[string]int{"high": 7, "low": 1}},
		"what is too large for the limit is passed over": {3, map[string][]podOption{"vast": {zonal("vast"), withPriority(5), requesting("5")}, "small": {zonal("small")}}, 1,
			map[string]int{"small": 6}},
		"others fill what is left": {4, map[string][]podOption{"spread": {zonal("spread"), withPriority(5)}, "plain": {}}, 1,
			map[string]int{"spread": 7, "plain": 1}},
		"a gang that fits":         {4, map[string][]podOption{"gang": {zonal("gang"), inGang("g")}}, 7, map[string]int{"gang": 7}},
		"a gang that does not fit": {4, map[string][]podOption{"gang": {zonal("gang"), inGang("g")}}, 8, map[string]int{}},
		"a gang that does not fit, and others": {4, map[string][]podOption{"gang": {zonal("gang"), inGang("g"), withPriority(5)}, "spread": {zonal("spread")}}, 8,
			map[string]int{"spread": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			s.SetPolicies([]Policy{{Name: "p", Left: Limits{Nodes: &test.limit}}})
			s.SetOffers(append(zonalOffers("1900m"), offer("unlimited", "a", "100m", "1Gi", 9)))
			upsert(t, s, podGroupOf("shop", "g", int32(test.gang)))
			for _, zone := range []string{"a", "b", "c"} {
				s.SetNode(node("full-"+zone, zone, "0", "64Gi", 1))
			}
			for kind, options := range test.pods {
				for i := range 20 {
					upsert(t, s, pod(numbered(kind, i), "900m", "1Gi", options...))
				}
			}
			plan := s.Plan(Options{})
			checkInTurn(t, s, plan)
			got := map[string]int{}
			for _, n := range plan.Create {
				for _, ref := range n.Pods {
					kind, _, _ := strings.Cut(ref.Name, "-")
					got[kind]++
				}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("%v have a place, want %v", got, test.want)
			}
		})
	}
}

// soldOut makes the zones' offers unavailable.
func soldOut(zones ...string) func([]Offer) {
	return func(offers []Offer) {
		for i := range offers {
			for _, z := range zones {
				offers[i].Available = offers[i].Available && offers[i].Zone != z
			}
		}
	}
}

// atLeast asks for so many domains in the constraints that the option adds.
func atLeast(domains int32, option podOption) podOption {
	return func(p *corev1.Pod) {
		option(p)
		for i := range p.Spec.TopologySpreadConstraints {
			p.Spec.TopologySpreadConstraints[i].MinDomains = &domains
		}
	}
}

func requesting(cpu string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
}

// diverseWithin is a state with so many mixed pods, and a limit of a share of the cores that they ask for.
func diverseWithin(t testing.TB, pods int, percent int64) (s *State, limit int64) {
	t.Helper()
	s = NewState()
	for _, p := range diversePods(pods, 7) {
		upsert(t, s, p)
		limit += p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
	}
	limit = limit * percent / 100
	s.SetPolicies([]Policy{{Left: Limits{MilliCPU: &limit}}})
	s.SetOffers(diverseOffers())
	return s, limit
}

// Balance over zones is worth room, but not much of it: never a fifth of the pods that would have a place otherwise.
func TestBalanceWithinLimitsDoesNotCostMuchRoom(t *testing.T) {
	for _, percent := range []int64{5, 20, 50, 90} {
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) {
			s, _ := diverseWithin(t, 400, percent)
			greedy := s.attempt(Options{}, nil, true)
			if got, most := plannedPods(s.Plan(Options{})), plannedPods(greedy.plan); float64(got)*worthImbalance < float64(most) {
				t.Errorf("%d pods have a place, and %d could", got, most)
			}
		})
	}
}

// Where the limit ends what is bought, no pod waits for which there is room on that and to which it does not matter where others are.
func TestLimitedNodesAreFilled(t *testing.T) {
	for seed := range uint64(10) {
		s := NewState()
		plain := map[string]*corev1.Pod{}
		for _, p := range diversePods(200, seed) {
			upsert(t, s, p)
			if p.Spec.Affinity == nil && p.Spec.TopologySpreadConstraints == nil {
				plain[p.Name] = p
			}
		}
		s.SetPolicies([]Policy{{Left: Limits{Nodes: ptr.To(3)}}})
		s.SetOffers(diverseOffers())
		plan := s.Plan(Options{})
		for _, u := range plan.Unschedulable {
			p := plain[u.Pod.Name]
			if p == nil {
				continue
			}
			request := p.Spec.Containers[0].Resources.Requests
			for _, n := range plan.Create {
				room := true
				for name, amount := range request {
					left := n.Offer.Allocatable[name].DeepCopy()
					left.Sub(n.Requests[name])
					room = room && left.Cmp(amount) >= 0
				}
				if pods := n.Offer.Allocatable.Pods(); room && pods.CmpInt64(int64(len(n.Pods))) > 0 {
					t.Fatalf("seed %d: there is room for %s (%v) on %s beside %v", seed, u.Pod.Name, request, n.Offer.Name, n.Requests)
				}
			}
		}
	}
}

// BenchmarkWithinLimits is for a policy whose limit of cores suffices for a part of the pods.
func BenchmarkWithinLimits(b *testing.B) {
	for _, percent := range []int64{5, 50, 90} {
		b.Run(fmt.Sprintf("%d%%", percent), func(b *testing.B) {
			s, limit := diverseWithin(b, 2000, percent)
			var plan Plan
			for b.Loop() {
				plan = s.Plan(Options{})
			}
			used := int64(0)
			for _, n := range plan.Create {
				used += n.Requests.Cpu().MilliValue()
			}
			b.ReportMetric(float64(plannedPods(plan)), "placed")
			b.ReportMetric(float64(used)/float64(limit), "of-limit")
		})
	}
}
