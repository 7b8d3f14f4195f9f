package disruption

import corev1 "k8s.io/api/core/v1"

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
