package sizing

import (
	"fmt"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// conclude names the outcome and writes the sentence for people.
func (d *deciding) conclude(steps []Step) {
	r := &d.record
	main := d.main()
	held := d.holding()
	switch {
	case len(steps) > 0:
		d.acted(steps, main)
	case d.in.Policy.Spec.Mode == v1alpha1.Observe:
		r.Outcome, r.Code, r.Reason = decision.Observed, "Observe", "Observed only: "+describe(main)
	case held != nil:
		r.Outcome, r.Code, r.Reason = decision.Held, held.Code, "Held: "+held.Reason
	case main != nil && d.passive():
		r.Outcome, r.Code = decision.Recommended, r.Verdicts[len(r.Verdicts)-1].Code
		r.Reason = fmt.Sprintf("Recommended: %s; %s", describe(main), r.Verdicts[len(r.Verdicts)-1].Reason)
	case len(d.in.Pods) == 0:
		r.Outcome, r.Code, r.Reason = decision.Unchanged, "NoPods", "Unchanged: the target has no pods"
	case len(d.held) > 0:
		r.Outcome, r.Code, r.Reason = decision.Held, d.held[0].code, "Held: "+d.held[0].reason
	case main != nil:
		r.Outcome, r.Code, r.Reason = decision.Held, "NotRunning", "Held: no pod of the target can be resized now; "+describe(main)
	default:
		if v, s := d.limited(); v != nil {
			r.Outcome, r.Code, r.Reason = decision.Held, v.Code, fmt.Sprintf("Held: %s of %s: %s", s.resource(), s.key.Container, v.Reason)
			return
		}
		r.Outcome, r.Code, r.Reason = decision.Unchanged, "Fits", "Unchanged: every container has what it should"
	}
}

// limited finds a size that is bounded below what usage asks for, and the rule that does it.
func (d *deciding) limited() (*decision.SizeVerdict, *size) {
	for _, c := range d.all {
		for _, s := range c.sizes {
			if !s.known || s.reading.State != decision.Fresh || s.value >= s.reading.Target*(1-d.in.tolerance()) {
				continue
			}
			for i := len(s.verdicts) - 1; i >= 0; i-- {
				v := &s.verdicts[i]
				switch v.Code {
				case "MaxAllowed", "FixedLimit", "RangeMaximum", "PodRangeMaximum", "LargestNode", "Quota", "RolledBackBefore":
					return v, s
				}
			}
		}
	}
	return nil, nil
}

func (d *deciding) passive() bool {
	apply := d.in.Policy.Spec.Vertical.Apply
	return d.in.Policy.Spec.Mode != v1alpha1.Apply || apply == v1alpha1.ApplyOff || apply == v1alpha1.ApplyOnCreate
}

// holding is the verdict that keeps the whole target as it is, nil when none does.
func (d *deciding) holding() *decision.Verdict {
	for i := range d.record.Verdicts {
		if v := &d.record.Verdicts[i]; v.Action == decision.Hold && v.Rule != "mode" {
			return v
		}
	}
	return nil
}

// acted describes steps that are taken.
func (d *deciding) acted(steps []Step, main *size) {
	r := &d.record
	r.Outcome, r.Code = decision.Resized, "Resize"
	word := "Resized"
	inPlace, back := 0, (*Step)(nil)
	for i := range steps {
		if steps[i].InPlace {
			inPlace++
		}
		if steps[i].RollBack && back == nil {
			back = &steps[i]
		}
	}
	switch {
	case back != nil:
		r.Outcome, r.Code = decision.RolledBack, "RolledBack"
		r.Reason = fmt.Sprintf("Rolled back pod %s: %s", back.Pod.Name, strings.TrimPrefix(back.Reason, "taken back: "))
		return
	case inPlace == 0:
		r.Outcome, r.Code, word = decision.Recreated, "Recreate", "Recreated"
	}
	if steps[0].Urgent {
		r.Code = "OOM"
	}
	what := steps[0].Reason
	if main != nil {
		what = describe(main)
	}
	r.Reason = fmt.Sprintf("%s %s: %s", word, plural(len(steps), "pod"), what)
}

// main is the size that differs most from what is in force, nil when none does by more than the tolerance.
func (d *deciding) main() *size {
	var main *size
	most := 0.0
	for _, c := range d.all {
		for _, s := range c.sizes {
			if !s.known || !c.running() || near(s.value, s.current(), d.in.tolerance()) && !s.urgent || s.value == s.current() {
				continue
			}
			difference := 2.0
			if have := s.current(); have > 0 {
				difference = max(s.value/have, have/s.value) - 1
			}
			if s.urgent {
				difference += 1000
			}
			if difference > most {
				main, most = s, difference
			}
		}
	}
	return main
}

// current is what is in force, or declared where no pod is.
func (s *size) current() float64 {
	if s.request > 0 {
		return s.request
	}
	return s.declared
}

func describe(s *size) string {
	if s == nil {
		return "every container has what it should"
	}
	from := "none"
	if s.current() > 0 {
		from = text(s.resource(), s.current())
	}
	name := s.key.Container
	if s.key.Role != DefaultRole {
		name += " (" + s.key.Role + ")"
	}
	return fmt.Sprintf("%s of %s from %s to %s: %s", s.resource(), name, from, text(s.resource(), s.value), s.reason())
}
