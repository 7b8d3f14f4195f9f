package consolidation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// effort bounds the simulations of one decision.
type effort struct {
	simulations, pods       int
	maxSimulations, maxPods int
}

func (e *effort) spent() bool { return e.simulations >= e.maxSimulations || e.pods >= e.maxPods }

// search looks for the moves of one pool. What it accepts is taken as gone in every later simulation, so that all moves of a decision
// are possible together.
type search struct {
	f    *fleet
	pool *pool
	// gone are nodes on their way out and those that were accepted before, of this pool and of others that act.
	gone  []string
	moves []*disruption.Move
	// placed is the newest simulation that was accepted: it has a place for the pods of everything that goes.
	placed []cluster.Placement
}

func (f *fleet) search(p *pool) *search {
	s := &search{f: f, pool: p, gone: slices.Clone(f.going)}
	for i := range f.moves {
		if f.pools[f.moves[i].Policy].acts() {
			s.gone = append(s.gone, f.moves[i].Remove...)
		}
	}
	return s
}

// simulate asks what would become of the pods without the group, beside everything that is gone.
func (s *search) simulate(group []*node, purchase cluster.Removal) cluster.Outcome {
	purchase.Nodes = slices.Clone(s.gone)
	for _, n := range group {
		purchase.Nodes = append(purchase.Nodes, n.name)
	}
	s.f.effort.simulations++
	for _, name := range purchase.Nodes {
		s.f.effort.pods += 1 + len(s.f.byName[name].candidate.Pods)
	}
	out := s.f.in.Planner.Simulate(purchase)
	if out.Feasible {
		s.refuseUnready(group, &out)
	}
	return out
}

// refuseUnready turns down places on nodes that take no pods now: a pod is evicted only when there is somewhere to go. Pods of nodes
// that were on their way out before may wait for the nodes that were bought for them.
func (s *search) refuseUnready(group []*node, out *cluster.Outcome) {
	mine := podsOf(group)
	for _, name := range s.gone[len(s.f.going):] {
		maps.Copy(mine, podsOf([]*node{s.f.byName[name]}))
	}
	for i := range out.Moves {
		m := &out.Moves[i]
		target := s.f.byName[m.Node]
		if !mine[m.Pod.NamespacedName] || target == nil {
			continue
		}
		if c := target.candidate; c.Expected || !c.Ready || s.f.leaving(target) {
			out.Feasible, out.Blocking, out.Reason = false, m.Pod, "it has room only on "+m.Node+", which takes no pods yet"
			return
		}
	}
}

func podsOf(group []*node) map[types.NamespacedName]bool {
	pods := map[types.NamespacedName]bool{}
	for _, n := range group {
		for _, pod := range n.candidate.Pods {
			pods[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = true
		}
	}
	return pods
}

// empty gives back nodes without pods. They are simulated too: what is foreseen and headroom may need them.
func (s *search) empty() {
	var nodes []*node
	for _, n := range s.pool.eligible {
		if s.f.empty(n) {
			nodes = append(nodes, n)
		}
	}
	slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(b.price, a.price) })
	s.remove(nodes, v1alpha1.DisruptEmpty)
}

// removals empties nodes whose pods have room on others: those first that save most for their evictions.
func (s *search) removals() {
	var nodes []*node
	for _, n := range s.pool.eligible {
		if !n.taken && !s.f.empty(n) {
			nodes = append(nodes, n)
		}
	}
	slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(a.cost/a.price, b.cost/b.price) })
	s.remove(nodes, v1alpha1.DisruptUnderutilized)
}

// remove accepts as many of the nodes as their pods have room for, in order. Batches double while that goes well and are halved when
// it does not, so that a thousand nodes take some ten simulations where there is room and each node one where there is none.
func (s *search) remove(nodes []*node, reason v1alpha1.DisruptionReason) {
	for batch := 1; len(nodes) > 0; {
		left := s.pool.left(reason)
		switch {
		case left == 0:
			s.outOfBudget(nodes, reason)
			return
		case s.f.effort.spent():
			s.unexamined(nodes)
			return
		}
		group := nodes[:min(batch, left, len(nodes))]
		out := s.simulate(group, cluster.Removal{})
		switch {
		case out.Feasible:
			s.accept(group, reason, &out)
			nodes, batch = nodes[len(group):], 2*batch
		case len(group) > 1:
			batch = len(group) / 2
		default:
			s.noRoom(group[0], &out)
			nodes, batch = nodes[1:], 1
		}
	}
}

