package cluster

import (
	"math"
)

// price finds dual prices: what one unit of each resource costs where pods can be, when every node is full. Lots that take the same
// pods share them. For a group of lots the prices are the solution of
//
//	max Σ demand·price   subject to   room of a lot · price <= its price, for each lot
//
// which is the dual of buying fractions of nodes at the least cost (the volume bound). What a pod is worth is the least that any lot
// asks for it.
func (k *packer) price() {
	groups := map[string][]*lot{}
	var names []string
	for _, l := range k.lots {
		if groups[l.signature] == nil {
			names = append(names, l.signature)
		}
		groups[l.signature] = append(groups[l.signature], l)
	}
	for _, b := range k.buckets {
		b.value = math.Inf(1)
	}
	for _, name := range names {
		lots := groups[name]
		demand := make([]float64, len(k.p.s.dims.names))
		for _, b := range k.buckets {
			if b.takes.lots[lots[0].index] {
				for i, r := range b.request {
					if k.p.s.dims.isAttach(i) {
						continue // most nodes have more than enough, at no price
					}
					demand[i] += float64(r) * float64(b.count)
				}
			}
		}
		prices := dualPrices(demand, lots)
		for _, l := range lots {
			l.prices = prices
		}
		for _, b := range k.buckets {
			if b.takes.lots[lots[0].index] {
				b.value = min(b.value, b.request.dot(prices))
			}
		}
	}
	for _, b := range k.buckets {
		if math.IsInf(b.value, 1) {
			b.value = 0
		}
	}
}

// dualPrices solves the program for one group of lots, with resources in units of what is asked for in all.
func dualPrices(demand []float64, lots []*lot) []float64 {
	var dims []int
	for i, d := range demand {
		if d > 0 {
			dims = append(dims, i)
		}
	}
	gain := make([]float64, len(dims))
	for j := range gain {
		gain[j] = 1
	}
	rows, limits := make([][]float64, len(lots)), make([]float64, len(lots))
	for i, l := range lots {
		rows[i] = make([]float64, len(dims))
		for j, d := range dims {
			rows[i][j] = float64(max(0, l.free.at(d))) / demand[d]
		}
		limits[i] = max(l.price, 1e-9)
	}
	x := maximize(gain, rows, limits)
	prices := make([]float64, len(demand))
	for j, d := range dims {
		prices[d] = x[j] / demand[d]
	}
	return prices
}
