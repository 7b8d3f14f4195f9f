package cluster

import "slices"

// planning is one plan in the making: pods are put on sites and taken off again, and in the end the state is as it was.
type planning struct {
	s *State
	// log is what was done, in order.
	log []step
	// bought are the sites that the plan adds.
	bought []*site
	// serial numbers them; those that were dropped leave gaps.
	serial int32
	spent  map[*Policy]*spending
	// charges counts changes of what is spent and sold; onSale is what could be bought when there was one fewer than marketAt.
	charges, marketAt int
	onSale            []*variety
	// sold counts what was bought of bounded varieties.
	sold map[*variety]int
	// holds are what pods take besides room, nil before any does.
	holds *sessions
	// expendable are the nodes with pods that give way to any other, nil before they are asked for.
	expendable []*site
	// left are the gangs that the plan leaves out, with the reason.
	left map[gangID]string
	// live are the tallies that the open batches ask for.
	live  []*tally
	cells *cells
	// sentences are what reasons say, by their parts.
	sentences map[[3]string]string
	purposes  map[purpose]string
	// unlimited is true while it is found out what would be bought without limits, trying while nothing counts but whether all get a
	// place, allOrNone when that is so of the whole plan.
	unlimited, trying, allOrNone bool
	// greedy buys within limits without asking first for how many pods they suffice, within is true once that was asked.
	greedy, within bool
	// recounted is true once the tallies count pods where they are, whatever the log says of how they were counted.
	recounted bool
}

// step puts n pods of a batch on a site; a negative n takes bound ones off.
type step struct {
	site  *site
	class *class
	batch *batch
	// cell without a site is a reservation: pods are counted in the cell's domains before it is known on which node they will be.
	// With a site it says that they were.
	cell *cell
	n    int
	// hold is what the pod takes besides room, nil for nothing.
	hold *hold
	// preempts is true where the scheduler evicts others for it.
	preempts bool
}

func (p *planning) put(t *site, b *batch, n int) { p.putReserved(t, b, n, nil) }

// putReserved puts pods on a site that were counted in the cell already.
func (p *planning) putReserved(t *site, b *batch, n int, cl *cell) {
	st := step{site: t, class: b.class, batch: b, cell: cl, n: n}
	t.occupy(b.class, n)
	p.relate(st, n)
	b.placed += n
	p.log = append(p.log, st)
}

// rewind takes back what was done since the log had this length.
func (p *planning) rewind(to int) {
	for i := len(p.log) - 1; i >= to; i-- {
		st := p.log[i]
		if st.site == nil {
			p.count(st.class, st.cell, -st.n)
			continue
		}
		if st.hold != nil {
			p.give(st.site, st.hold)
		}
		st.site.occupy(st.class, -st.n)
		p.relate(st, -st.n)
		if st.batch != nil {
			st.batch.placed -= st.n
		}
	}
	p.log = p.log[:to]
}

// relate keeps the counts of pods by topology domain.
func (p *planning) relate(st step, n int) {
	if st.cell == nil {
		st.site.tell(p.s, st.class, n)
		return
	}
	for _, list := range [2][]*tally{st.class.relation.adds, st.class.relation.carries} {
		for _, y := range list {
			if y.keyID == hostnameKey && y.holds(p.s) {
				y.add(p.s, st.site, n)
			}
		}
	}
}

// watch makes the counts ready that decide where the batches may go.
func (p *planning) watch(batches []*batch) {
	for _, b := range batches {
		b.class.relation.asks(func(y *tally) {
			if y.live != p {
				y.live = p
				y.ready(p.s)
				p.live = append(p.live, y)
			}
		})
	}
}

// end leaves the state as it was before the plan.
func (p *planning) end() {
	p.rewind(0)
	if p.recounted {
		for _, y := range p.s.topology.tallies {
			y.epoch = 0 // what was counted in advance was not taken back as such
		}
	}
	for _, y := range p.live {
		y.live, y.extra, y.offered, y.open = nil, nil, nil, false
	}
}

// onNodes puts as many pods of the batch as there is room for on nodes that are there or expected.
func (p *planning) onNodes(b *batch) {
	c := b.class
	if _, held := p.held(b); held {
		return
	}
	if c.constrained() > 0 {
		p.onNodesRelated(b)
		return
	}
	for _, t := range p.s.sites() {
		if b.left() == 0 {
			return
		}
		if t.closed || !c.singly() && !t.free.fits(c.request) || c.filter.on(t.shape, t.node) != passes {
			continue
		}
		if c.singly() {
			p.putSingly(t, b, b.left())
			continue
		}
		if n := min(b.left(), p.room(t, c)); n > 0 {
			p.put(t, b, n)
		}
	}
}

