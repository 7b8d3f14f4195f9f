package cluster

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// onePerNode is a resource of which every node has one, for pods that do not tolerate each other on a node. No node reports it.
const onePerNode corev1.ResourceName = "one-per-node.cluster/"

// bound is a price that new nodes for the pods of the plan cannot be below, whatever nodes are bought, and the name of the argument.
//
// It is a feasible solution of the dual of buying fractions of nodes: no lot's room is worth more than its price, so that no set of
// nodes is worth more than it costs; and the pods are worth what is returned. Pods that may not be together on a node (the largest
// such group) take the one place for such a pod that a node has, so that nodes forced by them count. What is free on nodes that there
// are is taken off at the highest prices. When all pods are of one size, no node is worth more than the whole pods that it takes.
func (p *planning) bound(batches []*batch) (float64, string) {
	if len(p.bought) == 0 {
		return 0, "nothing is bought"
	}
	k := &packer{p: &planning{s: p.s, spent: map[*Policy]*spending{}, sold: map[*variety]int{}}}
	group, slot := largestApart(batches), -1
	if group != nil {
		slot = p.s.dims.of(onePerNode)
	}
	var open []assignment
	var filters []*filter
	seen := map[*filter]bool{}
	for _, b := range batches {
		if b.placed == 0 {
			continue
		}
		whole := &batch{class: b.class, count: b.placed}
		if group != nil && b.class.apartBy(group) {
			c := *b.class
			c.request = c.request.clone().with(slot, 1)
			whole.class = &c
		}
		open = append(open, assignment{whole, -1, b.placed})
		if !seen[b.class.filter] {
			seen[b.class.filter] = true
			filters = append(filters, b.class.filter)
		}
	}
	k.lots = k.p.lots(filters)
	if group != nil {
		for _, l := range k.lots {
			l.free = l.free.clone().with(slot, 1)
		}
	}
	k.collect(open, filters)
	k.price(false)
	rooms := p.roomsBefore(slot)
	sum, name := k.volumeBound(rooms, slot)
	if whole := k.wholeBound(rooms); whole > sum {
		return whole, "whole pods of one size"
	}
	return sum, name
}

// volumeBound is what the pods are worth, less what is free already.
func (k *packer) volumeBound(rooms []vector, slot int) (float64, string) {
	sum := 0.0
	for _, sz := range k.sizes {
		sum += sz.value * float64(sz.count)
	}
	most := make([]float64, len(k.p.s.dims.names))
	for _, l := range k.lots {
		for i, x := range l.prices {
			most[i] = max(most[i], x)
		}
	}
	for _, room := range rooms {
		sum -= room.dot(most)
	}
	name := "volume"
	if slot >= 0 && most[slot] > 0 {
		name = "volume, and nodes forced by pods that may not be together on one"
	}
	return math.Max(0, sum), name
}

// wholeBound is 0 unless all pods are of one size.
func (k *packer) wholeBound(rooms []vector) float64 {
	if len(k.sizes) != 1 {
		return 0
	}
	sz := k.sizes[0]
	left := sz.count
	for _, room := range rooms {
		left -= room.times(sz.request)
	}
	best := math.Inf(1)
	for _, l := range k.lots {
		if n := l.free.times(sz.request); n > 0 && k.suits(l, sz) {
			best = min(best, l.price/float64(n))
		}
	}
	if left <= 0 || math.IsInf(best, 1) {
		return 0
	}
	return float64(left) * best
}

// largestApart is the tally of the most pods of which a node takes only one, nil when there are none.
func largestApart(batches []*batch) *tally {
	counts := map[*tally]int{}
	var best *tally
	for _, b := range batches {
		for _, y := range b.class.relation.anti {
			if y.keyID == hostnameKey && b.class.apartBy(y) {
				if counts[y] += b.placed; best == nil || counts[y] > counts[best] {
					best = y
				}
			}
		}
	}
	return best
}

// apartBy says whether pods of the class do not tolerate each other, nor others that do the same, on a node by the tally's term.
func (c *class) apartBy(y *tally) bool {
	anti, counted := false, false
	for _, o := range c.relation.anti {
		anti = anti || o == y
	}
	for _, o := range c.relation.adds {
		counted = counted || o == y
	}
	return anti && counted
}

// roomsBefore is what was free on the nodes before the plan, with one slot on each.
func (p *planning) roomsBefore(slot int) []vector {
	taken := map[*site]vector{}
	for _, st := range p.log {
		if st.site != nil && st.site.variety == nil {
			taken[st.site] = taken[st.site].take(st.class.request, -st.n)
		}
	}
	var out []vector
	for _, t := range p.s.sites() {
		if t.closed {
			continue
		}
		free := t.free.clone().take(taken[t], -1)
		for i, n := range free {
			free[i] = max(0, n)
		}
		if slot >= 0 {
			free = free.with(slot, 1)
		}
		out = append(out, free)
	}
	return out
}
