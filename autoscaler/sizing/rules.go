package sizing

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// sizeRule is one step of what is decided about a size. It looks at the request that the rules before it arrived at and says what
// becomes of it, or nothing when it does not apply. A Hold ends the first part of the chain; the rules after it still bound what is
// held, since what is held must be admitted too.
type sizeRule struct {
	name  string
	judge func(rule string, s *size)
}

// asking is the first part of the chain: what the request should be by what is known.
func asking() []sizeRule {
	return []sizeRule{
		{"freshness", freshness},
		{"estimate", estimate},
		{"heap", heapNeeds},
		{"confidence", confidence},
		{"hold", holdCPU},
		{"remembered", remembered},
		{"tolerance", tolerance},
		{"peak", peak},
	}
}

// bounding is the second part: what the request may be.
func bounding() []sizeRule {
	return []sizeRule{
		{"allowed", allowed},
		{"limits", limits},
		{"limitRange", limitRange},
	}
}

// oomAnswer is how long a kill for memory is a reason to act at once, and to grow without fresh usage.
const oomAnswer = time.Hour

func (s *size) recentOOM() bool {
	return !s.reading.OOM.IsZero() && s.in.Now.Sub(s.reading.OOM) < oomAnswer
}

// freshness forbids to change anything by usage that is not known: an outage of the metrics looks like an idle workload. Only a kill
// for memory is answered, since that is an event and no measurement.
func freshness(rule string, s *size) {
	r := &s.reading
	s.urgent = s.answers()
	switch {
	case r.State == decision.Fresh:
		s.pass(rule, "Fresh", "usage is known")
		return
	case s.urgent && r.Target > s.before:
		s.keep = true
		s.pass(rule, "OOM", fmt.Sprintf("usage is %s, but a kill for memory is known", lower(r.State)))
		return
	}
	s.keep = true
	s.hold(rule, "Signal"+string(r.State), fmt.Sprintf("usage is %s: %s", lower(r.State), r.Reason))
}

// estimate takes what the model says.
func estimate(rule string, s *size) {
	target, highest := s.reading.Target, most(s.resource())
	if target <= highest {
		s.change(rule, code(s.reading.Model, "Estimate"), target, s.reading.Estimate.Reason)
		return
	}
	reason := fmt.Sprintf("%s is more than any machine has, so no more than %s", text(s.resource(), target), text(s.resource(), highest))
	if s.reading.Estimate.Reason != "" {
		reason += ": " + s.reading.Estimate.Reason
	}
	s.change(rule, "Implausible", highest, reason)
}

