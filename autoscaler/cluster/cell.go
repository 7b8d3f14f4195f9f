package cluster

import (
	"slices"
	"strconv"
)

// cell is a combination of topology domains, other than hostnames, in which nodes can be bought: a zone, when zones are all that
// the pods ask about.
type cell struct {
	// domains by key id.
	domains []int32
	// sample is a site for each filter that passes somewhere in the cell, for the scopes of spread constraints.
	lots []*lot
}

// cells are the combinations for the keys that open batches ask about.
type cells struct {
	keys []*tally // one for each key
	all  []*cell
	ids  map[string]int
	// of is one more than the cell of each variety, 0 until it is asked for.
	of []int
}

func newCells(batches []*batch, varieties int) *cells {
	cs := &cells{ids: map[string]int{}, of: make([]int, varieties)}
	for _, b := range batches {
		b.class.relation.asks(func(y *tally) {
			if y.keyID != hostnameKey && !slices.ContainsFunc(cs.keys, func(o *tally) bool { return o.keyID == y.keyID }) {
				cs.keys = append(cs.keys, y)
			}
		})
	}
	return cs
}

// cellOf is the cell that a node of the variety would be in.
func (p *planning) cellOf(v *variety) int {
	cs := p.cells
	if cs == nil {
		return 0
	}
	if id := cs.of[v.index]; id > 0 {
		return id - 1
	}
	var key []byte
	var domains []int32
	for _, y := range cs.keys {
		d := p.s.topology.domainIn(v.node.Labels, y.key)
		for len(domains) <= y.keyID {
			domains = append(domains, nowhere)
		}
		domains[y.keyID] = d
		key = strconv.AppendInt(append(key, ','), int64(d), 10)
	}
	id, ok := cs.ids[string(key)]
	if !ok {
		id = len(cs.all)
		cs.ids[string(key)] = id
		cs.all = append(cs.all, &cell{domains: domains})
	}
	cs.of[v.index] = id + 1
	return id
}

func (c *cell) domain(y *tally) int32 {
	if y.keyID >= len(c.domains) {
		return nowhere
	}
	return c.domains[y.keyID]
}

// assignment is n pods of a batch that are to be bought for in one cell.
type assignment struct {
	batch *batch
	cell  int
	n     int
}

// assign decides in which cell to buy for the pods to which that matters. The others may be bought for in any cell, and are
// returned with cell -1. What finds no cell is left out.
//
// Domains that could be bought in count as there already, with no pods in them: a plan that keeps its balance over more domains
// than there will be keeps it over those as well.
func (p *planning) assign(batches []*batch, lots []*lot, filters []*filter) []assignment {
	for _, l := range lots {
		c := p.cells.all[l.cell]
		c.lots = append(c.lots, l)
	}
	p.offerDomains(lots)
	position := make(map[*filter]int, len(filters))
	for i, f := range filters {
		position[f] = i
	}
	var out []assignment
	waiting := make([]*batch, 0, len(batches))
	left := map[*batch]int{}
	for _, b := range batches {
		switch n := b.left(); {
		case n == 0 || b.class.alone():
		case !p.celled(b.class):
			out = append(out, assignment{b, -1, n})
		default:
			left[b] = n
			waiting = append(waiting, b)
		}
	}
	counts := make([]int, len(p.cells.all))
	for progress := true; progress; {
		progress = false
		for _, b := range waiting {
			for i := range counts {
				counts[i] = 0
			}
			for left[b] > 0 {
				best := p.bestCell(b.class, position[b.class.filter])
				if best < 0 {
					break
				}
				n := 1
				if p.uniform(b.class) {
					n = left[b]
				}
				p.reserve(b, best, n)
				counts[best] += n
				left[b] -= n
				progress = true
			}
			for i, n := range counts {
				if n > 0 {
					out = append(out, assignment{b, i, n})
				}
			}
		}
	}
	return out
}

// offerDomains makes domains count in which nodes may be bought.
func (p *planning) offerDomains(lots []*lot) {
	for _, y := range p.live {
		if y.scope == nil {
			continue
		}
		if y.keyID == hostnameKey {
			y.open = true
			continue
		}
		for _, l := range lots {
			if v := l.varieties[0]; y.scope.includes(v.site()) {
				d := p.cells.all[l.cell].domain(y)
				y.expect(d)
				if y.offered == nil {
					y.offered = map[int32]bool{}
				}
				y.offered[d] = true
			}
		}
	}
}

// site is a node of the variety that nobody has bought.
func (v *variety) site() *site { return &site{node: v.node, shape: v.shape, variety: v} }

// celled says whether it matters in which cell the class is: to itself or to others.
func (p *planning) celled(c *class) bool {
	yes := false
	c.relation.asks(func(y *tally) { yes = yes || y.keyID != hostnameKey })
	for _, list := range [][]*tally{c.relation.adds, c.relation.carries} {
		for _, y := range list {
			yes = yes || y.keyID != hostnameKey && y.live == p
		}
	}
	return yes
}

// uniform says that where one pod of the class may go, and is best put, all may.
func (p *planning) uniform(c *class) bool {
	for _, y := range c.relation.adds {
		if y.scope != nil && y.keyID != hostnameKey && y.live == p {
			return false
		}
	}
	for i := range c.relation.spread {
		if c.relation.spread[i].self > 0 && c.relation.spread[i].tally.keyID != hostnameKey {
			return false
		}
	}
	for _, y := range c.relation.anti {
		if y.keyID != hostnameKey {
			return false
		}
	}
	return true
}

// bestCell is the cell that keeps spread pods in balance, at the highest weight and lowest price among equals; -1 when no cell
// takes the class.
func (p *planning) bestCell(c *class, filter int) int {
	best, bestCount := -1, int32(0)
	var bestLot *lot
	for i, cl := range p.cells.all {
		l := cl.takes(c, filter)
		if l == nil || !p.allowsIn(c, cl.domain, hostnameKey) {
			continue
		}
		count := int32(0)
		for _, y := range c.relation.adds {
			if y.scope != nil && y.keyID != hostnameKey && y.live == p {
				count += y.counts[cl.domain(y)]
			}
		}
		if best < 0 || count < bestCount || count == bestCount && (l.weight > bestLot.weight || l.weight == bestLot.weight && l.price < bestLot.price*(1-1e-9)) {
			best, bestCount, bestLot = i, count, l
		}
	}
	return best
}

// takes is a lot of the cell that the class fits into, the cheapest of the highest weight.
func (cl *cell) takes(c *class, filter int) *lot {
	for _, l := range cl.lots {
		if l.signature[filter] == 'y' && l.free.fits(c.request) {
			return l
		}
	}
	return nil
}

// reserve counts n pods in a cell, before it is known on which of its nodes they will be.
func (p *planning) reserve(b *batch, cell, n int) {
	p.count(b.class, p.cells.all[cell], n)
	p.log = append(p.log, step{class: b.class, cell: p.cells.all[cell], n: n})
}

// count counts pods by the domains of a cell.
func (p *planning) count(c *class, cl *cell, n int) {
	for _, list := range [][]*tally{c.relation.adds, c.relation.carries} {
		for _, y := range list {
			if y.keyID == hostnameKey || !y.holds(p.s) {
				continue
			}
			if d := cl.domain(y); d != nowhere && (y.scope == nil || y.domains[d] > 0 || y.offered[d]) {
				y.addTo(d, n)
			}
		}
	}
}
