package cluster

// Pods that must be near others can hold each other up: A is where it is because B is there, and B because of A, and so the scheduler
// would bind neither. The plan is therefore gone through once more: those pods are taken off and put back one after another where
// what they have to be near is there by then.

// settleOn confirms the plan and gathers it in turn until neither changes what the other has looked at.
func (p *planning) settleOn(batches []*batch, o Options) {
	for range settleRounds {
		p.confirm(batches, o)
		if !p.regather(batches, o) {
			return
		}
	}
}

// settleRounds bounds settleOn. What still changes then is pods that chase each other; the scheduler has the last word on them.
const settleRounds = 8

// regather puts pods with required affinity back in an order in which the scheduler can bind them. Those for which there is none are
// given another place, or none. It says whether there were any.
func (p *planning) regather(batches []*batch, o Options) bool {
	var near []*batch
	for _, b := range batches {
		if len(b.class.relation.affinity) > 0 && b.placed > 0 {
			near = append(near, b)
		}
	}
	if len(near) == 0 {
		return false
	}
	gathering := map[*batch]bool{}
	for _, b := range near {
		gathering[b] = true
	}
	type place struct {
		site     *site
		n        int
		preempts bool
	}
	places := map[*batch][]place{}
	for i := range p.log {
		st := p.log[i]
		if st.site == nil || st.batch == nil || st.n <= 0 || !gathering[st.batch] {
			continue
		}
		places[st.batch] = append(places[st.batch], place{st.site, st.n, st.preempts})
		for range st.n {
			p.takeOff(i)
		}
	}
	for progress := true; progress; {
		progress = false
		for _, b := range near {
			for i := range places[b] {
				for pl := &places[b][i]; pl.n > 0 && p.putBack(pl.site, b, pl.preempts); pl.n-- {
					progress = true
				}
			}
		}
	}
	var lost []*batch
	for _, b := range near {
		for _, pl := range places[b] {
			if pl.n > 0 {
				lost = append(lost, b)
				break
			}
		}
	}
	if len(lost) > 0 {
		p.oneByOne(lost, o)
	}
	p.dropUnused()
	return len(lost) > 0
}

func (p *planning) putBack(t *site, b *batch, preempts bool) bool {
	switch {
	case b.class.singly():
		if !p.putOne(t, b) {
			return false
		}
	case !p.allows(t, b.class):
		return false
	default:
		p.put(t, b, 1)
	}
	p.log[len(p.log)-1].preempts = preempts
	return true
}
