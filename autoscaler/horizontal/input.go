package horizontal

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Kinds of objectives, as they stand in records.
const (
	KindResource = "Resource"
	KindPromQL   = "PromQL"
	KindLogQL    = "LogQL"
)

// Signal is what was read for one objective.
type Signal struct {
	// Query is the query as it was sent, for the record.
	Query string
	State decision.State
	// Reason says in words why the state is not Fresh.
	Reason string
	// Age is the age of the newest sample or line, nil when there is none.
	Age *time.Duration
	// Value is what a query gave. It counts only when the state is Fresh.
	Value float64
	// Usage is what the pods use, for an objective on a resource. It counts only when the state is Fresh.
	Usage Usage
}

// Input is everything that a decision depends on. Nothing in it is changed but History.
type Input struct {
	Now    time.Time
	Policy *v1alpha1.WorkloadAutoscaler

	// Current is the number of replicas that the target asks for, Existing the number that there are.
	Current, Existing int32
	// Pods are the pods that the target's selector matches.
	Pods []*corev1.Pod
	// Signals are in the order of the policy's objectives, one for each.
	Signals []Signal
	// References are what 100% of an objective on utilization means, in thousandths per pod, by the objective's name. One that has
	// none is a percentage of what the pods request, as Kubernetes has it.
	References map[string]int64
	// Owner names whoever else sets the target's replicas, empty when nobody does.
	Owner string

	Readiness Readiness
	History   *History
}

// reading is an objective with what it asks for.
type reading struct {
	objective *v1alpha1.Objective
	signal    *Signal
	state     decision.State
	reason    string
	proposal  Proposal
	// reference is what 100% means, 0 where that is what the pods request.
	reference int64
}

func (r *reading) known() bool { return r.state == decision.Fresh }

// read turns signals into proposals. A signal from which nothing can be computed is invalid.
func read(in *Input, tolerance Tolerance) []reading {
	readings := make([]reading, len(in.Policy.Spec.Horizontal.Objectives))
	for i := range readings {
		r := &readings[i]
		r.objective, r.signal = &in.Policy.Spec.Horizontal.Objectives[i], &in.Signals[i]
		r.state, r.reason = r.signal.State, r.signal.Reason
		if !r.known() {
			continue
		}
		proposal, err := propose(in, r.objective, r.signal, tolerance)
		if err != nil {
			r.state, r.reason = decision.Invalid, err.Error()
			continue
		}
		r.proposal, r.reference = proposal, in.References[r.objective.Name]
	}
	return readings
}

func propose(in *Input, o *v1alpha1.Objective, s *Signal, tolerance Tolerance) (Proposal, error) {
	switch {
	case o.Resource != nil && o.Resource.Utilization != nil && in.References[o.Name] > 0:
		return ForReference(in.Current, *o.Resource.Utilization, corev1.ResourceName(o.Resource.Name), in.References[o.Name],
			in.Pods, s.Usage, tolerance, in.Readiness, in.Now)
	case o.Resource != nil && o.Resource.Utilization != nil:
		return ForUtilization(in.Current, *o.Resource.Utilization, corev1.ResourceName(o.Resource.Name), o.Resource.Container,
			in.Pods, s.Usage, tolerance, in.Readiness, in.Now)
	case o.Resource != nil && o.Resource.AverageValue != nil:
		return ForAverage(in.Current, o.Resource.AverageValue.MilliValue(), corev1.ResourceName(o.Resource.Name),
			in.Pods, s.Usage, tolerance, in.Readiness, in.Now)
	case o.Query != nil && o.Query.Per == v1alpha1.PerReplica:
		return ForShare(in.Existing, s.Value, o.Query.Target.AsApproximateFloat64(), tolerance), nil
	case o.Query != nil:
		return ForTotal(in.Current, s.Value, o.Query.Target.AsApproximateFloat64(), in.Pods, tolerance)
	}
	return Proposal{}, fmt.Errorf("objective %s has neither a resource nor a query", o.Name)
}

// kind returns the objective's kind, the unit of its value, what to divide a proposal's value by to get that unit, its target in
// that unit, and whether the target is per replica.
func (r *reading) kind() (kind, unit string, divisor, target float64, per v1alpha1.Per) {
	o := r.objective
	switch {
	case o.Resource != nil && o.Resource.Utilization != nil:
		return KindResource, "percent", 1, float64(*o.Resource.Utilization), v1alpha1.PerReplica
	case o.Resource != nil:
		unit = "bytes"
		if o.Resource.Name == v1alpha1.CPU {
			unit = "cores"
		}
		if o.Resource.AverageValue != nil {
			target = o.Resource.AverageValue.AsApproximateFloat64()
		}
		return KindResource, unit, 1000, target, v1alpha1.PerReplica
	case o.Query != nil:
		kind = KindPromQL
		if o.Query.LogQL != "" {
			kind = KindLogQL
		}
		per = o.Query.Per
		if per == "" {
			per = v1alpha1.PerTotal
		}
		return kind, "", 1, o.Query.Target.AsApproximateFloat64(), per
	}
	return "", "", 1, 0, v1alpha1.PerTotal
}

// record puts the reading into the form that records have.
func (r *reading) record() decision.Objective {
	kind, unit, divisor, target, per := r.kind()
	o := decision.Objective{
		Name: r.objective.Name, Kind: kind, Query: r.signal.Query, Target: target, Unit: unit, Per: string(per),
		State: r.state, Reason: r.reason,
	}
	if r.known() {
		value, replicas := r.proposal.Value/divisor, r.proposal.Replicas
		o.Value, o.Replicas = &value, &replicas
	}
	if r.signal.Age != nil {
		age := r.signal.Age.Seconds()
		o.AgeSeconds = &age
	}
	return o
}

// describe says in words how the value compares with the target.
func (r *reading) describe() string {
	_, unit, divisor, target, per := r.kind()
	value := r.proposal.Value / divisor
	switch {
	case unit == "percent" && r.reference > 0:
		return fmt.Sprintf("%s at %s%% of the reference of %s per pod, target %s%%", r.objective.Name, number(value), r.amount(r.reference), number(target))
	case unit == "percent":
		return fmt.Sprintf("%s at %s%% of requests, target %s%%", r.objective.Name, number(value), number(target))
	case unit == "bytes":
		return fmt.Sprintf("%s at %s per pod, target %s", r.objective.Name, bytes(value), bytes(target))
	case unit == "cores":
		return fmt.Sprintf("%s at %s cores per pod, target %s", r.objective.Name, number(value), number(target))
	case per == v1alpha1.PerReplica:
		return fmt.Sprintf("%s at %s per replica, target %s", r.objective.Name, number(value), number(target))
	}
	return fmt.Sprintf("%s at %s, target %s", r.objective.Name, number(value), number(target))
}

// amount writes thousandths of the objective's resource.
func (r *reading) amount(milli int64) string {
	if r.objective.Resource.Name == v1alpha1.CPU {
		return number(float64(milli)/1000) + " cores"
	}
	return bytes(float64(milli) / 1000)
}
