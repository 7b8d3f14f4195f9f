package sizing

import (
	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// qosClass is the class that Kubernetes gives a pod by what it requests: by its own resources where it has some, else by those of all
// its containers. It must not change in a resize.
func qosClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	if spec.Resources != nil && resourcehelper.IsPodLevelResourcesSet(&corev1.Pod{Spec: *spec}) {
		return requirementsClass(spec.Resources)
	}
	class := corev1.PodQOSClass("")
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			switch c := requirementsClass(&list[i].Resources); {
			case c == corev1.PodQOSBurstable, class != "" && class != c:
				return corev1.PodQOSBurstable
			default:
				class = c
			}
		}
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

func requirementsClass(r *corev1.ResourceRequirements) corev1.PodQOSClass {
	cpu, memory := resourceClass(r, corev1.ResourceCPU), resourceClass(r, corev1.ResourceMemory)
	if cpu != memory {
		return corev1.PodQOSBurstable
	}
	return cpu
}

func resourceClass(r *corev1.ResourceRequirements, name corev1.ResourceName) corev1.PodQOSClass {
	request, limit := r.Requests[name], r.Limits[name]
	switch {
	case !request.Equal(limit):
		return corev1.PodQOSBurstable
	case request.IsZero():
		return corev1.PodQOSBestEffort
	}
	return corev1.PodQOSGuaranteed
}

// declaredSum is what a pod's containers request together, by the rules for init containers and sidecars.
func declaredSum(spec *corev1.PodSpec, r corev1.ResourceName) float64 {
	return amount(resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{}), r)
}
