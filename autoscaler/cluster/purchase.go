package cluster

import (
	"cmp"
	"slices"
	"strconv"
)

// spending is what a plan has bought under one policy.
type spending struct {
	milliCPU, memory int64
	nodes            int
	price            float64
	zones            map[string]int
}

// purchasable says whether one more may be bought.
func (p *planning) purchasable(v *variety) bool {
	if !v.offer.Available {
		return false
	}
	return !v.bounded || p.withinStock(v) && (p.unlimited || p.limit(v) == "")
}

// market is the varieties of which one more may be bought now, by rising price.
func (p *planning) market() []*variety {
	if p.marketAt != p.charges+1 {
		p.marketAt = p.charges + 1
		p.onSale = p.onSale[:0]
		for _, v := range p.s.varieties {
			if p.purchasable(v) {
				p.onSale = append(p.onSale, v)
			}
		}
	}
	return p.onSale
}

func (p *planning) withinStock(v *variety) bool {
	return v.offer.Stock < 0 || p.sold[v] < v.offer.Stock
}

// nothing is what was spent under a policy under which nothing was bought.
var nothing spending

// limit names the limit that one more would exceed, empty when there is none.
func (p *planning) limit(v *variety) string {
	left := &v.policy.Left
	spent := p.spent[v.policy]
	if spent == nil {
		spent = &nothing
	}
	switch {
	case left.Nodes != nil && spent.nodes+1 > *left.Nodes:
		return "nodes"
	case left.MilliCPU != nil && spent.milliCPU+v.capacity.at(dimCPU) > *left.MilliCPU:
		return "CPU"
	case left.Memory != nil && spent.memory+v.capacity.at(dimMemory) > *left.Memory:
		return "memory"
	case left.PricePerHour != nil && spent.price+v.offer.PricePerHour > *left.PricePerHour*(1+1e-12):
		return "price per hour"
	}
	return ""
}

// inZone is how many nodes the policy has in the offer's zone, those of the plan included.
func (p *planning) inZone(v *variety) int {
	n := v.policy.Owned[v.offer.Zone]
	if spent := p.spent[v.policy]; spent != nil {
		n += spent.zones[v.offer.Zone]
	}
	return n
}

// purchase adds a node of the variety to the plan.
func (p *planning) purchase(v *variety) *site {
	t := &site{index: p.s.nextSite + p.serial, name: "new-" + strconv.Itoa(int(p.serial)), node: v.node, shape: v.shape, free: v.free.clone(), variety: v}
	p.serial++
	p.bought = append(p.bought, t)
	p.charge(v, 1)
	for _, y := range p.live {
		if y.scope != nil && y.scope.includes(t) {
			y.expect(p.s.domain(t, y))
		}
	}
	return t
}

func (p *planning) charge(v *variety, n int) {
	if v.bounded {
		p.sold[v] += n
	}
	p.charges++
	spent := p.spent[v.policy]
	if spent == nil {
		spent = &spending{zones: map[string]int{}}
		p.spent[v.policy] = spent
	}
	spent.nodes += n
	spent.milliCPU += int64(n) * v.capacity.at(dimCPU)
	spent.memory += int64(n) * v.capacity.at(dimMemory)
	spent.price += float64(n) * v.offer.PricePerHour
	spent.zones[v.offer.Zone] += n
}

// buy finds nodes to buy for the pods that have no place. Policies of a higher weight come first.
func (p *planning) buy(batches []*batch, o Options) {
	var open []*batch
	for _, b := range batches {
		if _, held := p.held(b); b.left() > 0 && !held && !expendable(b) {
			open = append(open, b)
		}
	}
	if len(open) == 0 {
		return
	}
	mark := len(p.log)
	missing := left(open)
	p.packAll(open, o)
	if left(open) == 0 || !p.scarce(o) {
		return
	}
	// There is not enough for all: pods of a higher priority come first, and each next priority fills up what is there.
	placed := missing - left(open)
	p.abandon(mark)
	if !p.allOrNone && !p.greedy && slices.ContainsFunc(open, func(b *batch) bool { return p.celled(b.class) }) && p.buyWithin(open, placed, o) {
		p.within = true
		// Beyond that, more for those would take them out of balance.
		open = slices.DeleteFunc(open, func(b *batch) bool { return b.left() == 0 || p.celled(b.class) })
	}
	for len(open) > 0 {
		n := 1
		for n < len(open) && open[n].priority == open[0].priority && open[n].rank == open[0].rank {
			n++
		}
		p.packAll(open[:n], o)
		open = open[n:]
	}
}

// packAll buys for the batches: first for those whose pods are placed one at a time. The others fill up what is bought already.
func (p *planning) packAll(batches []*batch, o Options) {
	var rest []*batch
	for _, b := range batches {
		if b.class.singly() {
			p.buySingly(b, o)
		} else {
			rest = append(rest, b)
		}
	}
	for _, b := range rest {
		p.onBought(b)
	}
	p.pack(rest, o)
}

