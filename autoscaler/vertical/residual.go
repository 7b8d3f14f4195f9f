package vertical

import "math"

// margins are the factors that a statistic can be multiplied with to get a request. They are closer together around 1, where a
// percent matters; the last but one is the largest that is chosen, the last catches everything above.
var margins = [...]float64{
	0.6, 0.75, 0.86, 0.92, 0.97, 1, 1.01, 1.02, 1.035, 1.05, 1.07, 1.1, 1.13, 1.17, 1.22, 1.28, 1.35, 1.45, 1.6, 1.8, 2.1,
	2.5, 3.2, 4.5, 7, 12, 100,
}

const marginCount = len(margins)

// middles are the ratios that stand for the bucket below each margin.
var middles = func() (m [marginCount]float64) {
	m[0] = margins[0] * 0.7
	for i := 1; i < marginCount; i++ {
		m[i] = (margins[i-1] + margins[i]) / 2
	}
	return m
}()

// residual is how usage turned out relative to a statistic that was known before: a histogram of the ratio. From it follows what
// every margin would have cost. Those of one ensemble share the weight of what is counted now.
type residual struct {
	counts [marginCount]uint16
}

// add counts a ratio and says whether there was room for it.
func (r *residual) add(ratio float64, unit float32) bool {
	i := 0
	for i < marginCount-1 && ratio > margins[i] {
		i++
	}
	return count(&r.counts[i], unit)
}

// hazard is what is to be expected beyond what was seen: usage exceeds the statistic's margin m, above 1, by chance rate times
// exp(-ln(m)/spread) per sample.
type hazard struct {
	rate  float64
	reach *[marginCount]float64
}

// reachOf is the share of what is beyond what was seen that is also beyond each margin.
func reachOf(spread float64) (reach [marginCount]float64) {
	for i, m := range margins {
		reach[i] = math.Min(1, math.Pow(m, -1/spread))
	}
	return reach
}

// costs fills out with what a sample is expected to cost at each margin, in units of a sample's full slack: the slack, plus over for
// every sample above.
func (r *residual) costs(over float64, h hazard, out *[marginCount]float64) {
	all := 0.0
	for _, c := range r.counts {
		all += float64(c)
	}
	total := all
	if total == 0 {
		total = 1
	}
	var under, underSum float64
	for i := range margins {
		w := float64(r.counts[i])
		under += w
		underSum += w * middles[i]
		slack := (under - underSum/margins[i]) / total
		above := max(0, all-under) / total
		out[i] = slack + over*(above+h.rate*h.reach[i])
	}
}

// best is the index of the margin of the lowest cost, not below least.
func (r *residual) best(over float64, h hazard, least float64) (margin int, cost float64) {
	var costs [marginCount]float64
	r.costs(over, h, &costs)
	cost = math.Inf(1)
	for i, c := range costs[:marginCount-1] {
		if margins[i] >= least && c < cost {
			margin, cost = i, c
		}
	}
	return margin, cost
}

// marginOf is the index of the margin that is a factor.
func marginOf(factor float64) uint8 {
	for i, m := range margins {
		if m >= factor {
			return uint8(i)
		}
	}
	return uint8(marginCount - 2)
}
