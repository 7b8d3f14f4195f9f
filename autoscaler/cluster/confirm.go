package cluster

import "slices"

// confirm holds every pod of the batches against the plan as a whole: what was right when a pod got its place may be wrong beside what
// came later, and nobody knows in which order the scheduler will look at them. A pod that the scheduler would refuse where it is if
// it came last is given another place, and when that does not hold either, none.
func (p *planning) confirm(batches []*batch, o Options) {
	watched := map[*batch]bool{}
	for _, b := range batches {
		watched[b] = b.class.constrained() > 0
	}
	p.release(nil)
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
	if st.cell != nil { // it was counted by a reservation, which will be taken back as a whole
		p.log = append(p.log, step{class: st.class, cell: st.cell, n: -1})
	}
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