// onNodesRelated does it for pods to which it matters where others are: each goes where the fewest are that it should be away from.
func (p *planning) onNodesRelated(b *batch) {
	c := b.class
	open := p.s.sites()
	compact := false // the list is the state's until it has become shorter
	for b.left() > 0 {
		var best *site
		bestCount, floor := int32(0), int32(0)
		for j := range c.relation.spread {
			floor += c.relation.spread[j].tally.least(0)
		}
		var kept []*site
		if compact {
			kept = open[:0]
		} else if b.left() > 1 {
			kept, compact = make([]*site, 0, 64), true
		}
		for i, t := range open {
			if t.closed || !c.singly() && !t.free.fits(c.request) || c.filter.on(t.shape, t.node) != passes || p.room(t, c) == 0 {
				continue
			}
			if compact {
				kept = append(kept, t)
			}
			if !p.allows(t, c) {
				continue
			}
			count := int32(0)
			for j := range c.relation.spread {
				y := c.relation.spread[j].tally
				count += y.counts[p.s.domain(t, y)]
			}
			if best == nil || count < bestCount {
				best, bestCount = t, count
			}
			if bestCount <= floor {
				if compact {
					kept = append(kept, open[i+1:]...)
				}
				break
			}
		}
		open = kept
		switch {
		case best == nil:
			return
		case !c.singly():
			p.put(best, b, 1)
		case !p.putOne(best, b):
			open = slices.DeleteFunc(open, func(t *site) bool { return t == best })
		}
	}
}

// room is how many more pods of the class the site takes.
func (p *planning) room(t *site, c *class) int {
	var n int
	if c.singly() {
		n = p.roomSingly(t, c)
	} else {
		n = t.free.times(c.request)
	}
	if n > 0 && len(c.ports) > 0 {
		if t.portsClash(c.ports) {
			return 0
		}
		if exclusive(c.ports) {
			n = 1
		}
	}
	if n > 0 && c.claims != nil && !p.driversOn(t, c) {
		return 0
	}
	return n
}

// sites are the nodes in the order of their names.
func (s *State) sites() []*site {
	if s.names == nil || s.ordered == nil {
		s.Nodes()
		s.ordered = make([]*site, len(s.names))
		for i, name := range s.names {
			s.ordered[i] = s.nodes[name]
		}
	}
	return s.ordered
}

// nominate keeps the room that the scheduler is making for pods by evicting others.
func (p *planning) nominate(batches []*batch) {
	for _, b := range batches {
		name := b.class.sample.Status.NominatedNodeName
		t := p.s.nodes[name]
		if b.demand != nil || t == nil || t.closed || b.class.filter.on(t.shape, t.node) != passes {
			continue
		}
		if _, held := p.held(b); held {
			continue
		}
		p.put(t, b, b.left())
		p.log[len(p.log)-1].preempts = true
	}
}

// Plan implements Planner.
func (s *State) Plan(o Options) Plan {
	var left map[gangID]string
	for {
		plan, short, batches := s.plan(o, left)
		if len(short) == 0 {
			return plan
		}
		// Without one gang there may be room for the others, and so they are left out one by one.
		id := giveUp(short, batches)
		if left == nil {
			left = map[gangID]string{}
		}
		left[id] = short[id]
	}
}

// plan answers without the gangs left out, or says which gangs it could not complete. Where a limit binds on pods that zones matter to,
// balancing them may leave room unused that other pods would have taken; then it is worth to plan without.
func (s *State) plan(o Options, left map[gangID]string) (Plan, map[gangID]string, []*batch) {
	balanced := s.attempt(o, left, false)
	if len(balanced.short) == 0 && balanced.within {
		if greedy := s.attempt(o, left, true); len(greedy.short) == 0 && greedy.outdoes(&balanced) {
			return greedy.plan, nil, nil
		}
	}
	return balanced.plan, balanced.short, balanced.batches
}

// attempt is one way to plan.
type attempt struct {
	plan    Plan
	short   map[gangID]string
	batches []*batch
	// within is true if the pods were chosen by what limits suffice for.
	within bool
	places []tier
}

