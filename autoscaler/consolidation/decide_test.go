package consolidation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

func intOrPercent(text string) intstr.IntOrString { return intstr.Parse(text) }

var (
	small = offer("small", 2, 0.1)
	large = offer("large", 8, 0.4)
)

// TestWhyANodeStays has one node, lone, that could be given back with its one pod, and what keeps it.
func TestWhyANodeStays(t *testing.T) {
	disrupt := func(change func(*v1alpha1.NodeDisruption)) func(*town) {
		return func(c *town) {
			c.policy("general", func(p *v1alpha1.NodePolicy) { change(&p.Spec.Disruption) })
		}
	}
	lone := func(change func(*cluster.Node)) func(*town) {
		return func(c *town) { c.node("lone", large, change) }
	}
	for name, test := range map[string]struct {
		change func(*town)
		// code and text are the node's answer; move codes stand for a node that goes.
		code, text string
	}{
		"nothing keeps it":              {func(*town) {}, "Removable", "its pod has room"},
		"it belongs to nobody":          {lone(func(n *cluster.Node) { n.Policy = "" }), "NotOurs", "no NodePolicy"},
		"its policy is gone":            {lone(func(n *cluster.Node) { n.Policy = "old" }), "PolicyMissing", "old"},
		"it is being made":              {lone(func(n *cluster.Node) { n.Expected = true }), "BeingMade", ""},
		"it leaves":                     {lone(func(n *cluster.Node) { n.Leaving = true }), "UnderWay", ""},
		"somebody else takes it away":   {func(c *town) { c.input.World.Disrupted = map[string][]string{"general": {"lone"}} }, "UnderWay", ""},
		"the policy observes":           {func(c *town) { c.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Observe }) }, "ObserveOnly", ""},
		"the policy recommends":         {func(c *town) { c.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Recommend }) }, "Removable", ""},
		"the policy never consolidates": {disrupt(func(d *v1alpha1.NodeDisruption) { d.Consolidation.When = v1alpha1.ConsolidateNever }), "ConsolidationOff", ""},
		"only empty nodes go":           {disrupt(func(d *v1alpha1.NodeDisruption) { d.Consolidation.When = v1alpha1.ConsolidateEmpty }), "NotEmpty", "1 pod runs"},
		"the node asks to stay":         {lone(func(n *cluster.Node) { n.Node.Annotations["yagura.dev/do-not-disrupt"] = "true" }), "DoNotDisrupt", "yagura.dev/do-not-disrupt"},
		"it is not ready":               {func(c *town) { c.unready["lone"] = true }, "NotReady", "repair"},
		"it is young":                   {func(c *town) { c.created["lone"] = noon.Add(-4 * time.Minute) }, "TooYoung", "4m0s old, less than 5m0s"},
		"a pod came":                    {func(c *town) { c.state.SetTime(noon.Add(-time.Minute)); c.run("lone", 1, 100) }, "PodsChanged", "1m0s ago"},
		"and the policy does not mind": {func(c *town) {
			c.state.SetTime(noon.Add(-time.Minute))
			c.run("lone", 1, 100)
			c.policy("general", func(p *v1alpha1.NodePolicy) {
				p.Spec.Disruption.Consolidation.After = &metav1.Duration{Duration: 30 * time.Second}
			})
		}, "Removable", ""},
		"the world is stale":          {func(c *town) { c.input.Stale = "pods are not synced" }, "WorldStale", "pods are not synced"},
		"there is no planner":         {func(c *town) { c.input.Planner = nil }, "WorldStale", ""},
		"pods are pending":            {func(c *town) { c.input.Pending = 2 }, "PodsPending", "2 pods wait"},
		"nodes are being bought":      {func(c *town) { c.input.Growing = []string{"general"} }, "GrewLately", "load that grows"},
		"another policy grows":        {func(c *town) { c.input.Growing = []string{"other"} }, "Removable", ""},
		"it grew ten minutes ago":     {func(c *town) { c.input.Memory.Grew("general", noon.Add(-10*time.Minute)) }, "Removable", ""},
		"it took pods of a move":      {func(c *town) { c.input.Memory.Bought("lone", noon.Add(-14*time.Minute)) }, "TookPodsLately", "14m0s ago"},
		"the last attempt was undone": {func(c *town) { c.failed("lone", noon.Add(-9*time.Minute)) }, "FailedLately", "the world changed"},
		"a second attempt too": {func(c *town) {
			c.failed("lone", noon.Add(-30*time.Minute))
			c.failed("lone", noon.Add(-19*time.Minute))
		},
			"FailedLately", "for 1m0s"},
		"a failure is over": {func(c *town) { c.failed("lone", noon.Add(-10*time.Minute)) }, "Removable", ""},
		"a pod blocks": {func(c *town) {
			c.run("lone", 1, 100, func(p *corev1.Pod) { p.Annotations["yagura.dev/do-not-disrupt"] = "true" })
		}, "DoNotDisrupt", "the pod shop/web-12 is annotated"},
		"a budget of pods is used up": {func(c *town) {
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
			b.Spec.Selector = &metav1.LabelSelector{}
			c.input.World.PDBs = []*policyv1.PodDisruptionBudget{b}
		}, "PDBExhausted", "PodDisruptionBudget web"},
		"the budget of nodes forbids it": {disrupt(func(d *v1alpha1.NodeDisruption) { d.Budgets[0].Nodes = intstr.FromInt32(0) }), "BudgetExhausted", "the budget of 0"},
		"the budget of nodes is used up": {func(c *town) { c.policy("general", budget("1")); c.unready["busy"] = true }, "BudgetExhausted", "1 are disrupted"},
		"a budget for the other reason": {disrupt(func(d *v1alpha1.NodeDisruption) {
			d.Budgets[0] = v1alpha1.DisruptionBudget{Nodes: intstr.FromInt32(0), Reasons: []v1alpha1.DisruptionReason{v1alpha1.DisruptEmpty}}
		}), "Removable", ""},
		"its pods are worth more than it": {func(c *town) {
			c.run("lone", 1, 100, func(p *corev1.Pod) { p.Spec.Priority = new(int32(2_000_000_000)) })
		}, "NotWorthEvictions", "an hour"},
		"the other node takes no pods yet": {func(c *town) { c.unready["busy"] = true }, "NoCheaperNode", "takes no pods yet"},
		"there is no room elsewhere": {func(c *town) {
			c.run("busy", 1, 2500)
		}, "NoCheaperNode", "the pod shop/web-1 has no room elsewhere: of 1 other nodes: too little cpu left (1)"},
		"room that pending pods will take is none": {func(c *town) { c.run("", 1, 2500) }, "NoCheaperNode", "no room elsewhere"},
		"room that is kept free is none": {func(c *town) {
			c.state.SetDemand([]cluster.Demand{{Name: "headroom", Pod: pod("spare", 7000), Count: 1, Kind: cluster.Headroom}})
		}, "NoCheaperNode", "no room elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTown(t)
			c.node("busy", large)
			c.node("lone", large)
			c.run("lone", 1, 1000)
			c.run("busy", 10, 500)
			test.change(c)
			stay := c.decide().Stays["lone"]
			if stay.Code != test.code || !strings.Contains(stay.Message, test.text) {
				t.Errorf("%s: %s", stay.Code, stay.Message)
			}
		})
	}
}