// accept makes a move of each node: one that has to be given up does not take the others with it.
func (s *search) accept(group []*node, reason v1alpha1.DisruptionReason, out *cluster.Outcome) {
	for _, n := range group {
		m := &disruption.Move{Reason: reason, Policy: s.pool.policy.Name, Remove: []string{n.name}, Saving: n.price, Cost: n.cost}
		if reason == v1alpha1.DisruptEmpty {
			m.Code, m.Message = "Empty", fmt.Sprintf("no pod needs the node: %s an hour are saved", money(m.Saving))
		} else {
			m.Code, m.Message = "Removable", fmt.Sprintf("%s room on other nodes: %s an hour are saved for evictions worth %s",
				its(len(n.verdict.Evict)), money(m.Saving), money(m.Cost))
		}
		s.take([]*node{n}, m)
	}
	s.placed = out.Moves
}

// settle gives every move the places that the newest simulation found: what one was accepted with may be a node that went later.
func (s *search) settle() {
	if s.placed == nil {
		return
	}
	places := make(map[types.NamespacedName]cluster.Placement, len(s.placed))
	for _, p := range s.placed {
		places[p.Pod.NamespacedName] = p
	}
	for _, m := range s.together() {
		m.Place = nil
		for _, name := range m.Remove {
			for _, pod := range s.f.byName[name].candidate.Pods {
				if p, ok := places[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]; ok {
					m.Place = append(m.Place, p)
				}
			}
		}
	}
}

// together are the moves that this search's simulations cover.
func (s *search) together() []*disruption.Move {
	if !s.pool.acts() {
		return s.moves
	}
	var all []*disruption.Move
	for _, m := range s.f.moves {
		if s.f.pools[m.Policy].acts() {
			all = append(all, m)
		}
	}
	return append(all, s.moves...)
}

// take makes the nodes part of a move.
func (s *search) take(group []*node, m *disruption.Move) {
	for _, n := range group {
		n.taken = true
		if last := &n.verdicts[len(n.verdicts)-1]; last.Stays {
			last.Stays = false // it has no room elsewhere, and gets some
		}
		if r := s.f.memory.nodes[n.name]; r != nil {
			r.answer = disruption.Verdict{}
		}
		n.passes("move", m.Code, m.Message)
		s.gone = append(s.gone, n.name)
	}
	s.pool.planned += len(group)
	s.moves = append(s.moves, m)
}

// noRoom is an answer that may be completed by the search for a replacement.
func (s *search) noRoom(n *node, out *cluster.Outcome) {
	message := "its pods have no room elsewhere"
	if b := out.Blocking; b.Name != "" {
		message = fmt.Sprintf("the pod %s/%s has no room elsewhere", b.Namespace, b.Name)
		if b.Demand != "" {
			message = fmt.Sprintf("%s, which is foreseen, has no room elsewhere", b.Demand)
		}
	}
	if out.Reason != "" {
		message += ": " + out.Reason
	}
	s.answer(n, "room", "NoRoom", message)
}

// answer keeps a node for a reason that took a simulation, and remembers it.
func (s *search) answer(n *node, rule, code, message string) {
	n.keeps(rule, code, message)
	s.f.memory.learn(n, n.verdicts[len(n.verdicts)-1], s.f.now)
}

func (s *search) outOfBudget(nodes []*node, reason v1alpha1.DisruptionReason) {
	for _, n := range nodes {
		n.keeps("budget", "BudgetExhausted", fmt.Sprintf("%s, and %s now; they come first", s.pool.budgets[reason].why,
			count(s.pool.planned, "other node is planned to go", "other nodes are planned to go")))
	}
}

// unexamined nodes are looked at by the next decision.
func (s *search) unexamined(nodes []*node) {
	for _, n := range nodes {
		n.keeps("effort", "NotExamined", fmt.Sprintf("%d simulations were made for other nodes; the next decision looks at this one", s.f.effort.simulations))
	}
}
