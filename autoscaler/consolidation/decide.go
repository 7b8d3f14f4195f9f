package consolidation

import (
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Input is all that a decision is made from.
type Input struct {
	World disruption.World
	// Planner knows the same nodes and pods as Candidates. Nodes that are on their way out are marked as leaving there.
	Planner cluster.Planner
	// Candidates are all nodes there are, ours or not, and those that are being made.
	Candidates []disruption.Candidate
	// Memory is carried from decision to decision, and changed by Decide.
	Memory *Memory
	Config Config
	// Stale says why the world cannot be trusted, empty when it can: informers that have not caught up, a lost connection. Nothing
	// is taken away then.
	Stale string
	// Pending is how many pods wait for a place on a node that there is or will be. Those that no node can take do not count: they
	// would hold everything for ever.
	Pending int
	// Growing are the policies that are buying, or have bought a moment ago, nodes for pods, and not in the course of a move.
	Growing []string
}

// Decision is what to do, and an answer for every node.
type Decision struct {
	// Moves may be carried out at once: they were simulated together, and budgets allow them together. No node is in two of them.
	// Those of policies that only recommend are among them: the caller knows the mode.
	Moves []disruption.Move
	// Stays has an entry for every candidate by its name, those that move included.
	Stays map[string]disruption.Stay
	// Simulations and SimulatedPods are the work that it took.
	Simulations, SimulatedPods int
}

// Decide finds moves, and the reason of every node to stay. It is pure but for Memory. It does not fail: what it cannot understand
// stays.
func Decide(in Input) Decision {
	f := newFleet(in)
	for _, n := range f.nodes {
		f.ask(n)
	}
	for _, p := range f.order() {
		s := f.search(p)
		s.empty()
		s.removals()
		s.replacements()
		s.settle()
		f.moves = append(f.moves, s.moves...)
	}
	d := Decision{Stays: make(map[string]disruption.Stay, len(f.nodes)), Simulations: f.effort.simulations, SimulatedPods: f.effort.pods}
	for _, m := range f.moves {
		d.Moves = append(d.Moves, *m)
	}
	for _, n := range f.nodes {
		d.Stays[n.name] = n.stay()
	}
	f.memory.forget(f)
	return d
}