func (c *town) failed(node string, at time.Time) {
	c.input.Memory.Failed(disruption.Move{Remove: []string{node}}, "the world changed", c.input.Config, at)
}

func budget(nodes string) func(*v1alpha1.NodePolicy) {
	return func(p *v1alpha1.NodePolicy) {
		p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.Parse(nodes)}}
	}
}

func removed(d consolidation.Decision) (names []string) {
	for _, m := range d.Moves {
		names = append(names, m.Remove...)
	}
	slices.Sort(names)
	return names
}

func TestEmptyNodesGoFirstAndTogether(t *testing.T) {
	c := newTown(t)
	for _, name := range []string{"e1", "e2", "e3", "e4"} {
		c.node(name, small)
	}
	c.node("full", large)
	c.run("full", 7, 1000)
	c.policy("general", budget("3"))
	d := c.decide()
	if got := removed(d); len(got) != 3 || slices.Contains(got, "full") {
		t.Fatalf("removed %v", got)
	}
	for _, m := range d.Moves {
		if m.Reason != v1alpha1.DisruptEmpty || m.Cost != 0 || m.Saving != 0.1 {
			t.Errorf("%+v", m)
		}
	}
	if s := d.Stays["e4"]; s.Code != "BudgetExhausted" || !strings.Contains(s.Message, "3 other nodes are planned to go") {
		t.Errorf("e4: %+v", s)
	}
}