func (s *State) attempt(o Options, left map[gangID]string, greedy bool) attempt {
	p, batches := s.begin()
	p.left, p.greedy = left, greedy
	defer p.end()
	p.nominate(batches)
	for _, b := range batches {
		if b.left() > 0 {
			p.onNodes(b)
		}
		if b.left() > 0 {
			p.overExpendable(b)
		}
	}
	p.buy(batches, o)
	p.settleOn(batches, o)
	for range fillRounds {
		if !p.scarce(o) || !p.fill(batches) {
			break
		}
		p.settleOn(batches, o)
	}
	a := attempt{batches: batches, within: p.within}
	if a.short = p.incomplete(batches); len(a.short) > 0 {
		return a
	}
	a.plan = p.resultOf(batches, p.log)
	a.plan.Cost = p.cost(batches, o)
	a.places = placesOf(batches)
	return a
}

func (s *State) begin() (*planning, []*batch) {
	s.classifyDemand()
	s.readClaims()
	s.refreshOffers()
	s.countAttached()
	s.resolve()
	batches := s.batches()
	p := &planning{s: s, spent: map[*Policy]*spending{}, sold: map[*variety]int{}}
	p.watch(batches)
	return p, batches
}

// resultOf names the pods of steps, and those without a place.
func (p *planning) resultOf(batches []*batch, steps []step) Plan {
	plan := Plan{}
	next := make(map[*batch]int, len(batches))
	refs := func(b *batch, n int, to []PodRef) []PodRef {
		i := next[b]
		next[b] += n
		for ; n > 0; n-- {
			to = append(to, b.ref(i))
			i++
		}
		return to
	}
	p.plannedOn(steps)
	var pods []PodRef
	for i := range steps {
		st := &steps[i]
		if !st.counts() || st.site.variety != nil {
			continue
		}
		pods = refs(st.batch, st.n, pods[:0])
		for _, ref := range pods {
			if st.preempts {
				plan.Preempting = append(plan.Preempting, Placement{Pod: ref, Node: st.site.name})
			} else {
				plan.Placed = append(plan.Placed, Placement{Pod: ref, Node: st.site.name})
			}
		}
	}
	total := 0
	for _, t := range p.bought {
		for _, pl := range t.planned {
			total += pl.n
		}
	}
	all := make([]PodRef, 0, total)
	if len(p.bought) > 0 {
		plan.Create = make([]NewNode, 0, len(p.bought))
	}
	for _, t := range p.bought {
		from := len(all)
		for _, pl := range t.planned {
			all = refs(pl.batch, pl.n, all)
		}
		n := len(all) - from
		node := NewNode{Offer: *t.variety.offer, Pods: all[from:len(all):len(all)]}
		node.Requests = p.s.dims.list(t.variety.capacity.clone().take(t.free, 1))
		node.Alternatives = p.alternatives(t)
		node.Reason = p.reason(t, n, len(node.Alternatives))
		plan.Create = append(plan.Create, node)
	}
	for _, b := range batches {
		if b.left() == 0 {
			continue
		}
		reasons := p.reasons(b)
		for _, ref := range refs(b, b.left(), nil) {
			plan.Unschedulable = append(plan.Unschedulable, Unschedulable{Pod: ref, Reasons: reasons})
		}
	}
	return plan
}

// counts is false for a reservation, an expendable pod that gives way, and what was taken off again.
func (st *step) counts() bool { return st.site != nil && st.batch != nil && st.n > 0 }

// plannedOn lists on the nodes to buy what the steps put there.
func (p *planning) plannedOn(steps []step) {
	n := 0
	for i := range steps {
		if st := &steps[i]; st.counts() && st.site.variety != nil {
			st.site.parts++
			n++
		}
	}
	all := make([]placed, n)
	for _, t := range p.bought {
		t.planned, all = all[:0:t.parts], all[t.parts:]
	}
	for i := range steps {
		if st := &steps[i]; st.counts() && st.site.variety != nil {
			st.site.planned = append(st.site.planned, placed{st.batch, st.n})
		}
	}
}

// alternativesMax bounds NewNode.Alternatives.
const alternativesMax = 20

// alternatives are other offers that take the same pods in the same place.
func (p *planning) alternatives(t *site) []Offer {
	used := t.variety.free.clone().take(t.free, 1)
	var out []Offer
	for _, v := range p.s.varieties {
		if len(out) == alternativesMax {
			break
		}
		if v != t.variety && v.offer.Available && p.takes(v, t, used) {
			if out == nil {
				out = make([]Offer, 0, alternativesMax)
			}
			out = append(out, *v.offer)
		}
	}
	return out
}

// takes says whether a node of the variety could take what is planned for the site instead.
func (p *planning) takes(v *variety, t *site, used vector) bool {
	if !v.free.fits(used) || !p.sameDomains(v, t) || !p.sameHolds(v, t) {
		return false
	}
	return !slices.ContainsFunc(t.planned, func(pl placed) bool { return pl.batch.class.filter.on(v.shape, v.node) != passes })
}
