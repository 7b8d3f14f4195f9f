package cluster

// Nodes are bought one after another, each for the pods that make the most of it, and so those of one zone tend to come before those of
// the next. Where a limit ends that early, pods that are to be spread over zones would all be in the first, and the scheduler would
// bind few of them. For such pods it is therefore found out first for how many a limit suffices as a whole.

// limitRounds bounds how often buyWithin goes on behind a batch that it could not go on with, limitGrain how near it comes: the search
// ends when it is off by no more than one in so many.
const (
	limitRounds = 3
	limitGrain  = 32
)

// buyWithin buys for as many pods of the batches, in their order, as what may be bought suffices for, and counts on none of the others.
// The first guess of how many that are is given. It says whether there were any.
func (p *planning) buyWithin(batches []*batch, guess int, o Options) bool {
	could := p.withoutLimits(batches)
	admitted := make([]int, len(batches))
	from, any := 0, false
	for range limitRounds {
		n := p.most(batches, admitted, could, from, guess, o)
		any = any || n > 0
		for from < len(batches) && n >= could[from] {
			admitted[from] = could[from]
			n -= could[from]
			from++
		}
		if from == len(batches) {
			break
		}
		admitted[from] = n
		from++ // no more of this one; those behind it may ask for less
		guess = 0
	}
	return any && p.packFirst(batches, admitted, o)
}

// withoutLimits is how many pods of each batch would get a place if there were no limits. Those are left out that no single node within
// the limits would take.
func (p *planning) withoutLimits(batches []*batch) []int {
	could := make([]int, len(batches))
	for i, b := range batches {
		for _, v := range p.s.varieties {
			if (b.class.singly() || v.free.fits(b.class.request)) && b.class.filter.on(v.shape, v.node) == passes && p.purchasable(v) {
				could[i] = b.left()
				break
			}
		}
	}
	mark, before := len(p.log), make([]int, len(batches))
	for i, b := range batches {
		before[i] = b.placed
	}
	p.unlimited = true
	p.charges++
	p.packFirst(batches, could, Options{})
	p.unlimited = false
	for i, b := range batches {
		could[i] = b.placed - before[i]
	}
	p.abandon(mark)
	return could
}

// most is for how many pods of the batches, from one on, what may be bought suffices, besides those that were admitted.
func (p *planning) most(batches []*batch, admitted, could []int, from, guess int, o Options) int {
	total := 0
	for _, n := range could[from:] {
		total += n
	}
	trial := make([]int, len(batches))
	suffices := func(n int) bool {
		copy(trial, admitted[:from])
		for i := from; i < len(batches); i++ {
			trial[i] = min(n, could[i])
			n -= trial[i]
		}
		mark := len(p.log)
		p.trying = true
		ok := p.packFirst(batches, trial, o)
		p.trying = false
		p.abandon(mark)
		return ok
	}
	enough, tooMany := 0, total+1
	for next := min(max(guess, 1), total); tooMany-enough > 1+enough/limitGrain; next = (enough + tooMany) / 2 {
		if suffices(next) {
			enough = next
		} else {
			tooMany = next
		}
	}
	return enough
}

// packFirst packs so many pods of each batch, and says whether all of them got a place.
func (p *planning) packFirst(batches []*batch, n []int, o Options) bool {
	var some []*batch
	counts := make([]int, len(batches))
	for i, b := range batches {
		if counts[i] = b.count; n[i] > 0 {
			b.count = b.placed + n[i]
			some = append(some, b)
		}
	}
	p.packAll(some, o)
	all := left(some) == 0
	for i, b := range batches {
		b.count = counts[i]
	}
	return all
}

// fillRounds bounds how often the plan is filled and settled in turn: to settle it may take a pod away and make room by that.
const fillRounds = 4

// fill puts pods to which it does not matter where others are on what is bought in any case, once it is settled what that is: the limit
// may have been reached before it was their turn. It says whether it has put any.
func (p *planning) fill(batches []*batch) bool {
	mark := len(p.log)
	for _, b := range batches {
		if _, held := p.held(b); b.left() > 0 && !held && !expendable(b) && b.class.constrained() == 0 {
			p.onBought(b)
		}
	}
	return len(p.log) > mark
}

// tier is how many pods of one standing have a place.
type tier struct {
	priority int32
	rank     int
	placed   int
}

// placesOf counts places by standing, in the order in which pods get them.
func placesOf(batches []*batch) []tier {
	var out []tier
	for _, b := range batches {
		if n := len(out); n == 0 || out[n-1].priority != b.priority || out[n-1].rank != b.rank {
			out = append(out, tier{priority: b.priority, rank: b.rank})
		}
		out[len(out)-1].placed += b.placed
	}
	return out
}

// worthImbalance is how many times as many pods have to get a place for a plan to be taken that is not balanced over zones: what is
// out of balance has no room to grow where spread is asked for.
const worthImbalance = 1.2

// outdoes reports whether far more pods get a place than by the balanced plan, and at no standing fewer at the cost of a lower one.
func (a *attempt) outdoes(balanced *attempt) bool {
	mine, its := 0, 0
	for i := range a.places {
		mine, its = mine+a.places[i].placed, its+balanced.places[i].placed
		if mine < its {
			return false
		}
	}
	return float64(mine) >= worthImbalance*float64(its)
}
