package vertical

import (
	"fmt"
	"math"
	"time"
)

// ObserveOOM implements Model.
func (e *ensemble) ObserveOOM(oom OOM) {
	if e.resource == CPU || !usable(oom.Limit) || !usable(oom.Usage) {
		return
	}
	e.kills.add(oom, float64(e.held))
	for i := range e.others {
		e.others[i].model.ObserveOOM(oom)
	}
}

// usable is whether a number can be an amount.
func usable(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }

// Estimate implements Model. It says the same until the next sample or kill, but for a kill that is forgotten: silence is no reason to
// reduce anything.
func (e *ensemble) Estimate(now time.Time) (Estimate, bool) {
	killed := e.kills.floor(now)
	if e.chosen < 0 && killed == 0 {
		return Estimate{}, false
	}
	s := &e.signals
	out := Estimate{Target: e.exact(e.held), Model: e.name, Samples: s.samples, Confidence: e.confidence()}
	if s.samples > 0 {
		out.Since = seconds(math.Max(s.first, s.last-e.history.Seconds()))
	}
	if e.resource != CPU {
		out.Floor = math.Max(s.peaks[e.tuning.floor].max()*floorMargin, killed)
	}
	out.Target = math.Max(out.Target, out.Floor)
	e.bounds(&out)
	e.explain(&out, killed)
	return out, true
}

// exact is the whole number of the unit that a request in single precision stands for.
func (e *ensemble) exact(request float32) float64 {
	if e.resource == CPU {
		return math.Round(float64(request)*1000) / 1000
	}
	return float64(request)
}

// floorMargin is the room above the recent peak of memory that a request in force keeps: a request must be above usage, and what is
// a percent above it is below the next sample as often as not.
const floorMargin = 1.02

func seconds(s float64) time.Time {
	whole := math.Floor(s)
	return time.Unix(int64(whole), int64((s-whole)*1e9)).UTC()
}

// boundsWorth is by how much of a container's slack a request between the bounds may cost more than the best.
const boundsWorth = 0.05

// bounds are the smallest and the largest request that the candidate expects to cost not much more than its best: half of what can
// be chosen when nothing was learned, everything near the target when much was.
func (e *ensemble) bounds(out *Estimate) {
	out.Lower, out.Upper = out.Target, out.Target
	if e.chosen >= 0 && e.chosen < len(e.all) {
		c := &e.all[e.chosen]
		var costs [marginCount]float64
		over, h := e.expectations()
		c.residual.costs(over, h, &costs)
		best := math.Inf(1)
		for _, cost := range costs {
			best = math.Min(best, cost)
		}
		for i, m := range margins[:marginCount-1] {
			if costs[i] <= best+boundsWorth {
				out.Lower = math.Min(out.Lower, m*float64(c.value))
				out.Upper = math.Max(out.Upper, m*float64(c.value))
			}
		}
	}
	unsure := 1 - out.Confidence
	out.Lower = math.Max(out.Lower*(1-unsure/2), math.Min(out.Floor, out.Target))
	out.Upper *= 1 + unsure
}

// confidence grows with the length of the history, and more slowly for usage that varies: half after two hours for what is flat,
// after a day for what has a standard deviation as large as its mean.
func (e *ensemble) confidence() float64 {
	s := &e.signals
	if s.samples < 2 {
		return 0
	}
	const least, perVariance = 2 * hour, 22 * hour
	level := s.mean
	varies := 0.0
	if level > 0 {
		varies = math.Min(1, math.Sqrt(s.variance)/level)
	}
	length := s.seen
	return length / (length + least + perVariance*varies)
}

// explain writes the reason.
func (e *ensemble) explain(out *Estimate, killed float64) {
	r := e.resource
	switch {
	case killed > 0 && out.Target == killed:
		out.Reason = fmt.Sprintf("%s: killed for memory at %s, %s were not enough, times %.3g is %s", e.name,
			e.kills.at.UTC().Format(time.RFC3339), amountText(r, e.kills.level), e.kills.bump, amountText(r, killed))
		return
	case e.chosen < len(e.all):
		spec, c := &candidates[e.members[e.chosen]], &e.all[e.chosen]
		out.Model = spec.model
		times := fmt.Sprintf("times %.3g", margins[c.margin])
		if _, bounded := e.wanted(e.chosen); bounded {
			times += ", but not beyond what was seen,"
		}
		out.Reason = fmt.Sprintf("%s: %s is %s, %s is %s", spec.model, spec.title,
			amountText(r, float64(c.value)), times, amountText(r, out.Target))
	default:
		o := &e.others[e.chosen-len(e.all)]
		out.Model = o.name
		out.Reason = fmt.Sprintf("%s: %s", o.name, amountText(r, out.Target))
	}
	if e.observed > 0 {
		out.Reason += fmt.Sprintf("; backtested cost %.3f of its size, lowest of %d candidates, from %d samples",
			float64(e.costOf(e.chosen))/e.observed, len(e.all)+len(e.others), e.signals.samples)
	}
}
