package consolidation

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// proposal is a replacement that could be.
type proposal struct {
	group  []*node
	out    cluster.Outcome
	saving float64
	cost   float64
}

// value is what is left of the saving.
func (p *proposal) value() float64 { return p.saving - p.cost }

// replacements looks for one replacement: of one node by a cheaper one, or of several by fewer or cheaper ones, whichever brings most.
// One at a time, since what a second one may use depends on whether the first one's node comes.
func (s *search) replacements() {
	nodes := s.replaceable()
	best := s.best(s.groups(nodes), s.singles(nodes))
	if best == nil {
		return
	}
	m := &disruption.Move{
		Reason: v1alpha1.DisruptUnderutilized, Policy: s.pool.policy.Name, Create: best.out.Create,
		Saving: best.saving, Cost: best.cost, Code: "Replaceable",
	}
	for _, n := range best.group {
		m.Remove = append(m.Remove, n.name)
	}
	what := "the node's pods fit"
	if len(best.group) > 1 {
		what = fmt.Sprintf("the pods of %s fit together", names(m.Remove))
	}
	m.Message = fmt.Sprintf("%s on %s: %s an hour are saved for evictions worth %s", what, offers(m.Create), money(m.Saving), money(m.Cost))
	s.take(best.group, m)
	s.placed = best.out.Moves
}

// onNewNodes are the pods that go to new nodes.
func onNewNodes(places []cluster.Placement) map[types.NamespacedName]bool {
	pods := map[types.NamespacedName]bool{}
	for _, p := range places {
		if isNew(p.Node) {
			pods[p.Pod.NamespacedName] = true
		}
	}
	return pods
}

// replaceable are nodes whose pods have no room elsewhere, those first that waste most.
func (s *search) replaceable() []*node {
	if !s.pool.priced || s.pool.left(v1alpha1.DisruptUnderutilized) == 0 || s.f.effort.spent() {
		return nil
	}
	var nodes []*node
	for _, n := range s.pool.eligible {
		if n.taken || s.f.empty(n) || n.candidate.PricePerHour <= 0 {
			continue
		}
		// Only what this decision found out: an answer that is repeated holds for the replacement too.
		if r := s.f.memory.nodes[n.name]; r != nil && r.at.Equal(s.f.now) && r.answer.Code == "NoRoom" {
			nodes = append(nodes, n)
		}
	}
	slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(b.waste(), a.waste()) })
	return nodes
}

// waste is what is paid for room that nobody requested, less what the evictions are worth.
func (n *node) waste() float64 {
	used := 0.0
	for name, have := range n.candidate.Allocatable {
		if name != "cpu" && name != "memory" {
			continue
		}
		if h := have.AsApproximateFloat64(); h > 0 {
			want := n.candidate.Requested[name]
			used = max(used, want.AsApproximateFloat64()/h)
		}
	}
	return n.price*(1-used) - n.cost
}

func (s *search) minimumSaving() float64 {
	if share := s.pool.consolidation().MinimumSaving; share != nil {
		return float64(*share) / 100
	}
	return 0.15
}

// singles tries each node by itself.
func (s *search) singles(nodes []*node) (found []*proposal) {
	for i, n := range nodes {
		if s.f.effort.spent() {
			s.unreplaced(nodes[i:])
			return found
		}
		p, code, message := s.propose(nodes[i : i+1])
		if p != nil {
			found = append(found, p)
			s.reanswer(n, "AnotherFirst", "a cheaper node could take its pods, and another replacement that saves more goes first")
			continue
		}
		s.reanswer(n, code, message)
	}
	return found
}

// groups tries the first nodes together, half as many each time.
func (s *search) groups(nodes []*node) (found []*proposal) {
	size := min(len(nodes), s.f.config.MaxBatch, s.pool.left(v1alpha1.DisruptUnderutilized))
	for ; size >= 2 && !s.f.effort.spent(); size /= 2 {
		group := slices.Clone(nodes[:size])
		for len(group) >= 2 && !s.f.effort.spent() {
			p, code, _ := s.propose(group)
			if p != nil {
				found = append(found, p)
			}
			if code != "LikeForLike" {
				break
			}
			// A node that would be bought again might as well stay: without one of its kind the rest may do.
			group = group[:len(group)-1]
			if p == nil && len(group) < size/2 {
				break
			}
		}
	}
	return found
}

func (s *search) best(proposals ...[]*proposal) (best *proposal) {
	for _, list := range proposals {
		for _, p := range list {
			if best == nil || p.value() > best.value() {
				best = p
			}
		}
	}
	return best
}

// propose simulates the replacement of a group and puts it through the rules for replacements.
func (s *search) propose(group []*node) (p *proposal, code, message string) {
	p = &proposal{group: group}
	price := 0.0
	for _, n := range group {
		price += n.price
		p.cost += n.cost
	}
	least := price * s.minimumSaving()
	p.out = s.simulate(group, cluster.Removal{Buy: true, MaxPrice: price - max(least, p.cost), MaxNew: max(1, len(group)-1)})
	if !p.out.Feasible {
		return nil, "NoCheaperNode", fmt.Sprintf("no node for less than %s an hour can take its pods: %s", money(price-max(least, p.cost)), p.out.Reason)
	}
	after := 0.0
	for i := range p.out.Create {
		after += p.out.Create[i].Offer.PricePerHour
	}
	p.saving = price - after
	p.cost += after * s.f.config.Overlap.Duration.Hours() / s.f.config.Horizon.Duration.Hours()
	for _, r := range replacementRules() {
		if refuses, code, message := r.judge(s, p); refuses {
			return nil, code, message
		}
	}
	return p, "", ""
}

// reanswer completes the answer that there is no room.
func (s *search) reanswer(n *node, code, message string) {
	last := &n.verdicts[len(n.verdicts)-1]
	last.Code, last.Message = code, last.Message+"; "+message
	s.f.memory.learn(n, *last, s.f.now)
}

func (s *search) unreplaced(nodes []*node) {
	for _, n := range nodes {
		last := &n.verdicts[len(n.verdicts)-1]
		last.Message += "; whether a cheaper node could take them is for the next decision"
		s.f.memory.learn(n, disruption.Verdict{}, s.f.now)
	}
}
