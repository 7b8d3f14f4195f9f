package nodes

import (
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// relevance tells updates that change something here from those that do not, nil when all do. A cluster's pods and nodes are written
// thousands of times a second, and most of it is how containers fare.
func relevance(object client.Object) func(before, after client.Object) bool {
	switch object.(type) {
	case *corev1.Pod:
		return relevantPod
	case *coordinationv1.Lease:
		return nil
	}
	return func(before, after client.Object) bool {
		return before.GetResourceVersion() != after.GetResourceVersion()
	}
}

func relevantPod(before, after client.Object) bool {
	a, ok := before.(*corev1.Pod)
	b, also := after.(*corev1.Pod)
	if !ok || !also || a.UID != b.UID {
		return true
	}
	return a.ResourceVersion != b.ResourceVersion &&
		(a.Spec.NodeName != b.Spec.NodeName || a.Status.Phase != b.Status.Phase || a.Generation != b.Generation || a.Generation == 0 ||
			(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || a.Status.NominatedNodeName != b.Status.NominatedNodeName ||
			!sameMap(a.Labels, b.Labels) || !sameMap(a.Annotations, b.Annotations) || !slices.EqualFunc(a.Status.Conditions, b.Status.Conditions, sameCondition) ||
			len(a.Spec.SchedulingGates) != len(b.Spec.SchedulingGates) || len(a.Status.ResourceClaimStatuses) != len(b.Status.ResourceClaimStatuses) ||
			(a.Status.ExtendedResourceClaimStatus == nil) != (b.Status.ExtendedResourceClaimStatus == nil))
}

func sameCondition(a, b corev1.PodCondition) bool {
	return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason
}

func sameMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}
