package vertical

import (
	"math"
	"time"
)

// contender is a candidate with what it learned and what it would have cost.
type contender struct {
	residual residual
	// margin is the index of the margin that makes its value the request it asks for.
	margin uint8
	// cost is the decayed sum of what its requests would have cost, in days of slack.
	cost float32
	// value is the statistic; request is the request that would be in force.
	value, request float32
}

// ensemble estimates with the cheapest of its contenders. The models of this package are all ensembles; they differ in their
// candidates.
type ensemble struct {
	name     string
	resource Resource
	history  time.Duration
	tuning   *tuning
	signals  signals
	members  []uint8
	all      []contender
	others   []other
	// unit is the weight of what residuals count now.
	unit float32
	// observed is the decayed time over which costs were counted, in days.
	observed float64
	chosen   int
	held     float32
	// tolerance is the difference that whoever applies requests leaves alone, as a fraction.
	tolerance float64
	kills     kills
	guard     guard
	// ahead is a sample whose time is far ahead, until the next one tells whether a clock jumped or nothing was seen for long.
	ahead *Sample
}

// other is a model from elsewhere as a contender.
type other struct {
	name    string
	model   Model
	cost    float32
	request float32
}

func newEnsemble(name string, resource Resource, options Options) *ensemble {
	e := &ensemble{name: name, resource: resource, history: options.History, tuning: options.tuning, chosen: -1}
	e.tolerance = options.tolerance()
	if e.tuning == nil {
		e.tuning = tuningOf(resource)
	}
	if name == Auto && e.tuning.auto != "" {
		name = e.tuning.auto
	}
	e.members = membersOf(name, resource)
	e.all = make([]contender, len(e.members))
	if name == Auto {
		for n, make := range options.Others {
			if model := make(resource); model != nil { // it may not know the resource
				e.others = append(e.others, other{name: n, model: model})
			}
		}
	}
	return e
}

// Observe implements Model. A sample more than a day ahead of the one before only raises the target until the next one confirms its
// time: had a clock jumped, everything after it would be too old.
func (e *ensemble) Observe(sample Sample) bool {
	if !usable(sample.Value) || sample.Value > mostUsage {
		return false
	}
	s := &e.signals
	if s.samples == 0 {
		e.take(sample)
		return true
	}
	if toSeconds(sample.Time) <= s.last {
		return false
	}
	if ahead := e.ahead; ahead != nil {
		e.ahead = nil
		if sample.Time.After(ahead.Time) {
			e.take(*ahead)
		}
	}
	if toSeconds(sample.Time)-s.last > farAhead.Seconds() {
		e.ahead = &sample
		if v := float32(e.demand(sample)); v > e.held {
			e.held = v * returnRoom
		}
		return true
	}
	e.take(sample)
	return true
}

// mostUsage bounds what is taken for usage: squares of it are finite in single precision. It is beyond what any machine has.
const mostUsage = 1e18

func toSeconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

// take learns from a sample.
func (e *ensemble) take(sample Sample) {
	s := &e.signals
	now, v := toSeconds(sample.Time), math.Max(e.demand(sample), e.tuning.tiny())
	if s.samples > 0 {
		if s.gap(now - s.last) {
			e.guard.resumed = now + peakLengths[peakQuarter]
		}
		e.charge(now-s.last, v)
	}
	s.observe(now, v, e.tuning)
	if a := s.autopilot(e.tuning); a > 0 {
		s.recent.add(a)
	}
	e.guard.observe(s, float64(e.held), e.history.Seconds())
	for i := range e.others {
		e.others[i].model.Observe(sample)
	}
	e.ask(sample.Time)
	e.choose()
}

// demand is what the container would have used if it had not been held back.
//
// A container that its CPU limit held back in a share of periods had work left in each of them: its usage grows by that share. Time
// in which a task waited counts from a tenth on, since tasks always wait for each other a little, and by at most half: it is also
// the wait of many tasks for the same core. Memory under pressure is memory that was reclaimed to stay below the limit.
func (e *ensemble) demand(sample Sample) float64 {
	const unheeded, most = 0.1, 0.5
	more := 0.0
	if p := sample.Pressure; p > unheeded {
		more = math.Min(p-unheeded, most)
	}
	if t := sample.Throttled; e.resource == CPU && t > 0 {
		more = math.Max(more, math.Min(t, 1))
	}
	return sample.Value * (1 + more)
}

// charge makes every contender pay for the request it had in force while v was used.
func (e *ensemble) charge(dt, v float64) {
	s, t := &e.signals, e.tuning
	step := dt
	if s.gap(dt) {
		step = s.step
	}
	keep := math.Exp2(-dt / t.costHalfLife)
	e.observed = e.observed*keep + step/day
	unit, halvings := grown(e.unit, step/t.residualHalfLife)
	e.unit = unit
	for range halvings {
		e.halve()
	}
	for i := range e.all {
		c := &e.all[i]
		c.cost *= float32(keep)
		if c.value == 0 {
			// It has nothing to say yet. It begins with what was paid meanwhile, and a little more: who was never judged is not
			// the cheapest.
			c.cost += float32(unjudged * e.price(step, v, float64(e.held)))
			continue
		}
		for !c.residual.add(v/float64(c.value), e.unit) {
			e.halve()
			e.unit = max(e.unit/2, 1)
		}
		c.cost += float32(e.price(step, v, float64(c.request)))
	}
	for i := range e.others {
		o := &e.others[i]
		o.cost = o.cost*float32(keep) + float32(e.price(step, v, float64(o.request)))
	}
}

