package cluster

import "slices"

// confirm holds every pod of the batches against the plan as a whole: what was right when a pod got its place may be wrong beside what
// came later, and nobody knows in which order the scheduler will look at them. A pod that the scheduler would refuse where it is if
// it came last is given another place, and when that does not hold either, none.
func (p *planning) confirm(batches []*batch, o Options) {
	watched, any := map[*batch]bool{}, false
	for _, b := range batches {
		watched[b] = b.class.constrained() > 0
		any = any || watched[b]
	}
	if !any {
		return
	}
	p.recount()
	p.retry(batches, o)
	for again := true; ; {
		taken := p.refused(watched)
		switch {
		case len(taken) > 0 && again:
			again = false
			p.oneByOne(taken, o)
		case len(taken) == 0 && !p.dropUnused():
			return
		}
	}
}

// retry looks again at pods to which it matters where others are: those that found no place may have one now that others have theirs.
func (p *planning) retry(batches []*batch, o Options) {
	for progress := true; progress; {
		progress = false
		for _, b := range batches {
			before := b.left()
			if _, held := p.held(b); before == 0 || held || b.class.constrained() == 0 || expendable(b) {
				continue
			}
			p.onNodes(b)
			p.onBought(b)
			if b.class.singly() {
				p.buySingly(b, o)
			} else {
				p.oneByOne([]*batch{b}, o)
			}
			progress = progress || b.left() < before
		}
	}
}

// recount counts pods where they are: while nodes are bought for them, pods are counted in advance, and in those domains only that pods
// without a place ask about.
func (p *planning) recount() {
	if !slices.ContainsFunc(p.log, func(st step) bool { return st.cell != nil }) {
		p.release(nil)
		return
	}
	p.recounted = true
	for _, y := range p.live {
		y.epoch = 0
		y.ready(p.s)
		for _, t := range p.s.sites() {
			if t.absent {
				y.enter(p.s, t, -1)
			}
		}
	}
	for _, st := range p.log {
		if st.site == nil {
			continue
		}
		for _, list := range [2][]*tally{st.class.relation.adds, st.class.relation.carries} {
			for _, y := range list {
				if y.live == p {
					y.add(p.s, st.site, st.n)
				}
			}
		}
	}
	p.release(nil)
}

// refused takes the pods off that would not be allowed where they are if they came last, the latest first.
func (p *planning) refused(watched map[*batch]bool) []*batch {
	var taken []*batch
	for i := len(p.log) - 1; i >= 0; i-- {
		for p.log[i].site != nil && p.log[i].n > 0 && watched[p.log[i].batch] && !p.stands(&p.log[i]) {
			b := p.log[i].batch
			p.takeOff(p.lastOf(b, i))
			if !slices.Contains(taken, b) {
				taken = append(taken, b)
			}
		}
	}
	return taken
}

// lastOf is the step to take a pod off: for pods that hold things of their own it is the batch's last one, so that the others keep
// what they hold.
func (p *planning) lastOf(b *batch, i int) int {
	if p.log[i].hold == nil {
		return i
	}
	for j := len(p.log) - 1; j > i; j-- {
		if p.log[j].batch == b && p.log[j].site != nil && p.log[j].n > 0 {
			return j
		}
	}
	return i
}

// stands says whether one of the step's pods would be allowed where it is, beside all others.
func (p *planning) stands(st *step) bool {
	one := step{site: st.site, class: st.class}
	p.relate(one, -1)
	ok := p.allows(st.site, st.class)
	p.relate(one, 1)
	return ok
}

func (p *planning) takeOff(i int) {
	st := p.log[i]
	if st.hold != nil {
		p.give(st.site, st.hold)
		p.log[i].hold = nil
	}
	st.site.occupy(st.class, -1)
	p.relate(step{site: st.site, class: st.class}, -1)
	st.batch.placed--
	p.log[i].n--
}

// dropUnused leaves nodes out that the plan buys for nobody any more, and says whether there were any.
func (p *planning) dropUnused() bool {
	used := map[*site]bool{}
	for _, st := range p.log {
		if st.site != nil && st.n > 0 {
			used[st.site] = true
		}
	}
	n := len(p.bought)
	p.bought = slices.DeleteFunc(p.bought, func(t *site) bool {
		if !used[t] {
			p.charge(t.variety, -1)
		}
		return !used[t]
	})
	if len(p.bought) == n {
		return false
	}
	p.release(nil)
	return true
}
