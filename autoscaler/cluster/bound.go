package cluster

import "math"

// bound is a price that nodes for the pods of the plan cannot be below, whatever nodes are bought, and the name of the argument.
//
// It is a feasible solution of the dual of buying fractions of nodes: no lot's room is worth more than its price, so that no set of
// nodes is worth more than it costs; and the pods are worth what is returned. What is free on nodes that there are is taken off at
// the highest prices.
func (p *planning) bound(batches []*batch) (float64, string) {
	k := &packer{p: &planning{s: p.s, spent: map[string]*spending{}, sold: map[*variety]int{}}}
	var open []*batch
	var filters []*filter
	seen := map[*filter]bool{}
	for _, b := range batches {
		if b.placed == 0 {
			continue
		}
		whole := *b
		whole.count, whole.placed = b.placed, 0
		open = append(open, &whole)
		if !seen[b.class.filter] {
			seen[b.class.filter] = true
			filters = append(filters, b.class.filter)
		}
	}
	if len(p.bought) == 0 || len(open) == 0 {
		return 0, "nothing is bought"
	}
	k.lots = k.p.lots(filters)
	k.collect(everywhere(open), filters)
	k.price(false)
	sum := 0.0
	for _, b := range k.sizes {
		sum += b.value * float64(b.count)
	}
	most := make([]float64, len(p.s.dims.names))
	for _, l := range k.lots {
		for i, x := range l.prices {
			most[i] = max(most[i], x)
		}
	}
	for _, t := range p.s.sites() {
		if !t.closed {
			sum -= p.roomBefore(t).dot(most)
		}
	}
	return math.Max(0, sum), "volume"
}

// roomBefore is what was free on the node before the plan.
func (p *planning) roomBefore(t *site) vector {
	free := make(vector, len(t.free))
	for i, n := range t.free {
		free[i] = n
	}
	for _, st := range p.log {
		if st.site == t {
			free = free.take(st.class.request, -st.n)
		}
	}
	for i, n := range free {
		free[i] = max(0, n)
	}
	return free
}

// everywhere lets pods be in any cell.
func everywhere(batches []*batch) []assignment {
	out := make([]assignment, 0, len(batches))
	for _, b := range batches {
		out = append(out, assignment{b, -1, b.left()})
	}
	return out
}
