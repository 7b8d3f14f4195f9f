package cluster

import (
	"cmp"
	"slices"
)

// alone says that pods of the class are placed one by one: what they demand of one node cannot be counted.
func (c *class) alone() bool {
	for _, y := range c.relation.affinity {
		if y.keyID == hostnameKey {
			return true
		}
	}
	return false
}

// oneByOne finds places for pods for which filling nodes found none, or that must be looked at one by one: on nodes that the plan
// buys anyway, on a larger node in the place of one of those, or on a further one.
func (p *planning) oneByOne(batches []*batch, o Options) {
	for progress := true; progress; {
		progress = false
		for _, b := range batches {
			for b.left() > 0 && p.placeOne(b, o) {
				progress = true
			}
			if b.left() > 0 && p.trying {
				return
			}
		}
	}
}

func (p *planning) placeOne(b *batch, o Options) bool {
	c := b.class
	for _, t := range p.bought {
		if c.filter.on(t.shape, t.node) == passes && p.room(t, c) > 0 && p.allows(t, c) {
			if !c.singly() {
				p.put(t, b, 1)
				return true
			}
			if p.putOne(t, b) {
				return true
			}
		}
	}
	if c.singly() {
		return false // it was tried on all that is offered
	}
	if v := p.newFor(b); v != nil && !(o.MaxNodes > 0 && len(p.bought) >= o.MaxNodes) {
		p.put(p.purchase(v), b, 1)
		return true
	}
	return p.growFor(b)
}

// newFor is the offer to buy for a pod of the batch: of those that take most of its company, the one that the expander prefers.
func (p *planning) newFor(b *batch) *variety {
	c := b.class
	want := 1
	if c.alone() && c.relation.itself {
		want = b.left() // they all go to one node
	}
	var best *variety
	var bestTimes int
	var bestScore score
	for _, v := range p.market() {
		if c.filter.on(v.shape, v.node) != passes {
			continue
		}
		n := min(want, v.free.times(c.request))
		if n == 0 || best != nil && cmp.Or(cmp.Compare(v.offer.Weight, best.offer.Weight), cmp.Compare(n, bestTimes)) < 0 {
			continue
		}
		sc := p.rate(v, n, c.request)
		if best != nil && v.offer.Weight == best.offer.Weight && n == bestTimes && !sc.less(bestScore) {
			continue
		}
		if p.allowsNew(v, c) {
			best, bestTimes, bestScore = v, n, sc
		}
	}
	return best
}

// allowsNew says whether topology allows the class on a node of the variety that is bought now.
func (p *planning) allowsNew(v *variety, c *class) bool {
	t := v.site()
	t.index = p.s.nextSite + p.serial
	entered := make([]*tally, 0, len(c.relation.spread))
	for i := range c.relation.spread {
		y := c.relation.spread[i].tally
		if d := p.s.domain(t, y); y.scope.includes(t) && d != nowhere && y.domains[d] == 0 && !y.extra[d] {
			y.expect(d)
			entered = append(entered, y)
		}
	}
	ok := p.allows(t, c)
	for _, y := range entered {
		delete(y.extra, p.s.domain(t, y))
	}
	return ok
}

// growFor exchanges a node of the plan for a larger one that also takes a pod of the batch.
func (p *planning) growFor(b *batch) bool {
	c := b.class
	var bestSite *site
	var best *variety
	extra := 0.0
	for _, t := range p.bought {
		if !p.spare(t).fits(c.request) || !p.allows(t, c) || len(c.ports) > 0 && t.portsClash(c.ports) {
			continue
		}
		used := t.variety.free.clone().take(t.free, 1).take(c.request, -1)
		p.instead(t, func(v *variety) bool {
			more := v.offer.PricePerHour - t.variety.offer.PricePerHour
			if best != nil && more >= extra {
				return false // varieties come by rising price
			}
			if !v.free.fits(used) || !p.purchasable(v) || !p.sameDomains(v, t) || c.filter.on(v.shape, v.node) != passes || !p.suitsAll(v, t) {
				return true
			}
			bestSite, best, extra = t, v, more
			return false
		})
	}
	if best == nil {
		return false
	}
	p.exchange(bestSite, best)
	p.put(bestSite, b, 1)
	return true
}

// instead goes through the varieties, by rising price, as if the site had not been bought.
func (p *planning) instead(t *site, visit func(*variety) bool) {
	spent := p.spent[t.variety.policy]
	price := spent.price
	p.charge(t.variety, -1)
	for _, v := range p.s.varieties {
		if !visit(v) {
			break
		}
	}
	p.charge(t.variety, 1)
	p.charges -= 2
	spent.price = price // to the last bit
}

// spare is what the site would have free at the most if it were exchanged. It is kept until something is bought or the site changes.
func (p *planning) spare(t *site) vector {
	if t.spareAt == p.charges+1 {
		return t.spare
	}
	t.spare, t.spareAt = t.free.clone(), p.charges+1
	used := t.variety.free.clone().take(t.free, 1)
	p.instead(t, func(v *variety) bool {
		if v.free.fits(used) && p.purchasable(v) && p.sameDomains(v, t) {
			for len(t.spare) < len(v.free) {
				t.spare = append(t.spare, 0)
			}
			for d, n := range v.free {
				t.spare[d] = max(t.spare[d], n-used.at(d))
			}
		}
		return true
	})
	return t.spare
}

// exchange makes a node that the plan buys one of another variety.
func (p *planning) exchange(t *site, v *variety) {
	p.recounted = true // a spread constraint may count one and not the other
	p.charge(t.variety, -1)
	p.charge(v, 1)
	used := t.variety.free.clone().take(t.free, 1)
	t.free = v.free.clone().take(used, 1)
	t.spareAt = 0
	t.variety, t.node, t.shape, t.domains = v, v.node, v.shape, nil
}

// suitsAll says whether a node of the variety takes all classes that are on the site. What pods hold there besides room they would not
// find again.
func (p *planning) suitsAll(v *variety, t *site) bool {
	return !slices.ContainsFunc(p.log, func(st step) bool {
		return st.site == t && (st.hold != nil || st.class.filter.on(v.shape, v.node) != passes)
	})
}

// sameDomains says whether a node of the variety would be in the same domains as the site.
func (p *planning) sameDomains(v *variety, t *site) bool {
	if p.cells == nil {
		return true
	}
	return p.cellOf(v) == p.cellOf(t.variety)
}
