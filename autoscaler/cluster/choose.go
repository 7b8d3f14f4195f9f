package cluster

import (
	"cmp"
	"math"
	"slices"
)

// The expanders, as a Policy names them.
const (
	leastCost  = "LeastCost"
	leastWaste = "LeastWaste"
	byPriority = "Priority"
	balanced   = "Balanced"
)

// goodEnough is how far above the best thinkable price a filling may be for the search to stop.
const goodEnough = 1.002

// choose picks the lot and the filling that cost least for what they hold, valued at the dual prices: what the pods would cost
// when every node were full.
func (k *packer) choose() (filling, bool) {
	if forced := k.seedsLeft(); forced > 0 {
		// Nodes must not be so large that seeds are left over when everything else has a place.
		share := 1.5 * max(k.value/float64(forced), k.seeds[0].value)
		if f, ok := k.chooseBelow(share); ok {
			return f, true
		}
	}
	return k.chooseBelow(math.Inf(1))
}

// chooseBelow chooses among lots that are worth no more than this.
func (k *packer) chooseBelow(most float64) (filling, bool) {
	var best filling
	bestScore := score{math.MaxInt, math.MaxInt, math.Inf(1)}
	for _, l := range k.order() {
		if l.worth > most {
			continue
		}
		v := l.varieties[0] // order has left out the lots without
		floor := k.floor(l, v)
		if bestScore.less(floor) {
			if k.plain {
				break // lots come by their floors
			}
			continue
		}
		if k.balanced && bestScore.near(floor) {
			continue
		}
		for _, even := range []bool{false, true} {
			f := k.fill(l, even)
			if len(f.items) == 0 {
				break
			}
			if sc := k.score(&f, v); sc.less(bestScore) {
				best, bestScore = f, sc
				best.free, best.items = f.free.clone(), slices.Clone(f.items)
			}
			if !bestScore.near(floor) {
				continue
			}
			if !k.balanced { // with it, lots in other zones come later and may be before this one
				return best, true
			}
			break
		}
	}
	return best, len(best.items) > 0
}

// score orders fillings: by the policy's rank, then by the zone's nodes, then by cost or waste.
type score struct {
	first, second int
	cost          float64
}

func (a score) less(b score) bool {
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second), cmp.Compare(a.cost, b.cost)) < 0
}

// near says whether the score is about as good as a lot's can be.
func (a score) near(floor score) bool {
	return a.first == floor.first && a.second == floor.second && a.cost <= floor.cost*goodEnough
}

// floor is the best score that the lot can have.
func (k *packer) floor(l *lot, v *variety) score {
	sc := score{cost: l.efficiency}
	switch v.policy.Expander {
	case byPriority:
		sc.first = l.rank
	case balanced:
		sc.second = k.p.inZone(v)
	case leastWaste:
		sc.cost = 0
	}
	return sc
}

func (k *packer) score(f *filling, v *variety) score {
	sc := k.floor(f.lot, v)
	if v.policy.Expander == leastWaste {
		sc.cost = waste(f.free, v)
		return sc
	}
	sc.cost = price(v) / max(f.value, 1e-300)
	return sc
}

// rate scores a new node of the variety for n pods that are placed one by one.
func (p *planning) rate(v *variety, n int, request vector) score {
	sc := score{cost: price(v) / float64(n)}
	switch v.policy.Expander {
	case byPriority:
		sc.first = v.offer.Rank
	case balanced:
		sc.second = p.inZone(v)
	case leastWaste:
		sc.cost = waste(v.free.clone().take(request, n), v)
	}
	return sc
}

// waste is the share of a node of the variety that stays free, the mean of cores and memory.
func waste(free vector, v *variety) float64 {
	return (share(free, v.capacity, dimCPU) + share(free, v.capacity, dimMemory)) / 2
}

// price is what the offer costs; what is free of charge still counts a little, so that fewer nodes are better than more.
func price(v *variety) float64 { return max(v.offer.PricePerHour, 1e-9) }

// order is the lots that may be bought, those that are worth most for their price first and the large before the small.
func (k *packer) order() []*lot {
	if k.bounded {
		k.lots = slices.DeleteFunc(k.lots, func(l *lot) bool { return k.p.next(l) == nil })
	}
	return k.lots
}

// survey finds out what makes choosing quicker.
func (k *packer) survey() {
	k.plain = true
	for _, l := range k.lots {
		k.bounded = k.bounded || slices.ContainsFunc(l.varieties, func(v *variety) bool { return v.bounded })
		for _, v := range l.varieties {
			switch v.policy.Expander {
			case "", leastCost:
			case balanced:
				k.plain, k.balanced = false, true
			default:
				k.plain = false
			}
		}
	}
}

// sortLots values the lots.
func (k *packer) sortLots() {
	for _, l := range k.lots {
		l.worth = l.free.dot(l.prices)
		l.efficiency = max(l.price, 1e-9) / max(l.worth, 1e-300)
		// Rounded, or noise would put the small before the large.
		l.grade = math.Round(math.Log(l.efficiency) * 1e6)
	}
	slices.SortFunc(k.lots, func(a, b *lot) int {
		switch {
		case a.rank != b.rank:
			return cmp.Compare(a.rank, b.rank)
		case a.grade != b.grade:
			return cmp.Compare(a.grade, b.grade)
		case a.worth != b.worth:
			return cmp.Compare(b.worth, a.worth)
		}
		return cmp.Compare(a.index, b.index)
	})
}
