package disruption

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// finished pods hold nothing that could be moved.
func finished(s *subject) (PodVerdict, bool) {
	if hasFinished(s.pod) {
		return goes("Finished", "has finished")
	}
	return PodVerdict{}, false
}

// static pods are the kubelet's own; the API server only mirrors them.
func static(s *subject) (PodVerdict, bool) {
	if isStatic(s.pod, s.owner) {
		return goes("Static", "is a static pod of its node")
	}
	return PodVerdict{}, false
}

// daemonSet pods come and go with the node, unless they ask not to be disturbed.
func daemonSet(s *subject) (PodVerdict, bool) {
	if s.owner == nil || s.owner.Kind != "DaemonSet" {
		return PodVerdict{}, false
	}
	if v, asks := doNotDisrupt(s); asks {
		return v, true
	}
	return goes("DaemonSet", "belongs to the DaemonSet "+s.owner.Name)
}

// terminating pods leave by themselves, and whoever replaces them finds them a place. The drain waits for them.
func terminating(s *subject) (PodVerdict, bool) {
	if s.pod.DeletionTimestamp != nil {
		return goes("Terminating", "is being deleted already")
	}
	return PodVerdict{}, false
}

// Stationary is true for a pod that needs no other place when its node goes: it belongs to the node, has finished, or is being deleted.
// It is the cheap part of Inspector.Pod, for counting.
func Stationary(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return hasFinished(pod) || isStatic(pod, owner) || owner != nil && owner.Kind == "DaemonSet" || pod.DeletionTimestamp != nil
}

func hasFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func isStatic(pod *corev1.Pod, owner *metav1.OwnerReference) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror || owner != nil && owner.Kind == "Node"
}
