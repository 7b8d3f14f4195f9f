package cluster

import (
	"cmp"
	"slices"
)

// size is pods with one request that the same lots take.
type size struct {
	request vector
	// takes says which lots take the pods.
	takes *eligibility
	// cell confines the pods to lots of one cell; -1 is any.
	cell int
	// value is what the request is worth at the dual prices.
	value   float64
	buckets []*bucket
	count   int
}

// bucket is pods of one size that get on with others on one node in the same way: the same for filling nodes. It may mix classes.
type bucket struct {
	*size
	ports   []hostPort
	company *company
	parts   []*part
	count   int
}

// part is n pods of a batch in a bucket.
type part struct {
	batch *batch
	n     int
}

// eligibility is a set of lots, shared by many buckets.
type eligibility struct{ lots []bool }

// lot is offers that are the same for filling nodes: equal room, in one cell, taking the same pods. The one to buy comes first.
type lot struct {
	index     int
	varieties []*variety
	free      vector
	cell      int
	weight    int32
	price     float64
	rank      int
	groups    int
	// signature names the filters that pass.
	signature string
	// worth is the value of all its room at the dual prices, efficiency its price for that.
	worth      float64
	efficiency float64
	// grade is the efficiency as lots are ordered by it.
	grade  float64
	prices []float64
}

// filling is one way to fill a node.
type filling struct {
	lot   *lot
	items []fillItem
	value float64
	free  vector
}

type fillItem struct {
	bucket *bucket
	n      int
}

// lots groups what can be bought for the filters in use, the cheapest of each first.
func (p *planning) lots(filters []*filter) []*lot {
	type lotKey struct{ room, cell, signature int }
	signatures, names := map[string]int{}, []string(nil)
	stocked := p.s.stocked()
	byKey := make(map[lotKey]*lot, len(stocked))
	out := make([]*lot, 0, len(stocked))
	signature := make([]byte, len(filters))
	for _, g := range stocked {
		any := false
		v := g.varieties[0]
		for i, f := range filters {
			signature[i] = 'n'
			if f.on(v.shape, v.node) == passes {
				signature[i], any = 'y', true
			}
		}
		if !any {
			continue
		}
		id, ok := signatures[string(signature)]
		if !ok {
			id = len(names)
			names = append(names, string(signature))
			signatures[names[id]] = id
		}
		key := lotKey{g.room, p.cellOf(v), id}
		l := byKey[key]
		if l == nil {
			// The stock's list is shared until another stock's comes to it.
			l = &lot{free: v.free, cell: key.cell, weight: v.offer.Weight, rank: g.rank, signature: names[id], varieties: slices.Clip(g.varieties), groups: 1}
			byKey[key] = l
			out = append(out, l)
			continue
		}
		l.varieties = append(l.varieties, g.varieties...)
		l.groups++
	}
	kept := out[:0]
	for _, l := range out {
		if l.groups > 1 {
			slices.SortFunc(l.varieties, func(a, b *variety) int { return cmp.Compare(a.index, b.index) })
		}
		if p.next(l) != nil {
			l.index = len(kept)
			kept = append(kept, l)
		}
	}
	return kept
}

// next is the offer of the lot to buy now, nil when none is left.
func (p *planning) next(l *lot) *variety {
	for len(l.varieties) > 0 {
		if v := l.varieties[0]; p.purchasable(v) {
			l.price = v.offer.PricePerHour
			return v
		}
		l.varieties = l.varieties[1:]
	}
	return nil
}

// packer fills nodes with what is in the buckets.
type packer struct {
	p    *planning
	lots []*lot
	// sizes come by falling value.
	sizes   []*size
	buckets []*bucket
	left    int
	// value is what the pods that are left are worth.
	value float64
	// appraised is how many pods were left when they were valued last.
	appraised int

	// plain is true when all lots are chosen by their cost alone, balanced when some are by their zone's nodes, bounded when
	// something bounds how many there are of some.
	plain, balanced, bounded bool

	// peers are the lots that take the same pods, grouped as long as grouped lots are left.
	peers   []*peers
	grouped int
	// frontiers are the lots that are worth their price, by signature.
	frontiers map[string][][]float64

	// slots are the tallies that matter on one node, table their counts on the node that is being filled.
	slots   []*tally
	table   []nodeCount
	touched []int
	// seeds are pods that force nodes, perNode of them one each.
	seeds   []*bucket
	forced  int
	perNode int

	free   vector
	items  []fillItem
	byMain [2][]*size
}

// fill fills one node of the lot: a seed first, and then the most valuable pods that still fit or, evenly, those whose main
// resource is the one of which most is left.
func (k *packer) fill(l *lot, even bool) filling {
	f := filling{lot: l, free: append(k.free[:0], l.free...), items: k.items[:0]}
	k.clear()
	for _, b := range k.seeds {
		if k.add(&f, b, min(b.count, k.perNode)) > 0 {
			break
		}
	}
	if even {
		k.fillEvenly(&f)
	} else {
		for _, sz := range k.sizes {
			k.addSize(&f, sz, sz.count)
		}
	}
	k.free, k.items = f.free, f.items
	return f
}

// held is how many of the bucket are on the node.
func (f *filling) held(b *bucket) int {
	for i := range f.items {
		if f.items[i].bucket == b {
			return f.items[i].n
		}
	}
	return 0
}

// addSize puts up to n pods of a size on the node.
func (k *packer) addSize(f *filling, sz *size, n int) int {
	if sz.count == 0 || !k.suits(f.lot, sz) {
		return 0
	}
	n = min(n, f.free.times(sz.request))
	done := 0
	for _, b := range sz.buckets {
		if done >= n {
			break
		}
		if b.count > 0 {
			done += k.add(f, b, min(n-done, b.count-f.held(b)))
		}
	}
	return done
}

