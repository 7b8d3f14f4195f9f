package cluster

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// podRequests is what the scheduler counts for the pod: the larger of what its containers request together and what its init
// containers request one after another, sidecars on both sides, what is set for the pod as a whole in place of that, and the overhead
// of its RuntimeClass. Nothing is assumed for containers that request nothing.
//
// A pod on a node counts with the most of what it asks for, what the kubelet has set aside and what is in force, as long as a resize
// is under way, and without what it asks for once the kubelet has found that it can never have it. A pod that waits has only its spec.
func podRequests(pod *corev1.Pod) corev1.ResourceList {
	if pod.Spec.NodeName == "" {
		if list, ok := plainRequests(pod); ok {
			return list
		}
		return resource.PodRequests(pod, resource.PodResourcesOptions{})
	}
	if !resized(pod) {
		if list, ok := plainRequests(pod); ok {
			return list
		}
	}
	return resource.PodRequests(pod, resource.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true})
}

// plainRequests answers without arithmetic for a pod of one container and nothing else, which is what most pods are. The list may be
// the pod's own and must not be changed.
func plainRequests(pod *corev1.Pod) (corev1.ResourceList, bool) {
	if len(pod.Spec.InitContainers) > 0 || len(pod.Spec.Containers) != 1 || pod.Spec.Resources != nil || len(pod.Spec.Overhead) > 0 {
		return nil, false
	}
	return pod.Spec.Containers[0].Resources.Requests, true
}

// resized is true if the pod's status speaks of resources at all.
func resized(pod *corev1.Pod) bool {
	if pod.Status.AllocatedResources != nil || pod.Status.Resources != nil {
		return true
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if statuses[i].AllocatedResources != nil || statuses[i].Resources != nil {
				return true
			}
		}
	}
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodResizePending {
			return true
		}
	}
	return false
}
