package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// prose collects lines.
type prose struct {
	strings.Builder
	now time.Time
}

func (p *prose) line(indent int, format string, a ...any) {
	p.WriteString(strings.Repeat("  ", indent))
	fmt.Fprintf(p, format, a...)
	p.WriteByte('\n')
}

func (p *prose) ago(t *metav1.Time) string {
	return duration.HumanDuration(p.now.Sub(t.Time)) + " ago"
}

// explain says what a policy's status means.
func explain(policy *v1alpha1.WorkloadAutoscaler, now time.Time) string {
	p := &prose{now: now}
	p.line(0, "WorkloadAutoscaler %s/%s %s of %s %s: %s", policy.Namespace, policy.Name, directions(policy), policy.Spec.TargetRef.Kind, policy.Spec.TargetRef.Name, mode(policy.Spec.Mode))
	switch s := &policy.Status; {
	case s.ObservedGeneration == 0 && s.Outcome == "" && s.Vertical == nil:
		p.line(0, "No autoscaler has looked at it yet.")
		return p.String()
	case s.ObservedGeneration < policy.Generation:
		p.line(0, "It was changed since; what follows is about how it was before.")
	}
	p.horizontal(policy)
	p.vertical(policy)
	p.conditions(policy.Status.Conditions)
	return p.String()
}

func directions(policy *v1alpha1.WorkloadAutoscaler) string {
	switch {
	case policy.Spec.Vertical == nil:
		return "decides about the replicas"
	case policy.Spec.Horizontal == nil:
		return "decides about the sizes"
	}
	return "decides about the replicas and the sizes"
}

func mode(m v1alpha1.Mode) string {
	switch m {
	case v1alpha1.Apply:
		return "mode Apply, it acts."
	case v1alpha1.Observe:
		return "mode Observe, it only records what it sees."
	}
	return "mode Recommend, it says what it would do and does nothing."
}

func (p *prose) horizontal(policy *v1alpha1.WorkloadAutoscaler) {
	h, s := policy.Spec.Horizontal, &policy.Status
	if h == nil {
		return
	}
	p.line(0, "")
	p.line(0, "Replicas: %d now, %d wanted, from %d to %d allowed.", s.CurrentReplicas, s.DesiredReplicas, max(h.Min, 1), h.Max)
	p.line(1, "%s", sentence(s.Reason, "Nothing was decided yet."))
	if s.LastScaleTime != nil {
		p.line(1, "Last changed %s.", p.ago(s.LastScaleTime))
	}
	for _, o := range s.Objectives {
		p.line(1, "- %s", objective(&o))
	}
}

func objective(o *v1alpha1.ObjectiveStatus) string {
	text := o.Name + " is unknown"
	if o.Value != nil {
		text = fmt.Sprintf("%s is %s", o.Name, o.Value.String())
	}
	text += fmt.Sprintf(", its target is %s", o.Target.String())
	if o.Replicas != nil {
		text += fmt.Sprintf(", which asks for %d replicas", *o.Replicas)
	}
	text += ": " + strings.ToLower(o.State)
	if o.Age != nil {
		text += ", " + duration.HumanDuration(o.Age.Duration) + " old"
	}
	if o.Reason != "" {
		text += "; " + o.Reason
	}
	return sentence(text, "")
}

func (p *prose) vertical(policy *v1alpha1.WorkloadAutoscaler) {
	v, s := policy.Spec.Vertical, policy.Status.Vertical
	if v == nil {
		return
	}
	p.line(0, "")
	if s == nil || len(s.Containers) == 0 {
		p.line(0, "Sizes: none are known yet.")
		if s != nil && s.Reason != "" {
			p.line(1, "%s", sentence(s.Reason, ""))
		}
		return
	}
	p.line(0, "Sizes: %d of %d pods have them; %s", s.PodsSized, s.PodsTotal, apply(v.Apply))
	p.line(1, "%s", sentence(s.Reason, "Nothing was decided yet."))
	if s.LastResizeTime != nil {
		p.line(1, "A pod was last changed %s.", p.ago(s.LastResizeTime))
	}
	for i := range s.Containers {
		p.container(&s.Containers[i])
	}
	for _, r := range s.References {
		p.line(1, "- 100%% of objective %s means %s for each pod, whatever the pods request now.", r.Objective, r.Request.String())
	}
}

func apply(a v1alpha1.VerticalApply) string {
	switch a {
	case v1alpha1.ApplyOff:
		return "no pod is changed (apply Off)."
	case v1alpha1.ApplyOnCreate:
		return "pods get them when they are created (apply OnCreate)."
	case v1alpha1.ApplyInPlaceOrRecreate:
		return "running pods are resized, or replaced where that is not possible (apply InPlaceOrRecreate)."
	}
	return "running pods are resized as far as their nodes let them (apply InPlace)."
}

func (p *prose) container(c *v1alpha1.ContainerSizeStatus) {
	name := c.Name
	if c.Role != "" && c.Role != "default" {
		name += fmt.Sprintf(" (role %s)", c.Role)
	}
	p.line(1, "- %s should request %s; the sizes can be trusted to %d%%.", name, quantities(c.Target), c.Confidence)
	if len(c.Limits) > 0 {
		p.line(2, "Limits that go with it: %s.", quantities(c.Limits))
	}
	if len(c.Startup) > 0 {
		p.line(2, "While it starts: %s.", quantities(c.Startup))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Target)) {
		p.resource(c, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
		p.line(2, "Created pods get %s=%s.", name, c.Environment[name])
	}
	if c.Reason != "" {
		p.line(2, "%s", sentence(c.Reason, ""))
	}
}

// resource says what usage asks for, and between which bounds nothing is wrong.
func (p *prose) resource(c *v1alpha1.ContainerSizeStatus, name corev1.ResourceName) {
	text := string(name)
	uncapped, known := c.Uncapped[name]
	if !known {
		return
	}
	text += ": usage asks for " + uncapped.String()
	if model := c.Models[string(name)]; model != "" {
		text += " by model " + model
	}
	lower, upper := c.LowerBound[name], c.UpperBound[name]
	if !lower.IsZero() && !upper.IsZero() {
		text += fmt.Sprintf("; from %s to %s neither harms nor wastes much", lower.String(), upper.String())
	}
	p.line(2, "%s.", text)
}

func quantities(list corev1.ResourceList) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		all = append(all, fmt.Sprintf("%s %s", text(list[name]), name))
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

func text(q resource.Quantity) string { return q.String() }

// conditions tells of those that are not as they should be.
func (p *prose) conditions(all []metav1.Condition) {
	first := true
	for _, c := range all {
		wrong := c.Status != metav1.ConditionTrue
		if c.Type == v1alpha1.ScalingLimited {
			wrong = c.Status == metav1.ConditionTrue
		}
		if !wrong {
			continue
		}
		if first {
			p.line(0, "")
			p.line(0, "Conditions:")
			first = false
		}
		p.line(1, "- %s is %s since %s (%s): %s", c.Type, c.Status, p.ago(&c.LastTransitionTime), c.Reason, sentence(c.Message, "no message"))
	}
}

// sentence ends a text with a full stop.
func sentence(text, otherwise string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return otherwise
	}
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
