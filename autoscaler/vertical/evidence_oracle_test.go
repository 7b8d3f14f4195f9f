package vertical_test

import (
	"math"
	"slices"

	"github.com/yagura-dev/yagura/autoscaler/replay"
)

// An oracle knows all of a series, and asks for the same request whenever the usage before was in the same class. It shows what a data
// set allows: no request that is constant can do better than the oracle of one class, and one that follows the newest usage alone
// not better than that of many, which even knows the future's noise.
type oracle struct {
	groups []group
}

// group are the usages of one class in ascending order, and the sums up to each of them.
type group struct {
	usage, sum []float64
}

// newOracle sorts what comes after the warm-up into classes by the usage before, each with as many usages of the series.
func newOracle(set dataSet, classes int) *oracle {
	o := &oracle{}
	for _, s := range set.series {
		from := s[0].Time.Add(set.warmup())
		first := max(1, slices.IndexFunc(s, func(x replay.Sample) bool { return !x.Time.Before(from) }))
		before := make([]float64, 0, len(s))
		for _, x := range s[first-1 : len(s)-1] {
			before = append(before, x.Usage)
		}
		slices.Sort(before)
		groups := make([]group, classes)
		for i := first; i < len(s); i++ {
			rank, _ := slices.BinarySearch(before, s[i-1].Usage)
			g := &groups[rank*classes/len(before)]
			g.usage = append(g.usage, s[i].Usage)
		}
		for _, g := range groups {
			slices.Sort(g.usage)
			sum := 0.0
			for _, v := range g.usage {
				sum += v
				g.sum = append(g.sum, sum)
			}
			o.groups = append(o.groups, g)
		}
	}
	return o
}

// best is the lowest slack at no more than a share of time over the request, and that share.
func (o *oracle) best(most float64) (slack, over float64) {
	low, high := 0.0, 1e6
	for range 60 {
		price := math.Sqrt(math.Max(low, 1e-3) * high)
		if _, share := o.at(price); share > most {
			low = price
		} else {
			high = price
		}
	}
	return o.at(high)
}

// at is the slack and the time over the request of the requests that cost least, with a price for a time over the request.
func (o *oracle) at(price float64) (slack, over float64) {
	n := 0
	for _, g := range o.groups {
		bestSlack, bestOver := 0.0, 0
		lowest := math.Inf(1)
		for i, v := range g.usage {
			if v == 0 {
				continue
			}
			s, above := float64(i+1)-g.sum[i]/v, len(g.usage)-1-i
			if cost := s + price*float64(above); cost <= lowest {
				bestSlack, bestOver, lowest = s, above, cost
			}
		}
		slack += bestSlack
		over += float64(bestOver)
		n += len(g.usage)
	}
	return slack / float64(n), over / float64(n)
}
