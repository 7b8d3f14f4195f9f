package cluster

import (
	"math"
	"strconv"
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
	groups := map[string][]*lot{}
	var names []string
	for _, l := range k.lots {
		if groups[l.signature] == nil {
			names = append(names, l.signature)
		}
		groups[l.signature] = append(groups[l.signature], l)
	}
	for _, b := range k.sizes {
		b.value = math.Inf(1)
	}
	for _, name := range names {
		lots := groups[name]
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
		prices := dualPrices(demand, lots, fair)
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

// moreDemand is by how much demand is raised for fair prices.
const moreDemand = 1.2

// dualPrices solves the program for one group of lots, with resources in units of what is asked for in all.
func dualPrices(demand []float64, lots []*lot, fair bool) []float64 {
	var dims []int
	for i, d := range demand {
		if d > 0 {
			dims = append(dims, i)
		}
	}
	rows, limits := rowsOf(demand, dims, lots)
	gain := make([]float64, len(dims))
	for j := range gain {
		gain[j] = 1
	}
	sum, n := maximize(gain, rows, limits), 1.0
	if fair {
		for j := range gain {
			gain[j] = moreDemand
			for i, x := range maximize(gain, rows, limits) {
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

// rowsOf is one constraint for each different room among the lots, the cheapest of its kind.
func rowsOf(demand []float64, dims []int, lots []*lot) (rows [][]float64, limits []float64) {
	cheapest := map[string]int{}
	var key []byte
	for _, l := range lots {
		key = key[:0]
		for _, d := range dims {
			key = strconv.AppendInt(append(key, ','), l.free.at(d), 36)
		}
		price := max(l.price, 1e-9)
		if i, ok := cheapest[string(key)]; ok {
			limits[i] = min(limits[i], price)
			continue
		}
		cheapest[string(key)] = len(rows)
		row := make([]float64, len(dims))
		for j, d := range dims {
			row[j] = float64(max(0, l.free.at(d))) / demand[d]
		}
		rows, limits = append(rows, row), append(limits, price)
	}
	return rows, limits
}
