package workload

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// status puts the last vertical decision into the form of a status. The webhook of every replica works from it.
func (m *verticalMemory) status(record *decision.Record, target v1alpha1.TargetReference, before *v1alpha1.VerticalStatus) *v1alpha1.VerticalStatus {
	s := &v1alpha1.VerticalStatus{
		TargetRef:  &target,
		Containers: sizing.ToStatus(m.sizes), PodsSized: m.sized, PodsTotal: m.total,
		Outcome: string(record.Outcome), Reason: record.Reason, LastResizeTime: m.lastResize, References: m.references,
	}
	if len(s.Containers) > 0 {
		at := metav1.NewTime(record.Time.Truncate(time.Second))
		s.SizesSince = &at
	}
	if before == nil || !before.About(target) {
		return s
	}
	if before.SizesSince != nil {
		s.SizesSince = before.SizesSince
	}
	if s.References == nil {
		// They outlive an evaluation that could not read its target.
		s.References = before.References
	}
	if s.LastResizeTime == nil {
		s.LastResizeTime = before.LastResizeTime
	}
	if m.sizes == nil {
		// Nothing was decided yet in this process: pods that are created go on getting what was decided before.
		s.Containers = before.Containers
	}
	return s
}

// withoutEstimates leaves out what moves with every sample: it is written along with something else and is no reason to write.
func withoutEstimates(s *v1alpha1.VerticalStatus) *v1alpha1.VerticalStatus {
	if s == nil {
		return nil
	}
	slim := *s
	slim.Containers = make([]v1alpha1.ContainerSizeStatus, len(s.Containers))
	for i, c := range s.Containers {
		c.LowerBound, c.UpperBound, c.Uncapped, c.Confidence, c.Reason = nil, nil, nil, 0, ""
		slim.Containers[i] = c
	}
	return &slim
}

// otherSizes reports whether pods that are created get other sizes by one status than by the other.
func otherSizes(a, b *v1alpha1.VerticalStatus) bool {
	if a == nil || b == nil {
		return a != b
	}
	if len(a.Containers) != len(b.Containers) {
		return true
	}
	for i := range a.Containers {
		c, d := &a.Containers[i], &b.Containers[i]
		if c.Name != d.Name || c.Role != d.Role || !equality.Semantic.DeepEqual(c.Target, d.Target) ||
			!equality.Semantic.DeepEqual(c.Limits, d.Limits) || !equality.Semantic.DeepEqual(c.Startup, d.Startup) {
			return true
		}
	}
	return false
}

// setSized says in a condition whether the pods have what they should have.
func setSized(s *v1alpha1.WorkloadAutoscalerStatus, record *decision.Record, generation int64) {
	condition := metav1.Condition{Type: v1alpha1.Sized, Status: metav1.ConditionTrue, Reason: "AllPodsSized",
		Message:            fmt.Sprintf("%d of %d pods have the sizes", s.Vertical.PodsSized, s.Vertical.PodsTotal),
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(record.Time)}
	if s.Vertical.PodsSized < s.Vertical.PodsTotal || record.Outcome == decision.Failed {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, record.Code, record.Reason
	}
	meta.SetStatusCondition(&s.Conditions, condition)
}
