package vpa

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Target names a workload. Versions of one kind are one target.
type Target struct {
	Namespace, Group, Kind, Name string
}

// TargetOf returns the target of a VerticalPodAutoscaler. It reports false when it has none.
func TargetOf(v *vpav1.VerticalPodAutoscaler) (Target, bool) {
	ref := v.Spec.TargetRef
	if ref == nil || ref.Kind == "" || ref.Name == "" {
		return Target{}, false
	}
	group := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
	if ref.APIVersion == "" {
		// The VerticalPodAutoscaler goes by the kind alone.
		group = wellKnown[ref.Kind].Group
	}
	return Target{Namespace: v.Namespace, Group: group, Kind: ref.Kind, Name: ref.Name}, true
}

// Owners says to which targets a VerticalPodAutoscaler applies sizes, whoever recommends them, with the first of its names. One
// with mode Off applies nothing, unless it boosts starts: those it boosts in any mode.
func Owners(vpas []vpav1.VerticalPodAutoscaler) map[Target]string {
	owners := map[Target]string{}
	for i := range vpas {
		v := &vpas[i]
		if modeOf(v.Spec.UpdatePolicy) == vpav1.UpdateModeOff && !boosts(v) {
			continue
		}
		target, ok := TargetOf(v)
		if !ok {
			continue
		}
		if first, taken := owners[target]; !taken || v.Name < first {
			owners[target] = v.Name
		}
	}
	return owners
}

func boosts(v *vpav1.VerticalPodAutoscaler) bool {
	if v.Spec.StartupBoost != nil {
		return true
	}
	if v.Spec.ResourcePolicy != nil {
		for i := range v.Spec.ResourcePolicy.ContainerPolicies {
			if v.Spec.ResourcePolicy.ContainerPolicies[i].StartupBoost != nil {
				return true
			}
		}
	}
	return false
}
