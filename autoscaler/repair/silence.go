package repair

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// source is where nodes are heard of.
type source int

const (
	lease source = iota
	collector
)

func sourceOf(s v1alpha1.SilenceSource) source {
	if s == v1alpha1.SilentCollector {
		return collector
	}
	return lease
}

func (s source) String() string {
	if s == collector {
		return "collector"
	}
	return "lease"
}

// grace is how long a source may say nothing new before that is silence. A kubelet renews its lease every 10 s and calls it held for
// 40 s; a collector sends its slowest samples every 15 s.
func (s source) grace() time.Duration {
	if s == collector {
		return time.Minute
	}
	return 40 * time.Second
}

// pipe is how a source as a whole is.
type pipe struct {
	// unknown says why nothing can be known through it, empty when it works.
	unknown string
	// back is when it began to work again: silence is counted from then at the earliest, since nobody could be heard before.
	back time.Time
}

// hear takes in what the sources say. Only that something new is said counts, and when by the clock here. A source through which no node
// at all is heard is broken itself.
func (m *Memory) hear(in *Input) {
	for _, s := range []source{lease, collector} {
		said := &in.Leases
		if s == collector {
			said = &in.Collectors
		}
		p := &m.sources[s]
		if m.last.IsZero() || in.Now.Sub(m.last) > gap {
			p.back = in.Now
		}
		if said.State != decision.Fresh {
			p.unknown, p.back = "the "+s.String()+"s of nodes are not known: "+reasonOf(said), in.Now
			continue
		}
		newest := m.news(in, s, said)
		p.unknown = ""
		if newest.IsZero() || in.Now.Sub(newest) >= s.grace() {
			p.unknown, p.back = "no node at all is heard of through its "+s.String()+", so it is the source that is silent", in.Now
		}
	}
}

func reasonOf(h *Heard) string {
	if h.Reason == "" {
		return lower(h.State)
	}
	return h.Reason
}

// news notes what is new of each node, and returns when any node was heard of last.
func (m *Memory) news(in *Input, s source, said *Heard) (newest time.Time) {
	for i := range in.Nodes {
		n := &in.Nodes[i]
		if n.Node == nil {
			continue
		}
		h := m.of(n)
		if at, ok := said.At[n.Node.Name]; ok && !at.IsZero() && !at.Equal(h.heard[s].said) {
			h.heard[s] = sighting{said: at, changed: in.Now, renewed: !h.heard[s].changed.IsZero()}
		}
		if h.heard[s].changed.After(newest) {
			newest = h.heard[s].changed
		}
	}
	return newest
}

// unreachable reports whether nobody on the node answers: its Node object is gone, its lease is silent while others are not, or the
// control plane calls it unknown and its lease does not say otherwise.
func (m *Memory) unreachable(now time.Time, n *Node, h *history) bool {
	if n.Node == nil {
		return true
	}
	p, said := &m.sources[lease], h.heard[lease]
	if p.unknown == "" && said.renewed {
		return now.Sub(later(said.changed, p.back)) >= lease.grace()
	}
	c := n.condition(string(corev1.NodeReady))
	return c != nil && c.Status == corev1.ConditionUnknown
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
