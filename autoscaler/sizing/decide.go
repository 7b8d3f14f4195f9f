package sizing

import (
	"fmt"
	"slices"

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
	in.Memory.learn(in.Pods, in.Now, in.window())
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
	if d.in.Brake.Open || len(steps) == 0 || d.passive() {
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
				all[s.key] = asked{s.asked, code, reason, s.held}
			}
		}
	}
	d.in.Memory.asked = all
}