// unjudged is how many times what was in force a contender pays for the time in which it asked for nothing.
const unjudged = 1.1

// halve halves what all residuals counted.
func (e *ensemble) halve() {
	for i := range e.all {
		halve(e.all[i].residual.counts[:])
	}
}

// price is what a request costs while v is used for step seconds.
func (e *ensemble) price(step, v, request float64) float64 {
	if request <= 0 {
		return step / day
	}
	if v > request {
		return e.tuning.over*step/day + e.tuning.kill
	}
	return (1 - v/request) * step / day
}

// ask computes what every contender wants from now on.
func (e *ensemble) ask(at time.Time) {
	s, t := &e.signals, e.tuning
	over, h := e.expectations()
	for i := range e.all {
		c := &e.all[i]
		spec := &candidates[e.members[i]]
		c.value = float32(spec.value(s, s.last, t))
		if c.value == 0 {
			c.request = 0
			continue
		}
		if spec.margin > 0 {
			c.margin = marginOf(spec.margin)
		} else {
			least := 0.0
			if spec.statistic == statPeak {
				least = t.least
			}
			margin, _ := c.residual.best(over, h, least)
			c.margin = uint8(margin)
		}
		wanted, _ := e.wanted(i)
		c.cost += e.hold(&c.request, wanted)
	}
	for i := range e.others {
		o := &e.others[i]
		if estimate, ok := o.model.Estimate(at); ok {
			o.cost += e.hold(&o.request, float32(estimate.Target))
		}
	}
}

// wanted is what a contender asks for, and whether that is less than its margin says because it would be beyond all that was seen. A
// fixed margin is a published model's own.
func (e *ensemble) wanted(i int) (request float32, bounded bool) {
	c, s, t := &e.all[i], &e.signals, e.tuning
	request = c.value * float32(margins[c.margin])
	if t.beyond == 0 || candidates[e.members[i]].margin > 0 {
		return request, false
	}
	most := max(c.value, float32(math.Max(s.peaks[peakThreeDays].max(), t.beyond*s.newest)))
	return min(request, most), request > most
}

// expectations are the price of a sample over the request, in units of a sample's slack, and what is to be expected that was not seen.
func (e *ensemble) expectations() (over float64, h hazard) {
	s, t := &e.signals, e.tuning
	step := math.Max(s.step, 1)
	age := math.Min(s.seen, 2*t.residualHalfLife) / day
	return t.over + t.kill*day/step, hazard{rate: step / day / (t.hazardPrior + age), reach: &t.reach}
}

// hold changes a request in force to the one wanted when that differs enough, and returns what the change costs. Whoever applies
// requests leaves smaller differences than the tolerance alone, so a raise goes just beyond it; they are whole numbers of the
// resource's unit, so that a difference is the same there as here.
func (e *ensemble) hold(request *float32, wanted float32) (cost float32) {
	before := *request
	up, down := float32(e.tuning.up), float32(math.Max(e.tuning.down, e.tolerance))
	switch {
	case before == 0:
		*request = e.whole(wanted)
		return 0
	case wanted > before*(1+up):
		*request = e.whole(max(wanted, before*float32((1+e.tolerance)*raiseBeyond)))
	case wanted < before*(1-down) && e.whole(wanted) < before:
		*request = e.whole(wanted)
	default:
		return 0
	}
	return float32(e.tuning.change)
}

// raiseBeyond makes a raise larger than the tolerance, however it is rounded.
const raiseBeyond = 1.001

// whole rounds up to thousandths of a core, or MiB, which is what requests are whole numbers of.
func (e *ensemble) whole(v float32) float32 {
	if e.resource == CPU {
		return float32(math.Ceil(float64(v)*1000*(1-1e-6)) / 1000)
	}
	return float32(math.Ceil(float64(v)/(1<<20)*(1-1e-6)) * (1 << 20))
}

// choose takes the cheapest contender. One that asks for nothing yet cannot be chosen.
func (e *ensemble) choose() {
	best, lowest := -1, math.Inf(1)
	for i := range len(e.all) + len(e.others) {
		if e.requestOf(i) > 0 {
			if score := e.score(i); score < lowest {
				best, lowest = i, score
			}
		}
	}
	if e.chosen < 0 || e.requestOf(e.chosen) == 0 || lowest < e.score(e.chosen)*(1-e.tuning.switching)-0.0005*e.observed {
		e.chosen = best
	}
	if e.chosen >= 0 {
		least := e.guard.least(&e.signals, float64(e.held))
		if e.resource != CPU {
			least = math.Max(least, e.signals.peaks[e.tuning.floor].max())
		}
		e.hold(&e.held, max(e.requestOf(e.chosen), float32(least)))
	}
}

// score is what a contender cost, and for memory what its request risks.
func (e *ensemble) score(i int) float64 {
	t := e.tuning
	score := float64(e.costOf(i))
	if t.kill == 0 {
		return score
	}
	ratio := float64(e.requestOf(i)) / e.signals.peaks[t.reference].max()
	risk := 1.0
	if ratio > 1 {
		risk = math.Pow(ratio, -1/t.riskSpread)
	}
	return score + t.risk*t.kill*risk*e.observed/(t.hazardPrior+math.Min(e.signals.seen, 2*t.residualHalfLife)/day)
}

func (e *ensemble) requestOf(i int) float32 {
	if i < len(e.all) {
		return e.all[i].request
	}
	return e.others[i-len(e.all)].request
}

func (e *ensemble) costOf(i int) float32 {
	if i < len(e.all) {
		return e.all[i].cost
	}
	return e.others[i-len(e.all)].cost
}
