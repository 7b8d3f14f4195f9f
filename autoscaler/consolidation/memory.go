package consolidation

import (
	"time"

	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Memory is the hysteresis: what was decided lately and how it went. Its owner keeps it from one decision to the next; losing it costs
// at most one move too early. It is bounded by the number of nodes. It is not safe for concurrent use.
type Memory struct {
	nodes  map[string]*remembered
	growth map[string]time.Time
}

// remembered is what is known of one node.
type remembered struct {
	// answer took a simulation at; it holds for pods as they were at changed.
	answer  disruption.Verdict
	at      time.Time
	changed time.Time
	// received is when a move put pods here, or bought the node.
	received time.Time
	// failures in a row keep the node until then.
	failures int
	until    time.Time
	failure  string
}

// NewMemory is an empty one.
func NewMemory() *Memory {
	return &Memory{nodes: map[string]*remembered{}, growth: map[string]time.Time{}}
}

// Failed says that a move was given up: its nodes are left alone for a while, longer each time.
func (m *Memory) Failed(move disruption.Move, reason string, config Config, now time.Time) {
	for _, name := range move.Remove {
		r := m.of(name)
		r.until = now.Add(config.Retry.Duration << min(r.failures, 4))
		r.failures++
		r.failure = reason
	}
}

// Began says that a move is being carried out: the nodes that take its pods are left alone for a while.
func (m *Memory) Began(move disruption.Move, now time.Time) {
	for i := range move.Place {
		if name := move.Place[i].Node; !isNew(name) {
			m.of(name).received = now
		}
	}
}

// Bought says that a node was made to take the place of others.
func (m *Memory) Bought(node string, now time.Time) { m.of(node).received = now }

// Grew says that nodes were bought for pods under a policy.
func (m *Memory) Grew(policy string, now time.Time) { m.growth[policy] = now }

func (m *Memory) of(name string) *remembered {
	r := m.nodes[name]
	if r == nil {
		r = &remembered{}
		m.nodes[name] = r
	}
	return r
}

// answer is what was found out about a node before, if it still holds.
func (m *Memory) answered(n *node, f *fleet) (disruption.Verdict, bool) {
	r := m.nodes[n.name]
	if r == nil || r.answer.Code == "" || !r.changed.Equal(n.candidate.LastPodChange) || f.now.Sub(r.at) >= f.config.Recheck.Duration {
		return disruption.Verdict{}, false
	}
	return r.answer, true
}

func (m *Memory) learn(n *node, answer disruption.Verdict, now time.Time) {
	r := m.of(n.name)
	r.answer, r.at, r.changed = answer, now, n.candidate.LastPodChange
}

// forget drops nodes and policies that are no more.
func (m *Memory) forget(f *fleet) {
	present := make(map[string]bool, len(f.nodes))
	for _, n := range f.nodes {
		present[n.name] = true
		if n.candidate.Claim != "" {
			present[n.candidate.Claim] = true
		}
	}
	for name := range m.nodes {
		if !present[name] {
			delete(m.nodes, name)
		}
	}
	for name := range m.growth {
		if f.pools[name] == nil {
			delete(m.growth, name)
		}
	}
}