func TestHeadroomKeepsAnEmptyNode(t *testing.T) {
	c := newTown(t)
	c.node("spare", large)
	c.state.SetDemand([]cluster.Demand{{Name: "headroom/general", Pod: pod("spare", 7000), Count: 1, Kind: cluster.Headroom}})
	d := c.decide()
	if s := d.Stays["spare"]; len(d.Moves) != 0 || s.Code != "NoRoom" {
		t.Errorf("%d moves, %s: %s", len(d.Moves), s.Code, s.Message)
	}
}

func TestTheNodeThatSavesMostForItsEvictionsGoes(t *testing.T) {
	// There is room for the pods of one of them only.
	c := newTown(t)
	c.node("many", large)
	c.run("many", 10, 400)
	c.node("few", large)
	c.run("few", 1, 4000)
	if got := removed(c.decide()); !slices.Equal(got, []string{"few"}) {
		t.Errorf("removed %v", got)
	}
}

func TestMovesAreSimulatedTogether(t *testing.T) {
	// Each of three nodes has room on each other, but no two of them can go.
	c := newTown(t)
	for _, name := range []string{"a", "b", "c"} {
		c.node(name, large)
		c.run(name, 1, 3500)
	}
	if got := removed(c.decide()); len(got) != 1 {
		t.Fatalf("removed %v", got)
	}
	// What goes already needs the room as well.
	c.node("a", large, func(n *cluster.Node) { n.Leaving = true })
	if got := removed(c.decide()); len(got) != 0 {
		t.Errorf("removed %v beside a", got)
	}
}

func TestReplacements(t *testing.T) {
	spot := func(o cluster.Offer) cluster.Offer {
		o.CapacityType, o.Labels = "spot", nodeLabels(o.Name, o.Zone, "spot")
		return o
	}
	for name, test := range map[string]struct {
		offers  []cluster.Offer
		setup   func(*town)
		code    string
		removed int
		create  []string
	}{
		"one by a cheaper one": {[]cluster.Offer{small, large}, func(c *town) {
			c.node("n", large)
			c.run("n", 1, 1500)
		}, "Replaceable", 1, []string{"small"}},
		"several by one": {[]cluster.Offer{offer("middle", 4, 0.13), offer("tiny", 1, 0.06)}, func(c *town) {
			for _, n := range []string{"n", "m", "o"} {
				c.node(n, small)
				c.run(n, 1, 1100)
			}
		}, "Replaceable", 3, []string{"middle"}},
		"never by the same": {[]cluster.Offer{large}, func(c *town) {
			c.node("n", large)
			c.run("n", 1, 1500)
		}, "NoCheaperNode", 0, nil},
		"nor by the same in a cheaper zone": {[]cluster.Offer{inZone(large, "b", 0.15)}, func(c *town) {
			c.node("n", large)
			c.run("n", 1, 1500)
		}, "LikeForLike", 0, nil},
		"not for less than the minimum saving": {[]cluster.Offer{offer("other", 8, 0.35)}, func(c *town) {
			c.node("n", large)
			c.run("n", 1, 1500)
			c.input.Config.Horizon.Duration = 24 * time.Hour
		}, "NoCheaperNode", 0, nil},
		"unless the policy is content with it": {[]cluster.Offer{offer("other", 8, 0.35)}, func(c *town) {
			c.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Disruption.Consolidation.MinimumSaving = new(int32(5)) })
			c.node("n", large)
			c.run("n", 1, 1500)
			c.input.Config.Horizon.Duration = 24 * time.Hour
		}, "Replaceable", 1, []string{"other"}},
		"not for evictions that are worth more": {[]cluster.Offer{offer("other", 8, 0.3)}, func(c *town) {
			c.node("n", large)
			c.run("n", 7, 1000)
		}, "NoCheaperNode", 0, nil},
		"not a node whose price is not known": {[]cluster.Offer{small}, func(c *town) {
			c.node("n", large, func(n *cluster.Node) { n.PricePerHour = 0 })
			c.run("n", 1, 1500)
			c.node("m", large)
			c.run("m", 7, 1100)
		}, "NoRoom", 0, nil},
		"spot by spot only with many alternatives": {[]cluster.Offer{spot(small)}, func(c *town) {
			c.node("n", spot(large))
			c.run("n", 1, 1500)
		}, "SpotTooScarce", 0, nil},
		"and with them": {manySpot(spot), func(c *town) {
			c.node("n", spot(large))
			c.run("n", 1, 1500)
		}, "Replaceable", 1, []string{"s00"}},
		"on-demand by spot": {[]cluster.Offer{spot(small)}, func(c *town) {
			c.node("n", large)
			c.run("n", 1, 1500)
		}, "Replaceable", 1, []string{"small"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTown(t)
			c.state.SetOffers(test.offers)
			test.setup(c)
			d := c.decide()
			if s := d.Stays["n"]; s.Code != test.code {
				t.Errorf("%s: %s", s.Code, s.Message)
			}
			var create []string
			for _, m := range d.Moves {
				for _, n := range m.Create {
					create = append(create, n.Offer.Name)
				}
			}
			if len(removed(d)) != test.removed || !slices.Equal(create, test.create) {
				t.Errorf("removed %v, created %v", removed(d), create)
			}
		})
	}
}