func code(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// earlyMargin is how many times its newest usage a container may request at least, however little is known.
const earlyMargin = 1.5

// confidence limits how far a request leaves what the manifest declares while little is known, by the square of what is missing to
// full confidence. Whoever wrote the manifest knew something; the longer the history, the less that counts. Growth for what was
// measured is free; growth for what a model expects beyond that is limited alike, since a model that saw a few samples has wide
// margins.
func confidence(rule string, s *size) {
	least, most := Trusted(&s.reading.Estimate, s.value, s.declared, s.reading.Usage)
	if floor := min(least, s.before); s.value < floor {
		s.change(rule, "ShortHistory", floor, fmt.Sprintf("confidence is %s, so no less than %s of the declared %s",
			percent(s.reading.Confidence), percent(untrusted(s.reading.Confidence)), text(s.resource(), s.declared)))
	}
	// Not less than the request before either, or it would come and go with every sample.
	if ceiling := max(s.before, most); s.value > ceiling {
		reason := fmt.Sprintf("confidence is %s, so no more than %s by a usage of %s",
			percent(s.reading.Confidence), text(s.resource(), ceiling), text(s.resource(), s.reading.Usage))
		if s.urgent {
			reason = "killed for memory; " + reason
		}
		s.change(rule, "ShortHistory", ceiling, reason)
	}
}

// untrusted is the square of what is missing to full confidence.
func untrusted(confidence float64) float64 { return (1 - confidence) * (1 - confidence) }

// Trusted are the smallest and the largest request that may be asked for by an estimate, by how far it can be trusted: by the request
// that a manifest declares, 0 for none, and the newest usage, all in cores or bytes. What was measured, a kill among it, is trusted in
// any case: it is in the estimate's floor.
func Trusted(e *vertical.Estimate, asked, declared, usage float64) (least, most float64) {
	missing := untrusted(e.Confidence)
	measured := max(declared, earlyMargin*usage, e.Floor)
	return declared * missing, max(measured, measured+(asked-measured)*(1-missing))
}

// holdCPU keeps the CPU of pods as it is where more load is met with replicas. What is published stands only as far as a pod has it in
// force: a policy that begins to act does not begin with what it only recommended. What a container has more while it starts is not
// held.
func holdCPU(rule string, s *size) {
	if s.in.HoldCPU == "" || s.resource() != corev1.ResourceCPU || s.before == 0 {
		return
	}
	held := s.before
	// Once held, it stays what it was then: what is in force later may be what nodes and quotas left of it, and each decision would
	// leave less.
	if s.request > 0 && !s.in.Memory.asked[s.key].held {
		held = min(held, s.request)
		if s.of.policy.Startup == nil {
			held = max(held, s.lowest)
		}
	}
	s.held = s.request > 0
	s.judge(rule, decision.Hold, "Replicas", held, s.in.HoldCPU)
}

// remembered keeps a change that did harm from being tried again too soon. It does not keep a killed container small.
func remembered(rule string, s *size) {
	b := s.in.Memory.bounded(s.key, s.in.Now)
	switch {
	case b == nil:
	case s.value < b.floor:
		s.change(rule, "RolledBackBefore", b.floor, fmt.Sprintf("less than %s was taken back until %s: %s",
			text(s.resource(), b.floor), b.until.UTC().Format("Jan 2 15:04 MST"), b.reason))
	case b.ceiling > 0 && s.value > b.ceiling && !s.urgent:
		s.change(rule, "RolledBackBefore", b.ceiling, fmt.Sprintf("more than %s was taken back until %s: %s",
			text(s.resource(), b.ceiling), b.until.UTC().Format("Jan 2 15:04 MST"), b.reason))
	}
}

// tolerance leaves a request alone that is nearly right. What answers a kill is never nearly right.
func tolerance(rule string, s *size) {
	if s.before == 0 || s.value == s.before || (s.urgent && s.value > s.before) {
		return
	}
	t := s.in.tolerance()
	difference := s.value/s.before - 1
	if difference <= t && -difference <= t {
		s.judge(rule, decision.Pass, "WithinTolerance", s.before,
			fmt.Sprintf("%s is within %s of %s", text(s.resource(), s.value), percent(t), text(s.resource(), s.before)))
	}
}

// peak keeps memory above what was used lately: less would be a kill. It holds for every resource whose model gives a floor.
func peak(rule string, s *size) {
	if floor := min(s.floor, s.before); s.value < floor {
		s.change(rule, "RecentPeak", floor, fmt.Sprintf("the recent peak with its margin is %s", text(s.resource(), s.floor)))
	}
}

// allowed keeps the request between what the policy allows, and rounds it to whole units.
func allowed(rule string, s *size) {
	r := s.resource()
	if s.value != s.before {
		s.value = roundUp(r, s.value)
	}
	lowest, highest := least(r), most(r)
	if v := amount(s.of.policy.MinAllowed, r); v > 0 {
		lowest = max(lowest, v)
	}
	if v := amount(s.of.policy.MaxAllowed, r); v > 0 {
		highest = v
	}
	switch {
	case s.value > highest:
		s.change(rule, "MaxAllowed", highest, fmt.Sprintf("the policy allows %s at most%s", text(r, highest), s.wanted(highest)))
	case s.value < lowest && lowest <= highest:
		s.change(rule, "MinAllowed", lowest, fmt.Sprintf("the least is %s", text(r, lowest)))
	}
}

// wanted says what is asked for beyond a bound, and why: a leak looks like that.
func (s *size) wanted(bound float64) string {
	if s.reading.State != decision.Fresh || s.reading.Target <= bound {
		return ""
	}
	words := fmt.Sprintf(" and %s is asked for", text(s.resource(), s.reading.Target))
	if s.reading.Estimate.Reason != "" {
		words += " (" + s.reading.Estimate.Reason + ")"
	}
	return words
}

// limits sets the limit that goes with the request. A fixed limit bounds the request.
func limits(rule string, s *size) {
	if s.of.policy.Limits == v1alpha1.LimitFixed && s.declaredLimit > 0 && s.value > s.declaredLimit && !isHugePages(s.resource()) {
		s.change(rule, "FixedLimit", s.declaredLimit, fmt.Sprintf("the limit of %s is fixed%s", text(s.resource(), s.declaredLimit), s.wanted(s.declaredLimit)))
	}
	s.settle()
}

// settle computes the limit from the request.
func (s *size) settle() {
	r := s.resource()
	switch {
	case isHugePages(r):
		s.limit = s.value
	case s.of.policy.Limits == v1alpha1.LimitNone:
		s.limit = 0
	case s.of.policy.Limits == v1alpha1.LimitFixed:
		s.limit = s.declaredLimit
	case s.declaredLimit > 0 && s.declared > 0:
		s.limit = min(most(r), s.value*max(1, s.declaredLimit/s.declared))
		if s.value == s.declared {
			s.limit = s.declaredLimit
		} else if s.limit > s.value {
			s.limit = roundUp(r, s.limit)
		}
	}
	if s.ceiling > 0 && (s.limit == 0 || s.limit > s.ceiling) {
		s.limit = s.ceiling
	}
	if s.ratio > 0 && (s.limit == 0 || s.limit > s.value*s.ratio) {
		s.limit = roundDown(r, s.value*s.ratio)
	}
	if s.limit > 0 {
		s.limit = max(s.limit, s.value)
	}
}
