package sizing

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Decide says what the target's containers should request and what is to be done to its pods. The record supposes that it succeeds.
// The input's Memory is written; tell it with Applied what was done. Nothing else is changed.
func Decide(in Input) Decision {
	if in.Memory == nil {
		in.Memory = &Memory{}
	}
	if in.Policy.Spec.Vertical == nil {
		d := &deciding{in: &in, record: newRecord(&in)}
		d.holdAll("policy", "NotVertical", "the policy has no vertical part")
		return Decision{Record: d.record}
	}
	d := &deciding{in: &in, record: newRecord(&in)}
	if !d.ownership() || !d.template() {
		return Decision{Record: d.record}
	}
	in.Memory.forget(in.Pods, in.Now)
	undo := rollbacks(&in)
	d.all = containers(&in)
	d.size()
	d.freshness()
	p := &planner{in: &in, all: d.all, undo: undo}
	steps := p.steps()
	d.held = p.held
	d.record.Sizes = recordSizes(d.all)
	steps = d.brake(steps)
	steps = d.mode(steps)
	d.conclude(steps)
	result := Decision{Record: d.record, Steps: steps}
	if in.Policy.Spec.Mode != v1alpha1.Observe {
		result.Sizes = containerSizes(d.all)
		d.remember()
	}
	return result
}

// deciding is a decision while it is made.
type deciding struct {
	in     *Input
	record decision.Record
	all    []*container
	held   []hindrance
}

func newRecord(in *Input) decision.Record {
	p := in.Policy
	ready := int32(0)
	for i := range in.Pods {
		if isReady(in.Pods[i].Object) {
			ready++
		}
	}
	return decision.Record{
		Namespace: p.Namespace, Name: p.Name,
		Target: decision.Target{APIVersion: p.Spec.TargetRef.APIVersion, Kind: p.Spec.TargetRef.Kind, Name: p.Spec.TargetRef.Name},
		Mode:   string(p.Spec.Mode), Time: in.Now, Direction: decision.Vertical,
		CurrentReplicas: in.Replicas, ReadyReplicas: ready, RecommendedReplicas: in.Replicas, DesiredReplicas: in.Replicas,
	}
}

func isReady(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && lives(pod)
		}
	}
	return false
}

// verdict writes down what a rule says about the target as a whole; from and to are pods to be changed.
func (d *deciding) verdict(rule string, action decision.Action, code string, from, to int, reason string) {
	d.record.Verdicts = append(d.record.Verdicts, decision.Verdict{Rule: rule, Action: action, Code: code, From: int32(from), To: int32(to), Reason: reason})
}

// ownership keeps two controllers from sizing one target. Only acting is forbidden, so that a policy can be tried out beside the one
// that it is to replace.
func (d *deciding) ownership() bool {
	owner := d.in.Owner
	switch {
	case owner == "":
		d.verdict("ownership", decision.Pass, "Free", 0, 0, "nobody else sizes the target")
		return true
	case d.in.Policy.Spec.Mode != v1alpha1.Apply || d.in.Policy.Spec.Vertical.Apply == v1alpha1.ApplyOff:
		d.verdict("ownership", decision.Pass, "OwnedElsewhere", 0, 0, fmt.Sprintf("%s sizes the target, which this policy leaves alone anyway", owner))
		return true
	}
	d.holdAll("ownership", "OwnedElsewhere", fmt.Sprintf("%s sizes the target; two controllers must not", owner))
	return false
}

func (d *deciding) template() bool {
	if d.in.Template == nil {
		d.holdAll("template", "NoTemplate", "the target has no pod template to size")
		return false
	}
	return true
}

func (d *deciding) holdAll(rule, code, reason string) {
	d.verdict(rule, decision.Hold, code, 0, 0, reason)
	d.record.Outcome, d.record.Code, d.record.Reason = decision.Held, code, "Held: "+reason
}

