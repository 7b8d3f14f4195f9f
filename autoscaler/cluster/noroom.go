package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// noRoom says why no node that there is takes the rest of a batch: how many nodes for which reason, the most frequent first, at most
// three of them.
func (p *planning) noRoom(b *batch) string {
	if reason, held := p.held(b); held {
		return reason.Message
	}
	counts := map[string]int{}
	nodes := 0
	for _, t := range p.s.sites() {
		if t.absent {
			continue
		}
		nodes++
		counts[p.lacks(t, b.class)]++
	}
	if nodes == 0 {
		return "there is no other node"
	}
	type share struct {
		why string
		n   int
	}
	var shares []share
	for why, n := range counts {
		shares = append(shares, share{why, n})
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.why, b.why)) })
	var text []string
	for _, s := range shares[:min(len(shares), 3)] {
		why := s.why
		if !strings.Contains(why, " ") {
			why = "too little " + why + " left" // the name of a resource
		}
		text = append(text, fmt.Sprintf("%s (%d)", why, s.n))
	}
	return fmt.Sprintf("of %d other nodes: %s", nodes, strings.Join(text, ", "))
}

// lacks is the filter that fails on a node, or the name of the resource of which there is too little.
func (p *planning) lacks(t *site, c *class) string {
	if t.closed {
		return "on its way out"
	}
	switch c.filter.on(t.shape, t.node) {
	case wrongLabels:
		return "node selector or affinity does not match"
	case tainted:
		return "a taint that the pod does not tolerate"
	case unreachable:
		return "its volumes cannot be reached"
	case portTaken:
		return "a host port that a DaemonSet's pod takes"
	}
	if !c.singly() {
		if d := t.free.short(c.request); d >= 0 {
			if p.s.dims.isAttach(d) {
				return "no more volumes can be attached"
			}
			return string(p.s.dims.names[d])
		}
	}
	if len(c.ports) > 0 && t.portsClash(c.ports) {
		return "a host port in use"
	}
	if p.room(t, c) == 0 {
		return "no room for its volumes or devices"
	}
	if c.constrained() > 0 && !p.allows(t, c) {
		return "pod affinity or topology spread does not allow it"
	}
	return "room for others of its kind only"
}
