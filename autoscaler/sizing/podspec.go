package sizing

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// resized is a pod's spec after a step.
func resized(spec *corev1.PodSpec, containers map[string]corev1.ResourceRequirements) *corev1.PodSpec {
	next := *spec
	next.Containers, next.InitContainers = slices.Clone(spec.Containers), slices.Clone(spec.InitContainers)
	for _, list := range [][]corev1.Container{next.Containers, next.InitContainers} {
		for i := range list {
			if to, ok := containers[list[i].Name]; ok {
				list[i].Resources = to
			}
		}
	}
	return &next
}

// keepsClass reports whether a resize keeps the pod's QoS class. A Burstable pod whose requests would all become equal to their limits
// requests one millicore less.
func keepsClass(from, next *corev1.PodSpec, containers map[string]corev1.ResourceRequirements) bool {
	class := qosClass(from)
	if qosClass(next) == class {
		return true
	}
	if class != corev1.PodQOSBurstable || qosClass(next) != corev1.PodQOSGuaranteed || from.Resources != nil {
		return false
	}
	for name, to := range containers {
		if cpu := amount(to.Requests, corev1.ResourceCPU); cpu > minCPU {
			to.Requests[corev1.ResourceCPU] = quantity(corev1.ResourceCPU, cpu-minCPU)
			containers[name] = to
			return true
		}
	}
	return false
}

// podResources is what a pod requests for itself after its containers were resized, nil when it has nothing of its own or that stays.
// It keeps its proportion to what its containers request together, and is never below that.
func (in *Input) podResources(pod *corev1.Pod, next *corev1.PodSpec) *corev1.ResourceRequirements {
	own := pod.Spec.Resources
	if own == nil || len(own.Requests)+len(own.Limits) == 0 {
		return nil
	}
	to := own.DeepCopy()
	changed := false
	for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		before, after := declaredSum(&pod.Spec, r), declaredSum(next, r)
		if before == after {
			continue
		}
		request, limit := amount(own.Requests, r), amount(own.Limits, r)
		factor := 1.0
		if before > 0 {
			factor = after / before
		}
		if request > 0 {
			set(&to.Requests, r, max(roundUp(r, request*factor), after))
			changed = true
		}
		if limit > 0 {
			least := max(amount(to.Requests, r), largestLimit(next, r))
			set(&to.Limits, r, max(roundUp(r, limit*factor), least))
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return to
}

func largestLimit(spec *corev1.PodSpec, r corev1.ResourceName) float64 {
	v := 0.0
	for _, list := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range list {
			v = max(v, amount(list[i].Resources.Limits, r))
		}
	}
	return v
}