// size takes every resource of every container through its rules, and then the pods as a whole.
func (d *deciding) size() {
	for _, c := range d.all {
		for _, s := range c.sizes {
			s.run()
		}
	}
	byRole := map[string]*roleContainers{}
	var order []string
	for _, c := range d.all {
		if byRole[c.role] == nil {
			byRole[c.role] = &roleContainers{in: d.in}
			order = append(order, c.role)
		}
		byRole[c.role].list = append(byRole[c.role].list, c)
	}
	fitQuotas(d.in, d.all)
	for _, role := range order {
		byRole[role].fit()
	}
}

func (s *size) run() {
	if s.of.policy.Mode == v1alpha1.ContainerOff {
		s.known = false
		s.hold("container", "ContainerOff", "the policy leaves the container alone")
		return
	}
	for _, r := range asking() {
		n := len(s.verdicts)
		r.judge(r.name, s)
		if len(s.verdicts) > n && s.verdicts[len(s.verdicts)-1].Action == decision.Hold {
			break
		}
	}
	if !s.known {
		return
	}
	for _, r := range bounding() {
		r.judge(r.name, s)
	}
	s.asked = s.value
}

// freshness says how much is known.
func (d *deciding) freshness() {
	fresh, total := 0, 0
	state, words := decision.State(""), ""
	for _, c := range d.all {
		for _, s := range c.sizes {
			if c.policy.Mode == v1alpha1.ContainerOff || !c.running() {
				continue
			}
			total++
			if s.reading.State == decision.Fresh {
				fresh++
			} else if state == "" {
				state, words = s.reading.State, fmt.Sprintf("%s of %s is %s: %s", s.resource(), c.spec.Name, lower(s.reading.State), s.reading.Reason)
			}
		}
	}
	switch {
	case total == 0:
		d.verdict("freshness", decision.Pass, "NothingSized", 0, 0, "the policy sizes no container")
	case fresh == total:
		d.verdict("freshness", decision.Pass, "AllFresh", 0, 0, "all usage is known")
	case fresh == 0:
		d.verdict("freshness", decision.Hold, "Signal"+string(state), 0, 0, "no usage is known: "+words)
	default:
		d.verdict("freshness", decision.Pass, "Signal"+string(state), 0, 0, "nothing is taken from what is not known: "+words)
	}
}

// brake lets only urgent steps pass while too much of the cluster changes.
func (d *deciding) brake(steps []Step) []Step {
	if d.in.Brake.Open || len(steps) == 0 {
		return steps
	}
	kept := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !s.Urgent })
	action := decision.Change
	if len(kept) == 0 {
		action = decision.Hold
	}
	if len(kept) < len(steps) {
		d.verdict("brake", action, "BrakeClosed", len(steps), len(kept), d.in.Brake.Reason)
	}
	return kept
}

// mode turns what the policy would do into what its mode lets it do.
func (d *deciding) mode(steps []Step) []Step {
	mode, apply := d.in.Policy.Spec.Mode, d.in.Policy.Spec.Vertical.Apply
	code, reason := string(mode), ""
	switch {
	case mode == v1alpha1.Apply && (apply == v1alpha1.ApplyInPlace || apply == v1alpha1.ApplyInPlaceOrRecreate || apply == ""):
		d.verdict("mode", decision.Pass, code, len(steps), len(steps), "the policy applies what it decides")
		return steps
	case mode == v1alpha1.Apply && apply == v1alpha1.ApplyOnCreate:
		code, reason = "OnCreate", "pods get their sizes when they are created"
	case mode == v1alpha1.Apply:
		code, reason = "ApplyOff", "the policy publishes sizes and changes no pod"
	case mode == v1alpha1.Observe:
		reason = "the policy observes only"
	default:
		code, reason = string(v1alpha1.Recommend), "the policy recommends and does not act"
	}
	action := decision.Pass
	if len(steps) > 0 {
		action = decision.Hold
	}
	d.verdict("mode", action, code, len(steps), 0, reason)
	return nil
}

// remember keeps what was asked for, so that the next decision starts from it.
func (d *deciding) remember() {
	all := make(map[Key]asked, len(d.in.Memory.asked))
	for _, c := range d.all {
		for _, s := range c.sizes {
			if s.known {
				code, reason := s.stable()
				all[s.key] = asked{s.asked, code, reason}
			}
		}
	}
	d.in.Memory.asked = all
}

