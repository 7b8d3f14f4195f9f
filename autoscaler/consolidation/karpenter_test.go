package consolidation_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// karpenter is a yardstick: the essentials of what Karpenter publishes of its policy WhenEmptyOrUnderutilized (documentation of v1.15,
// "Disruption", and designs/consolidation.md of its repository), on our planner, so that nothing but the choice of moves differs.
//
//   - Nodes are considered once no pod has come or gone for consolidateAfter, and none is waiting for a place.
//   - All empty nodes go first, as far as budgets allow.
//   - Then several nodes: sorted by what their disruption costs (the sum over pods, here 1 each, times the share of the node's lifetime
//     that is left: expireAfter is 720h), at most 100 of them, the largest number of first nodes is searched by halving whose pods fit
//     on the others and at most one new node that is cheaper than all of them together, and not of a type among them unless that is
//     cheaper than each of that type.
//   - Then single nodes in the same order: the first whose pods fit on the others, or on those and one cheaper new node.
//   - One command at a time, looked for every ten seconds and validated for fifteen: up to four in a minute.
//
// Any saving is enough. What it lacks of the original: spot-to-spot rules (there is no spot here), and its scheduler's own packing.
type karpenter struct {
	consolidateAfter time.Duration
}

const (
	karpenterCommands = 4
	karpenterMost     = 100
	karpenterExpire   = 720 * time.Hour
)

func (k karpenter) consolidate(d *day) {
	if len(d.pending) > 0 {
		return
	}
	for range karpenterCommands {
		d.account.decisions++
		if !k.command(d) {
			return
		}
		d.schedule()
		if len(d.pending) > 0 {
			return
		}
	}
}

func (k karpenter) command(d *day) bool {
	all := d.candidates()
	total, disrupted := disruption.Count("general", all, disruption.World{})
	left, _, err := disruption.Allowed(d.policy, v1alpha1.DisruptUnderutilized, total, disrupted, d.now)
	if err != nil {
		d.t.Fatal(err)
	}
	var nodes []disruption.Candidate
	var empty []string
	for _, c := range all {
		if c.Expected || c.Leaving || d.now.Sub(c.Created) < k.consolidateAfter || d.now.Sub(c.LastPodChange) < k.consolidateAfter {
			continue
		}
		if len(c.Pods) == 0 {
			empty = append(empty, c.Name())
			continue
		}
		nodes = append(nodes, c)
	}
	if left == 0 {
		return false
	}
	if len(empty) > 0 {
		d.carryOut(empty[:min(len(empty), left)], nil)
		return true
	}
	cost := func(c disruption.Candidate) float64 {
		return float64(len(c.Pods)) * (1 - d.now.Sub(c.Created).Hours()/karpenterExpire.Hours())
	}
	slices.SortStableFunc(nodes, func(a, b disruption.Candidate) int { return cmp.Compare(cost(a), cost(b)) })
	return k.several(d, nodes[:min(len(nodes), karpenterMost, left)]) || k.single(d, nodes)
}

func (k karpenter) several(d *day, nodes []disruption.Candidate) bool {
	var best cluster.Outcome
	most := 0
	for low, high := 2, len(nodes); low <= high; {
		middle := (low + high) / 2
		if out := k.simulate(d, nodes[:middle]); out.Feasible {
			best, most, low = out, middle, middle+1
		} else {
			high = middle - 1
		}
	}
	if most == 0 {
		return false
	}
	d.carryOut(named(nodes[:most]), best.Create)
	return true
}

func (k karpenter) single(d *day, nodes []disruption.Candidate) bool {
	for i := range nodes {
		if out := k.simulate(d, nodes[i:i+1]); out.Feasible {
			d.carryOut(named(nodes[i:i+1]), out.Create)
			return true
		}
	}
	return false
}

func named(nodes []disruption.Candidate) (names []string) {
	for i := range nodes {
		names = append(names, nodes[i].Name())
	}
	return names
}

// simulate is feasible when the pods fit, beside those of nodes on their way out, on nodes that are ready and at most one that is
// cheaper.
func (k karpenter) simulate(d *day, group []disruption.Candidate) cluster.Outcome {
	price, cheapest := 0.0, map[string]float64{}
	for i := range group {
		m := d.machines[group[i].Name()]
		price += m.node.PricePerHour
		cheapest[m.shape] = m.node.PricePerHour
	}
	removal := cluster.Removal{Nodes: named(group), Buy: true, MaxPrice: price, MaxNew: 1}
	for _, c := range d.underWay {
		removal.Nodes = append(removal.Nodes, c.remove...)
	}
	d.account.simulations++
	out := d.state.Simulate(removal)
	if out.Feasible && len(out.Create) == 1 && len(group) > 1 {
		if least, same := cheapest[out.Create[0].Offer.Name]; same {
			removal.MaxPrice = least
			out = d.state.Simulate(removal)
		}
	}
	if !out.Feasible {
		return out
	}
	mine := map[string]bool{}
	for i := range group {
		for _, p := range group[i].Pods {
			mine[p.Name] = true
		}
	}
	for _, m := range out.Moves {
		if target := d.machines[m.Node]; mine[m.Pod.Name] && target != nil && target.node.Expected {
			return cluster.Outcome{}
		}
	}
	return out
}