func (k *packer) fillEvenly(f *filling) {
	byMain := [2][]*size{k.byMain[0][:0], k.byMain[1][:0]}
	l := f.lot
	for _, sz := range k.sizes {
		if sz.count == 0 || !k.suits(l, sz) || !f.free.fits(sz.request) {
			continue
		}
		d := 0
		if float64(sz.request.at(dimMemory))*float64(l.free.at(dimCPU)) > float64(sz.request.at(dimCPU))*float64(l.free.at(dimMemory)) {
			d = 1
		}
		byMain[d] = append(byMain[d], sz)
	}
	k.byMain = byMain
	for len(byMain[0])+len(byMain[1]) > 0 {
		d := 0
		if share(f.free, l.free, dimMemory) > share(f.free, l.free, dimCPU) {
			d = 1
		}
		if len(byMain[d]) == 0 {
			d = 1 - d
		}
		most := int(1e9)
		if len(byMain[1-d]) > 0 {
			most = 1 + k.lead(f, l, byMain[d][0], d)
		}
		if k.addSize(f, byMain[d][0], most) < most {
			byMain[d] = byMain[d][1:]
		}
	}
}

// lead is how many more of the bucket may come before the other resource has more left.
func (k *packer) lead(f *filling, l *lot, b *size, d int) int {
	main, other := dimCPU, dimMemory
	if d == 1 {
		main, other = dimMemory, dimCPU
	}
	gap := share(f.free, l.free, main) - share(f.free, l.free, other)
	per := float64(b.request.at(main))/float64(max(1, l.free.at(main))) - float64(b.request.at(other))/float64(max(1, l.free.at(other)))
	if gap <= 0 || per <= 0 {
		return 0
	}
	return int(min(gap/per, 1e6))
}

func share(free, of vector, d int) float64 { return float64(free.at(d)) / float64(max(1, of.at(d))) }

func (k *packer) suits(l *lot, sz *size) bool {
	return (sz.cell < 0 || sz.cell == l.cell) && sz.takes.lots[l.index]
}

// add puts up to n of the bucket on the node.
func (k *packer) add(f *filling, b *bucket, n int) int {
	if n <= 0 || !k.suits(f.lot, b.size) {
		return 0
	}
	if n = min(n, f.free.times(b.request)); n > 0 && len(b.ports) > 0 {
		if f.portsTaken(b.ports) {
			return 0
		}
		if exclusive(b.ports) {
			n = 1
		}
	}
	if n > 0 && b.company != nil {
		n = k.welcome(b.company, n)
	}
	if n <= 0 {
		return 0
	}
	if b.company != nil {
		k.join(b.company, n)
	}
	f.free = f.free.take(b.request, n)
	f.value += b.value * float64(n)
	for i := range f.items {
		if f.items[i].bucket == b {
			f.items[i].n += n
			return n
		}
	}
	f.items = append(f.items, fillItem{b, n})
	return n
}

func (f *filling) portsTaken(ports []hostPort) bool {
	for _, it := range f.items {
		for _, q := range it.bucket.ports {
			if slices.ContainsFunc(ports, q.conflicts) {
				return true
			}
		}
	}
	return false
}

// run buys nodes until every pod has a place or nothing can be bought that takes one more.
func (k *packer) run(o Options) {
	for k.left > 0 {
		if float64(k.left) < appraiseAgain*float64(k.appraised) {
			k.appraise()
		}
		f, ok := k.choose()
		if !ok {
			return
		}
		repeat := k.left
		for _, it := range f.items {
			repeat = min(repeat, it.bucket.count/it.n)
		}
		for ; repeat > 0; repeat-- {
			if o.MaxNodes > 0 && len(k.p.bought) >= o.MaxNodes {
				return
			}
			v := k.p.next(f.lot)
			if v == nil || v.offer.PricePerHour > f.lot.price {
				break // the next offer is dearer: choose again
			}
			k.commit(f, v)
			if k.balanced {
				repeat = 1 // now another zone may have the fewest
			}
			k.sizes = slices.DeleteFunc(k.sizes, func(sz *size) bool { return sz.count == 0 })
		}
	}
}

// commit buys one node of the variety and fills it.
func (k *packer) commit(f filling, v *variety) {
	t := k.p.purchase(v)
	for _, it := range f.items {
		for n := it.n; n > 0; {
			part := it.bucket.parts[0]
			m := min(n, part.n)
			k.p.putReserved(t, part.batch, m, k.cell(it.bucket))
			if part.n -= m; part.n == 0 {
				it.bucket.parts = it.bucket.parts[1:]
			}
			n -= m
		}
		it.bucket.count -= it.n
		it.bucket.size.count -= it.n
		k.left -= it.n
		k.value -= float64(it.n) * it.bucket.value
		if it.bucket.count == 0 {
			sz := it.bucket.size
			sz.buckets = slices.DeleteFunc(sz.buckets, func(b *bucket) bool { return b.count == 0 })
		}
	}
}

// cell is where the bucket's pods were counted, nil when they were not.
func (k *packer) cell(b *bucket) *cell {
	if b.cell < 0 {
		return nil
	}
	return k.p.cells.all[b.cell]
}

// appraise values the pods that are left, and with them lots, and puts the most valuable first.
func (k *packer) appraise() {
	k.price(true)
	slices.SortStableFunc(k.sizes, func(a, b *size) int { return cmp.Compare(b.value, a.value) })
	k.value = 0
	for _, sz := range k.sizes {
		k.value += sz.value * float64(sz.count)
	}
	k.appraised = k.left
	k.sortLots()
}

// appraiseAgain is the share of pods after which what is left is valued anew: filling nodes changes what is scarce.
const appraiseAgain = 0.94
