package oracle

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Completed is the pod as an API server would have it, in all that this corpus draws and a planner looks at, for use without one.
func Completed(pod *corev1.Pod) *corev1.Pod {
	p := pod.DeepCopy()
	var priority int32
	for _, class := range PriorityClasses() {
		if class.Name == p.Spec.PriorityClassName {
			priority, p.Spec.PreemptionPolicy = class.Value, class.PreemptionPolicy
		}
	}
	p.Spec.Priority = &priority
	if p.Spec.RuntimeClassName != nil {
		class := SandboxedClass()
		p.Spec.Overhead = class.Overhead.PodFixed
		selector := maps.Clone(class.Scheduling.NodeSelector)
		maps.Copy(selector, p.Spec.NodeSelector)
		p.Spec.NodeSelector = selector
	}
	return p
}
