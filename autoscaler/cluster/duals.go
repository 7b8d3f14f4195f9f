package cluster

import (
	"math"
	"slices"
)

// price finds dual prices: what one unit of each resource costs where pods can be, when every node is full. Lots that take the same
// pods share them. For a group of lots the prices are the solution of
//
//	max Σ demand·price   subject to   room of a lot · price <= its price, for each lot
//
// which is the dual of buying fractions of nodes at the least cost (the volume bound). What a pod is worth is the least that any lot
// asks for it.
//
// When two resources are about as scarce as each other, the solution puts the whole price on one of them, and whoever fills nodes by
// it wastes the other. For choosing, unlike for the bound, the prices are therefore the mean of solutions with a little more demand for
// each resource in turn: also feasible, and fair to all that may become scarce.
func (k *packer) price(fair bool) {
	for _, b := range k.sizes {
		b.value = math.Inf(1)
	}
	for _, g := range k.groups() {
		lots := g.lots
		demand := make([]float64, len(k.p.s.dims.names))
		for _, b := range k.sizes {
			if b.takes.lots[lots[0].index] {
				for i, r := range b.request {
					if k.p.s.unpriced(i) {
						continue
					}
					demand[i] += float64(r) * float64(b.count)
				}
			}
		}
		prices := k.dualPrices(demand, g.signature, lots, fair)
		for _, l := range lots {
			l.prices = prices
		}
		for _, b := range k.sizes {
			if b.takes.lots[lots[0].index] {
				b.value = min(b.value, b.request.dot(prices))
			}
		}
	}
	for _, b := range k.sizes {
		if math.IsInf(b.value, 1) {
			b.value = 0
		}
	}
}

// peers are lots that take the same pods.
type peers struct {
	signature string
	lots      []*lot
}

// groups are all lots by what they take. They are grouped again when there are fewer.
func (k *packer) groups() []*peers {
	if k.peers != nil && k.grouped == len(k.lots) {
		return k.peers
	}
	k.peers, k.grouped = nil, len(k.lots)
	bySignature := map[string]*peers{}
	for _, l := range k.lots {
		g := bySignature[l.signature]
		if g == nil {
			g = &peers{signature: l.signature}
			bySignature[l.signature] = g
			k.peers = append(k.peers, g)
		}
		g.lots = append(g.lots, l)
	}
	return k.peers
}

// moreDemand is by how much demand is raised for fair prices.
const moreDemand = 1.2

// dualPrices solves the program for one group of lots, with resources in units of what is asked for in all.
func (k *packer) dualPrices(demand []float64, name string, lots []*lot, fair bool) []float64 {
	var dims []int
	for i, d := range demand {
		if d > 0 {
			dims = append(dims, i)
		}
	}
	rows := k.frontier(name, lots)
	scaled, limits, gain := make([][]float64, len(rows)), make([]float64, len(rows)), make([]float64, len(dims))
	for i, row := range rows {
		scaled[i], limits[i] = make([]float64, len(dims)), 1
		for j, d := range dims {
			if d < len(row) {
				scaled[i][j] = row[d] / demand[d]
			}
		}
	}
	for j := range gain {
		gain[j] = 1
	}
	sum, n := maximize(gain, scaled, limits), 1.0
	if fair {
		for j := range gain {
			gain[j] = moreDemand
			for i, x := range maximize(gain, scaled, limits) {
				sum[i] += x
			}
			gain[j] = 1
			n++
		}
	}
	prices := make([]float64, len(demand))
	for j, d := range dims {
		prices[d] = sum[j] / n / demand[d]
	}
	return prices
}

// frontier is what a unit of money buys in each lot of a group, without the lots that others surpass in everything. It is kept for as
// long as the lots are sold.
func (k *packer) frontier(name string, lots []*lot) [][]float64 {
	if f, ok := k.frontiers[name]; ok {
		return f
	}
	var rows [][]float64
	for _, l := range lots {
		row := make([]float64, len(l.free))
		for d := range l.free {
			row[d] = float64(max(0, l.free[d])) / max(l.price, 1e-9)
		}
		if slices.ContainsFunc(rows, func(other []float64) bool { return surpasses(other, row) }) {
			continue
		}
		rows = slices.DeleteFunc(rows, func(other []float64) bool { return surpasses(row, other) })
		rows = append(rows, row)
	}
	if k.frontiers == nil {
		k.frontiers = map[string][][]float64{}
	}
	k.frontiers[name] = rows
	return rows
}

// surpasses says whether a offers at least as much as b of everything.
func surpasses(a, b []float64) bool {
	for d, x := range b {
		if x > 0 && (d >= len(a) || a[d] < x) {
			return false
		}
	}
	return true
}
