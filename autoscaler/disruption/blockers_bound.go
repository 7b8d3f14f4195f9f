package disruption

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// finished pods hold nothing that could be moved.
func finished(s *subject) (PodVerdict, bool) {
	switch s.pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		return goes("Finished", "has finished")
	}
	return PodVerdict{}, false
}

// static pods are the kubelet's own; the API server only mirrors them.
func static(s *subject) (PodVerdict, bool) {
	if _, mirror := s.pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror || s.owner != nil && s.owner.Kind == "Node" {
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
func Stationary(pod *corev1.Pod) bool {
	s := &subject{pod: pod, owner: metav1.GetControllerOfNoCopy(pod)}
	for _, judge := range []func(*subject) (PodVerdict, bool){finished, static, daemonSet, terminating} {
		if v, applies := judge(s); applies {
			return v.Fate == Goes
		}
	}
	return false
}
