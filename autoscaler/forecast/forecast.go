package forecast

import (
	"fmt"
	"math"
	"time"
)

const (
	// MaxHorizon is how far ahead a forecast looks at most.
	MaxHorizon = time.Hour
	// maxRatio is how much of persistence's error a model may make to be believed.
	maxRatio = 0.8
	// leastRise is the sum of the rises that persistence missed, in replicas, below which there is nothing to be better at.
	leastRise = 5
	// stale is how many steps old the newest sample may be.
	stale = 2
)

// Input is what a forecast is made from.
type Input struct {
	Now     time.Time
	History *History
	// Desired is what is asked for now, Max what may be asked for.
	Desired, Max int32
	// Horizon is how far to look ahead; it is rounded up to steps and is at most MaxHorizon.
	Horizon time.Duration
	// MaxFactor bounds the forecast to a multiple of Desired. It counts as 1 below that, which forecasts nothing.
	MaxFactor float64
}

// Forecast is what is foreseen.
type Forecast struct {
	// Replicas is the highest number that will be asked for within the horizon. It is never below Desired.
	Replicas int32
	// Model is which one said so, empty when none is believed.
	Model Model
	// Skill is how that model did lately.
	Skill Skill
	// Reason is one sentence in words and numbers.
	Reason string
}

// Predict foresees the highest number of replicas that will be asked for within the horizon.
func Predict(in Input) Forecast {
	none := func(format string, args ...any) Forecast {
		return Forecast{Replicas: in.Desired, Reason: "nothing is foreseen: " + fmt.Sprintf(format, args...)}
	}
	h := in.History
	if h == nil || h.filled == 0 {
		return none("there is no history")
	}
	if in.Horizon <= 0 {
		return none("the horizon is %s", in.Horizon)
	}
	if in.Desired < 0 {
		return none("%d replicas are asked for", in.Desired)
	}
	if age := h.slot(in.Now) - h.newest; age > stale || age < 0 {
		return none("the newest sample is %s old", time.Duration(age)*h.step)
	}
	horizon := min(in.Horizon, MaxHorizon)
	steps := int64((horizon+h.step-1)/h.step) + 1 // one more, since the median of three is a step late
	best, skill, why := choose(h, steps)
	if best == nil {
		return none("%s", why)
	}
	value, ok := best.ask(h, h.newest, steps)
	if !ok {
		return none("the model %s has no answer now", best.name)
	}
	f := Forecast{Replicas: in.Desired, Model: best.name, Skill: skill}
	foreseen := whole(value)
	bound, by := in.bound()
	words := ""
	if foreseen > bound {
		foreseen, words = bound, by
	}
	f.Replicas = max(in.Desired, foreseen)
	f.Reason = fmt.Sprintf("%s foresees %d replicas within %s%s, %d are asked for now: its error lately is %.2g replicas, %.2g if all had stayed as it was (%d trials)",
		best.name, f.Replicas, horizon, words, in.Desired, skill.Error, skill.Reference, skill.Trials)
	return f
}

// bound is what a forecast may not exceed, and why.
func (in *Input) bound() (int32, string) {
	limit, why := in.Max, " (the maximum; more without it)"
	factor := in.MaxFactor
	if !(factor > 1) { // NaN, too
		factor = 1
	}
	if v := whole(factor * float64(max(in.Desired, 1))); v < limit {
		limit, why = v, fmt.Sprintf(" (%.3g times what is asked for now; more without this bound)", factor)
	}
	return limit, why
}

// whole is the nearest number of replicas.
func whole(v float64) int32 { return int32(max(0, min(math.Round(v), math.MaxInt32))) }

// choose finds the model that is believed, nil and why not when there is none.
func choose(h *History, steps int64) (*model, Skill, string) {
	var best *model
	var skill Skill
	why := "the history is too short, or has holes"
	for _, m := range models() {
		s, all := m.try(h, h.newest, steps, m.reach)
		switch {
		case s.Trials < all/2:
			continue
		case s.rise < leastRise:
			if best == nil {
				why = "what is asked for has hardly grown lately"
			}
			continue
		case s.Ratio() > maxRatio || m.name != Trend && m.worseLately(h, steps):
			if best == nil {
				why = fmt.Sprintf("no model was much better lately than that all stays as it is: %s was off by %.2g replicas, that by %.2g", m.name, s.Error, s.Reference)
			}
			continue
		}
		if best == nil || s.Ratio() < skill.Ratio() {
			best, skill = &m, s
		}
	}
	return best, skill, why
}

// worseLately reports whether a seasonal model is off today: whether within the last half an hour it did worse than its reference, by
// more than half a replica.
func (m *model) worseLately(h *History, steps int64) bool {
	recent := model{name: m.name, trials: 10, ask: m.ask}
	s, _ := recent.try(h, h.newest, steps, maxWindow)
	return s.Trials > 0 && s.Error > s.Reference+0.5
}
