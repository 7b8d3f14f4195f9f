package vertical

import (
	"math"
	"time"
)

// contender is a candidate with what it learned and what it would have cost.
type contender struct {
	residual residual
	// cost is the decayed sum of what its requests would have cost, in days of slack.
	cost float64
	// value and margin make the request it asks for; request is the one that would be in force.
	value, margin, request float64
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
	// observed is the decayed time over which costs were counted, in days.
	observed float64
	chosen   int
	held     float64
	kills    kills
}

// other is a model from elsewhere as a contender.
type other struct {
	name    string
	model   Model
	cost    float64
	request float64
}

func newEnsemble(name string, resource Resource, options Options) *ensemble {
	e := &ensemble{name: name, resource: resource, history: options.History, tuning: options.tuning, chosen: -1}
	if e.tuning == nil {
		e.tuning = tuningOf(resource)
	}
	for i := range candidates {
		if name == Auto || candidates[i].model == name {
			e.members = append(e.members, uint8(i))
		}
	}
	e.all = make([]contender, len(e.members))
	if name == Auto {
		for n, make := range options.Others {
			e.others = append(e.others, other{name: n, model: make(resource)})
		}
	}
	return e
}

// tiny is the usage that everything below it counts as, so that ratios exist: a microcore, or 4 KiB.
func (e *ensemble) tiny() float64 {
	if e.resource == CPU {
		return 1e-6
	}
	return 4096
}

// Observe implements Model.
func (e *ensemble) Observe(sample Sample) bool {
	if math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) || sample.Value < 0 {
		return false
	}
	now := float64(sample.Time.UnixNano()) / 1e9
	s := &e.signals
	if s.samples > 0 && now <= s.last {
		return false
	}
	v := math.Max(e.demand(sample), e.tiny())
	if s.samples > 0 {
		e.charge(now-s.last, v)
	}
	s.observe(now, v, e.tuning)
	if a := s.autopilot(e.tuning); a > 0 {
		s.recent.add(a)
	}
	for i := range e.others {
		e.others[i].model.Observe(sample)
	}
	e.ask(sample.Time)
	e.choose()
	return true
}

// demand is what the container would have used if it had not been held back.
func (e *ensemble) demand(sample Sample) float64 {
	return sample.Value
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
	forget := float32(math.Exp2(-step / t.residualHalfLife))
	for i := range e.all {
		c := &e.all[i]
		c.cost *= keep
		if c.value == 0 {
			continue
		}
		c.residual.age(forget)
		c.residual.add(v / c.value)
		c.cost += e.price(step, v, c.request)
	}
	for i := range e.others {
		o := &e.others[i]
		o.cost = o.cost*keep + e.price(step, v, o.request)
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
	step := math.Max(s.step, 1)
	over := t.over + t.kill*day/step
	age := math.Min(s.last-s.first, 2*t.residualHalfLife) / day
	h := hazard{rate: step / day / (t.hazardPrior + age), reach: &t.reach}
	for i := range e.all {
		c := &e.all[i]
		spec := &candidates[e.members[i]]
		c.value = spec.value(s, s.last, t)
		if c.value == 0 {
			c.request = 0
			continue
		}
		if spec.margin > 0 {
			c.margin = spec.margin
		} else {
			least := 0.0
			if spec.statistic == statPeak {
				least = t.least
			}
			c.margin, _ = c.residual.best(over, h, least)
		}
		e.hold(&c.request, c.value*c.margin, &c.cost)
	}
	for i := range e.others {
		o := &e.others[i]
		if estimate, ok := o.model.Estimate(at); ok {
			e.hold(&o.request, estimate.Target, &o.cost)
		}
	}
}

// hold changes a request in force to the one wanted when that differs enough.
func (e *ensemble) hold(request *float64, wanted float64, cost *float64) {
	t := e.tuning
	if *request > 0 && wanted <= *request*(1+t.up) && wanted >= *request*(1-t.down) {
		return
	}
	if *request > 0 {
		*cost += t.change
	}
	*request = wanted
}

// choose takes the cheapest contender. One that asks for nothing yet cannot be chosen.
func (e *ensemble) choose() {
	best, lowest := -1, math.Inf(1)
	for i := range e.all {
		if e.all[i].request > 0 && e.all[i].cost < lowest {
			best, lowest = i, e.all[i].cost
		}
	}
	for i := range e.others {
		if e.others[i].request > 0 && e.others[i].cost < lowest {
			best, lowest = len(e.all)+i, e.others[i].cost
		}
	}
	if e.chosen < 0 || e.requestOf(e.chosen) == 0 || lowest < e.costOf(e.chosen)*(1-e.tuning.switching)-0.0005*e.observed {
		e.chosen = best
	}
	if e.chosen < 0 {
		return
	}
	wanted := e.requestOf(e.chosen)
	var unused float64
	e.hold(&e.held, wanted, &unused)
}

func (e *ensemble) requestOf(i int) float64 {
	if i < len(e.all) {
		return e.all[i].request
	}
	return e.others[i-len(e.all)].request
}

func (e *ensemble) costOf(i int) float64 {
	if i < len(e.all) {
		return e.all[i].cost
	}
	return e.others[i-len(e.all)].cost
}
