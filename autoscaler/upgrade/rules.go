package upgrade

import (
	"fmt"
	"math"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// rule is one step on the way from a node to its renewal. A verdict that stays ends the way.
type rule struct {
	name  string
	judge func(*deciding, *subject) disruption.Verdict
}

// chain is asked in this order. The first part says whether the node could be renewed at all, the second whether it is its turn.
var (
	could = [...]rule{
		{"state", state},
		{"drift", drift},
		{"upgrade", wanted},
		{"claim", owned},
		{"protection", protection},
	}
	now = [...]rule{
		{"pause", paused},
		{"zone", inTurn},
		{"surge", withinSurge},
		{"budget", withinBudget},
	}
)

func stays(code, format string, args ...any) disruption.Verdict {
	return disruption.Verdict{Stays: true, Code: code, Message: fmt.Sprintf(format, args...)}
}

func goes(code, format string, args ...any) disruption.Verdict {
	return disruption.Verdict{Code: code, Message: fmt.Sprintf(format, args...)}
}

// renewable reports whether a node could be renewed at all.
func (d *deciding) renewable(s *subject) bool {
	for _, r := range could {
		if r.judge(d, s).Stays {
			return false
		}
	}
	return true
}

// judge takes a node through the rules. What passes all of them is renewed.
func (d *deciding) judge(s *subject) {
	stay := disruption.Stay{Node: s.name()}
	defer func() { d.out.Stays[stay.Node] = stay }()
	for _, rules := range [][]rule{could[:], now[:]} {
		for _, r := range rules {
			v := r.judge(d, s)
			v.Rule = r.name
			stay.Verdicts = append(stay.Verdicts, v)
			if v.Stays {
				stay.Code, stay.Message = v.Code, v.Message
				return
			}
		}
	}
	stay.Code, stay.Message = "Renewed", fmt.Sprintf("%s: a new node comes first, then it is drained", why(s))
	d.out.Moves = append(d.out.Moves, disruption.Move{
		Reason: v1alpha1.DisruptDrifted, Policy: d.in.Policy.Name, Remove: []string{stay.Node}, Code: s.differences[0].Code, Message: stay.Message,
	})
	d.surging++
	d.busy[s.zone()] = true
	if s.ready {
		d.disrupted++
	}
}

func why(s *subject) string {
	texts := make([]string, len(s.differences))
	for i := range s.differences {
		texts[i] = s.differences[i].Message
	}
	return strings.Join(texts, ", ")
}

// state ends the way of nodes that are coming or going.
func state(d *deciding, s *subject) disruption.Verdict {
	switch {
	case s.leaving() && s.Claim != nil && s.Claim.Status.Disruption != nil:
		return stays("Leaving", "it is being taken away: %s", s.Claim.Status.Disruption.Message)
	case s.leaving():
		return stays("Leaving", "it is being deleted")
	case s.booting() && s.isReplacement():
		return stays("Booting", "it is being made in place of %s", strings.Join(s.Claim.Spec.Replaces, ", "))
	case s.booting():
		return stays("Booting", "it is being made")
	case s.Claim != nil && d.renewing[s.Claim.Name]:
		return stays("Renewing", "a new node is being made in its place")
	}
	return goes("Stands", "it is there, and not on its way out")
}

// drift ends the way of nodes that are as they should be.
func drift(_ *deciding, s *subject) disruption.Verdict {
	if len(s.differences) > 0 {
		return goes(s.differences[0].Code, "%s", why(s))
	}
	if s.isReplacement() && !s.soaked {
		return stays("Soaking", "it is new, and must be ready for another %s before the next node is touched", span(s.soak))
	}
	return stays("Current", "it is as its policy says")
}

func wanted(d *deciding, s *subject) disruption.Verdict {
	if d.spec == nil {
		return stays("RenewalOff", "%s, and policy %s does not renew nodes", why(s), d.in.Policy.Name)
	}
	return goes("Renewal", "policy %s renews its nodes", d.in.Policy.Name)
}

func owned(_ *deciding, s *subject) disruption.Verdict {
	if s.Claim == nil {
		return stays("NotOurs", "%s: it would be renewed, but it was not made by a claim", why(s))
	}
	return goes("Ours", "claim %s made it", s.Claim.Name)
}

// protection waits for pods that ask to be left alone, unless the policy bounds how long they may.
func protection(d *deciding, s *subject) disruption.Verdict {
	by := s.DoNotDisrupt
	if s.Node.Node != nil {
		if key, ok := disruption.NodeRefuses(s.Node.Node); ok {
			by = "its annotation " + key
		}
	}
	grace := d.in.Policy.Spec.Disruption.TerminationGracePeriod
	switch {
	case by == "":
		return goes("Unprotected", "nobody asks for it to be left alone")
	case grace != nil:
		return goes("Forced", "%s asks for it to be left alone, which holds up its drain for %s at most", by, span(grace.Duration))
	}
	return stays("DoNotDisrupt", "%s: it waits, since %s asks for it to be left alone", why(s), by)
}

func paused(d *deciding, s *subject) disruption.Verdict {
	if d.stop != nil {
		return stays(d.stop.code, "%s: it waits, since %s", why(s), d.stop.message)
	}
	return goes("Open", "nothing stops renewal")
}

// inTurn renews one zone after another, so that a bad template meets no more than one. A sick node is renewed wherever it is.
func inTurn(d *deciding, s *subject) disruption.Verdict {
	if s.Unhealthy != "" {
		return goes("Sick", "it is unhealthy, and comes first: %s", s.Unhealthy)
	}
	if zone := s.zone(); zone != d.turn {
		return stays("ZoneLater", "%s: it waits for zone %s, which comes before zone %s", why(s), orNone(d.turn), orNone(zone))
	}
	return goes("ZoneNow", "its zone's turn is now")
}

func withinSurge(d *deciding, s *subject) disruption.Verdict {
	most, err := d.surge()
	switch {
	case err != nil:
		return stays("InvalidSurge", "%s: it waits, since %v", why(s), err)
	case d.surging >= most:
		return stays("Surge", "%s: it waits, since %d of at most %d nodes are being renewed", why(s), d.surging, most)
	}
	return goes("WithinSurge", "%d of at most %d nodes are being renewed", d.surging, most)
}

// withinBudget counts a node that is not ready among the disrupted already, and so does not count it twice.
func withinBudget(d *deciding, s *subject) disruption.Verdict {
	others := d.disrupted
	if !s.ready {
		others--
	}
	n, text, err := disruption.Allowed(d.in.Policy, v1alpha1.DisruptDrifted, d.total, others, d.in.Now)
	switch {
	case err != nil:
		return stays("InvalidBudget", "%s: it waits, since %v", why(s), err)
	case n < 1:
		return stays("Budget", "%s: it waits, since %s", why(s), text)
	}
	return goes("WithinBudget", "%s", text)
}

// pauses says why the answer stops upgrades, empty when it does not.
func (a Answer) pauses() string {
	switch a.State {
	case decision.Fresh:
	case "":
		return "has no answer yet"
	default:
		if a.Reason != "" {
			return "has no answer: " + a.Reason
		}
		return "has no answer: it is " + strings.ToLower(string(a.State))
	}
	for _, v := range a.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprintf("gives %v, which is no number", v)
		}
		if v > 0 {
			return fmt.Sprintf("is above 0 (%.4g)", v)
		}
	}
	return ""
}
