package vertical

import (
	"fmt"
	"math"
	"time"
)

// ObserveOOM implements Model.
func (e *ensemble) ObserveOOM(oom OOM) {
	if e.resource == CPU || math.IsNaN(oom.Limit+oom.Usage) || math.IsInf(oom.Limit+oom.Usage, 0) {
		return
	}
	e.kills.add(oom, e.held)
	for i := range e.others {
		e.others[i].model.ObserveOOM(oom)
	}
}

// Estimate implements Model.
func (e *ensemble) Estimate(now time.Time) (Estimate, bool) {
	if e.chosen < 0 {
		if f := e.kills.floor(now); f > 0 {
			return Estimate{Target: f, Lower: f, Upper: f, Floor: f, Model: e.name, Reason: "a kill for memory"}, true
		}
		return Estimate{}, false
	}
	s := &e.signals
	out := Estimate{Target: e.held, Samples: s.samples, Since: time.Unix(0, int64(s.first*1e9))}
	out.Floor = e.floor(now)
	out.Target = math.Max(out.Target, out.Floor)
	out.Lower, out.Upper = out.Target, out.Target
	if e.chosen < len(e.all) {
		spec, c := &candidates[e.members[e.chosen]], &e.all[e.chosen]
		out.Model = spec.model
		out.Reason = fmt.Sprintf("%s: %s %.4g times %.3g", spec.model, spec.title, c.value, c.margin)
	} else {
		out.Model = e.others[e.chosen-len(e.all)].name
	}
	return out, true
}

func (e *ensemble) floor(now time.Time) float64 {
	if e.resource == CPU {
		return 0
	}
	return math.Max(e.signals.peaks[e.tuning.floor].max()*e.tuning.least, e.kills.floor(now))
}