func inZone(o cluster.Offer, zone string, price float64) cluster.Offer {
	o.Zone, o.PricePerHour, o.Labels = zone, price, nodeLabels(o.Name, zone, o.CapacityType)
	return o
}

func manySpot(spot func(cluster.Offer) cluster.Offer) (all []cluster.Offer) {
	for i := range 16 {
		all = append(all, spot(offer("s"+string(rune('0'+i/10))+string(rune('0'+i%10)), 2, 0.1+float64(i)/1000)))
	}
	return all
}

func TestAnswersAreRememberedWhilePodsAreTheSame(t *testing.T) {
	c := newTown(t)
	c.state.SetOffers([]cluster.Offer{large})
	for _, n := range []string{"a", "b", "c"} {
		c.node(n, large)
		c.run(n, 1, 5000)
	}
	first := c.decide()
	c.input.World.Now = noon.Add(30 * time.Second)
	second := c.decide()
	if first.Simulations == 0 || second.Simulations != 0 {
		t.Errorf("%d simulations, then %d", first.Simulations, second.Simulations)
	}
	if first.Stays["a"].Message != second.Stays["a"].Message {
		t.Errorf("%q, then %q", first.Stays["a"].Message, second.Stays["a"].Message)
	}
	c.input.World.Now = noon.Add(time.Minute)
	if third := c.decide(); third.Simulations == 0 {
		t.Error("answers hold for ever")
	}
}

func TestEffortIsBoundedAndNobodyIsForgotten(t *testing.T) {
	c := newTown(t)
	c.state.SetOffers([]cluster.Offer{large})
	for i := range 20 {
		name := string(rune('a' + i))
		c.node(name, large)
		c.run(name, 1, 5000)
	}
	c.input.Config.MaxSimulations = 5
	examined := map[string]bool{}
	for range 12 {
		d := c.decide()
		if d.Simulations > 5 {
			t.Fatalf("%d simulations", d.Simulations)
		}
		for name, s := range d.Stays {
			if s.Code != "NotExamined" && s.Code != "" {
				examined[name] = true
			}
		}
		c.input.World.Now = c.input.World.Now.Add(4 * time.Second)
	}
	if len(examined) != 20 {
		t.Errorf("%d of 20 nodes were looked at", len(examined))
	}
}

func TestPoliciesThatOnlyRecommendDoNotDisturbThoseThatAct(t *testing.T) {
	// Room for one node's pods; the policy that recommends has the better candidate.
	c := newTown(t)
	c.policy("dreams", func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Recommend })
	dream := large
	dream.Policy = "dreams"
	c.node("dream", dream)
	c.run("dream", 1, 4000)
	c.node("real", large)
	c.run("real", 2, 2000)
	c.node("full", large)
	c.run("full", 7, 1000)
	if got := removed(c.decide()); !slices.Contains(got, "real") {
		t.Errorf("removed %v", got)
	}
}