// containerSizes puts the sizes into the form that is published.
func containerSizes(all []*container) []ContainerSize {
	var out []ContainerSize
	for _, c := range all {
		size := ContainerSize{Role: c.role, Container: c.spec.Name, Init: c.init, Confidence: 1}
		var reasons []string
		for _, s := range c.sizes {
			if !s.known || s.value == 0 {
				continue
			}
			r := s.resource()
			set(&size.Requests, r, s.value)
			if s.limit > 0 {
				set(&size.Limits, r, s.limit)
			} else if s.declaredLimit > 0 && c.policy.Limits == v1alpha1.LimitNone {
				size.RemoveLimits = append(size.RemoveLimits, r)
			}
			setIf(&size.Lower, r, s.reading.Lower)
			setIf(&size.Upper, r, s.reading.Upper)
			setIf(&size.Uncapped, r, s.reading.Target)
			if s.reading.Model != "" {
				if size.Models == nil {
					size.Models = map[string]string{}
				}
				size.Models[string(r)] = s.reading.Model
			}
			size.Confidence = min(size.Confidence, s.reading.Confidence)
			_, reason := s.stable()
			reasons = append(reasons, fmt.Sprintf("%s: %s", r, reason))
		}
		if len(size.Requests) == 0 {
			continue
		}
		if c.boost > 0 {
			set(&size.Startup, corev1.ResourceCPU, c.boost)
		}
		size.Environment = c.environment(c.movable(corev1.ResourceMemory))
		size.Reason = strings.Join(reasons, "; ")
		out = append(out, size)
	}
	return out
}

func setIf(list *corev1.ResourceList, r corev1.ResourceName, v float64) {
	if v > 0 {
		set(list, r, min(roughly(r, v), most(r)))
	}
}

// roughly rounds up to two significant digits: what is published for people need not change with every sample.
func roughly(r corev1.ResourceName, v float64) float64 {
	n := math.Ceil(v / unit(r) * (1 - 1e-9))
	step := 1.0
	for n/step > 99 {
		step *= 10
	}
	return units(r, math.Ceil(n/step)*step)
}

// stable is the reason of the size since it has been what it is: its numbers are those of then, and it does not change with every
// sample.
func (s *size) stable() (code, reason string) {
	code, reason = s.decisive()
	if last, ok := s.in.Memory.asked[s.key]; ok && last.value == s.asked && last.code == code {
		reason = last.reason
	}
	return code, reason
}

// recordSizes puts the sizes into the form that records have.
func recordSizes(all []*container) []decision.Size {
	var out []decision.Size
	for _, c := range all {
		for _, s := range c.sizes {
			role := c.role
			if role == DefaultRole {
				role = ""
			}
			r := decision.Size{Container: c.spec.Name, Role: role, Resource: string(s.resource()), Model: s.reading.Model,
				Confidence: s.reading.Confidence, State: s.reading.State, Reason: s.reason(), Verdicts: s.verdicts,
				Request: some(s.request), Limit: some(s.requestLimit), Recommended: some(s.reading.Target)}
			if s.reading.State == decision.Fresh {
				usage := s.reading.Usage
				r.Usage = &usage
			}
			if s.known {
				r.Desired, r.DesiredLimit = some(s.value), some(s.limit)
			}
			out = append(out, r)
		}
	}
	return out
}

func some(v float64) *float64 {
	if v == 0 {
		return nil
	}
	return &v
}

// decisive is the last rule that brought the request to something else, else what the estimate says.
func (s *size) decisive() (code, reason string) {
	for i := len(s.verdicts) - 1; i >= 0; i-- {
		v := &s.verdicts[i]
		if v.Action != decision.Pass && (v.From != v.To || v.Action == decision.Hold) || v.Code == "WithinTolerance" {
			return v.Code, v.Reason
		}
	}
	return s.reading.Model, s.reading.Estimate.Reason
}

func (s *size) reason() string {
	_, reason := s.decisive()
	return reason
}

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
	case steps[0].Urgent:
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