func left(batches []*batch) int {
	n := 0
	for _, b := range batches {
		n += b.left()
	}
	return n
}

// scarce says whether something bounds what can be bought.
func (p *planning) scarce(o Options) bool {
	return o.MaxNodes > 0 || slices.ContainsFunc(p.s.varieties, func(v *variety) bool { return v.bounded })
}

// abandon forgets what was bought since the log had this length.
func (p *planning) abandon(mark int) {
	p.rewind(mark)
	p.bought = nil
	clear(p.spent)
	clear(p.sold)
	p.charges++
	p.release(nil)
}

// onBought puts pods on nodes that the plan buys anyway.
func (p *planning) onBought(b *batch) {
	for _, t := range p.bought {
		if b.left() == 0 {
			return
		}
		if b.class.filter.on(t.shape, t.node) != passes {
			continue
		}
		if b.class.singly() {
			p.putSingly(t, b, b.left())
			continue
		}
		n := min(b.left(), p.room(t, b.class))
		if b.class.constrained() == 0 && n > 0 {
			p.put(t, b, n)
			continue
		}
		for ; n > 0 && p.allows(t, b.class); n-- {
			p.put(t, b, 1)
		}
	}
}

// pack buys for the batches, by falling weight of policies.
func (p *planning) pack(batches []*batch, o Options) {
	var filters []*filter
	seen := map[*filter]bool{}
	for _, b := range batches {
		if !seen[b.class.filter] {
			seen[b.class.filter] = true
			filters = append(filters, b.class.filter)
		}
	}
	p.cells = newCells(batches, len(p.s.varieties))
	all := p.lots(filters)
	slices.SortStableFunc(all, func(a, b *lot) int { return cmp.Compare(b.weight, a.weight) })
	assigned := p.assign(batches, all, filters)
	for len(all) > 0 && left(batches) > 0 {
		n := 1
		for n < len(all) && all[n].weight == all[0].weight {
			n++
		}
		k := &packer{p: p, lots: slices.Clone(all[:n])}
		k.survey()
		k.collect(assigned, filters)
		k.appraise()
		k.findSeeds()
		k.run(o)
		assigned = k.rest()
		all = all[n:]
	}
	p.release(assigned)
	p.oneByOne(batches, o)
}

// release uncounts pods that were to be bought for in a cell and were not.
func (p *planning) release(rest []assignment) {
	for _, a := range rest {
		if a.cell >= 0 {
			p.reserve(a.batch, a.cell, -a.n)
		}
	}
	for _, y := range p.live {
		y.open, y.extra = false, nil
		if y.scope == nil {
			continue
		}
		for _, t := range p.bought {
			if y.scope.includes(t) {
				y.expect(p.s.domain(t, y))
			}
		}
	}
}

// collect sorts the pods into buckets.
func (k *packer) collect(assigned []assignment, filters []*filter) {
	sets := map[*filter]*eligibility{}
	for i, f := range filters {
		set := &eligibility{lots: make([]bool, k.span())}
		for _, l := range k.lots {
			set.lots[l.index] = l.signature[i] == 'y'
		}
		sets[f] = set
	}
	byKey, bySize := map[string]*bucket{}, map[string]*size{}
	var key []byte
	for _, a := range assigned {
		c := a.batch.class
		key = key[:0]
		for _, n := range c.request {
			key = strconv.AppendInt(append(key, ','), n, 36)
		}
		key = strconv.AppendInt(append(key, '/'), int64(c.filter.id), 10)
		key = strconv.AppendInt(append(key, '@'), int64(a.cell), 10)
		sz := bySize[string(key)]
		if sz == nil {
			sz = &size{request: c.request, takes: sets[c.filter], cell: a.cell}
			bySize[string(key)] = sz
			k.sizes = append(k.sizes, sz)
		}
		for _, q := range c.ports {
			key = append(strconv.AppendInt(append(key, ':'), int64(q.port), 10), q.protocol...)
			key = append(key, q.ip...)
		}
		co, word := k.companyOf(c)
		key = append(key, word...)
		bu := byKey[string(key)]
		if bu == nil {
			bu = &bucket{size: sz, ports: c.ports, company: co}
			byKey[string(key)] = bu
			sz.buckets = append(sz.buckets, bu)
			k.buckets = append(k.buckets, bu)
		}
		bu.parts = append(bu.parts, &part{a.batch, a.n})
		bu.count += a.n
		sz.count += a.n
		k.left += a.n
	}
}

// rest is what got no place.
func (k *packer) rest() []assignment {
	var out []assignment
	for _, b := range k.buckets {
		for _, part := range b.parts {
			out = append(out, assignment{part.batch, b.cell, part.n})
		}
	}
	return out
}

// span is one more than the largest index of a lot.
func (k *packer) span() int {
	n := 0
	for _, l := range k.lots {
		n = max(n, l.index+1)
	}
	return n
}
