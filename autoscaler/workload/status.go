package workload

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// newStatus puts the last records into the form of a status: that about replicas and that about sizes, of which one may be nil. Old
// is the status before it, whose times of transitions are kept.
func newStatus(replicas, sizes *decision.Record, generation int64, lastScale *metav1.Time, old []metav1.Condition) v1alpha1.WorkloadAutoscalerStatus {
	record := replicas
	if record == nil {
		record = sizes
	}
	s := v1alpha1.WorkloadAutoscalerStatus{
		ObservedGeneration: generation, CurrentReplicas: record.CurrentReplicas, DesiredReplicas: record.DesiredReplicas,
		Outcome: string(record.Outcome), Reason: record.Reason, LastScaleTime: lastScale,
	}
	if len(record.Objectives) > 0 {
		recommended := record.RecommendedReplicas
		s.RecommendedReplicas = &recommended
	}
	for i := range record.Objectives {
		o := &record.Objectives[i]
		status := v1alpha1.ObjectiveStatus{Name: o.Name, State: string(o.State), Target: *quantity(o.Target), Replicas: o.Replicas, Reason: o.Reason}
		if o.Value != nil {
			status.Value = quantity(*o.Value)
		}
		if o.AgeSeconds != nil {
			status.Age = &metav1.Duration{Duration: time.Duration(math.Round(*o.AgeSeconds)) * time.Second}
		}
		s.Objectives = append(s.Objectives, status)
	}
	s.Conditions = append([]metav1.Condition(nil), old...)
	if replicas != nil {
		s.Conditions = conditions(replicas, generation, s.Conditions)
	} else {
		for _, kind := range []string{v1alpha1.AbleToScale, v1alpha1.ScalingActive, v1alpha1.ScalingLimited} {
			meta.RemoveStatusCondition(&s.Conditions, kind)
		}
	}
	return s
}

// quantity writes a number as thousandths, or as a whole number where thousandths would not fit.
func quantity(v float64) *resource.Quantity {
	if math.Abs(v) >= math.MaxInt64/1000 {
		return resource.NewQuantity(int64(math.Max(math.MinInt64, math.Min(v, math.MaxInt64/2))), resource.DecimalSI)
	}
	return resource.NewMilliQuantity(int64(math.Round(v*1000)), resource.DecimalSI)
}

// conditions adds what summarizes a record to a list.
func conditions(record *decision.Record, generation int64, old []metav1.Condition) []metav1.Condition {
	able, active, limited := true, true, false
	limitCode, limitReason := "WithinLimits", "no rule keeps the replicas from what the signals ask for"
	activeCode, activeReason := "SignalsKnown", "every signal is known"
	for i := range record.Verdicts {
		switch v := &record.Verdicts[i]; {
		case v.Rule == "ownership" && v.Action == decision.Hold:
			able = false
		case v.Rule == "enabled" && v.Action == decision.Hold, v.Rule == "freshness" && v.Code != "AllFresh":
			active, activeCode, activeReason = false, v.Code, v.Reason
		case v.Action == decision.Change && (v.Rule == "stabilization" || v.Rule == "rate" || v.Rule == "minMax"):
			limited, limitCode, limitReason = true, v.Code, v.Reason
		}
	}
	ableCode, ableReason := "TargetReachable", "the target can be read and nobody else scales it"
	if record.Outcome == decision.Failed || !able {
		able, ableCode, ableReason = false, record.Code, record.Reason
	}
	if len(record.Verdicts) == 0 {
		active, activeCode, activeReason = false, record.Code, record.Reason
	}
	list, at := old, metav1.NewTime(record.Time)
	set := func(kind string, holds bool, code, reason string) {
		status := metav1.ConditionFalse
		if holds {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&list, metav1.Condition{Type: kind, Status: status, Reason: code, Message: reason,
			ObservedGeneration: generation, LastTransitionTime: at})
	}
	set(v1alpha1.AbleToScale, able, ableCode, ableReason)
	set(v1alpha1.ScalingActive, active, activeCode, activeReason)
	set(v1alpha1.ScalingLimited, limited, limitCode, limitReason)
	return list
}
