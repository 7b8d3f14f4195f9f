package workload

import (
	"cmp"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// targetKey names a target. Versions of one kind are one target.
type targetKey struct {
	namespace, group, kind, name string
}

func keyOf(namespace, apiVersion, kind, name string) targetKey {
	return targetKey{namespace, schema.FromAPIVersionAndKind(apiVersion, kind).Group, kind, name}
}

// owners says who scales which target.
type owners struct {
	horizontal map[targetKey]string
	// policies holds the policy that owns a target: the oldest of those that act.
	policies map[targetKey]*v1alpha1.WorkloadAutoscaler
}

// newOwners finds the owners among what the cluster has. An HPA goes before any policy, an older policy before a younger one.
func newOwners(hpas []autoscalingv2.HorizontalPodAutoscaler, policies []v1alpha1.WorkloadAutoscaler) owners {
	o := owners{horizontal: map[targetKey]string{}, policies: map[targetKey]*v1alpha1.WorkloadAutoscaler{}}
	for i := range hpas {
		h := &hpas[i]
		ref := h.Spec.ScaleTargetRef
		key := keyOf(h.Namespace, ref.APIVersion, ref.Kind, ref.Name)
		if first, ok := o.horizontal[key]; !ok || h.Name < first {
			o.horizontal[key] = h.Name
		}
	}
	for i := range policies {
		p := &policies[i]
		if p.Spec.Mode != v1alpha1.Apply || p.DeletionTimestamp != nil {
			continue
		}
		key := policyTarget(p)
		if first, ok := o.policies[key]; !ok || older(p, first) {
			o.policies[key] = p
		}
	}
	return o
}

func policyTarget(p *v1alpha1.WorkloadAutoscaler) targetKey {
	return keyOf(p.Namespace, p.Spec.TargetRef.APIVersion, p.Spec.TargetRef.Kind, p.Spec.TargetRef.Name)
}

func older(a, b *v1alpha1.WorkloadAutoscaler) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// other names whoever else owns a policy's target, empty when nobody does.
func (o owners) other(p *v1alpha1.WorkloadAutoscaler) string {
	key := policyTarget(p)
	if name, ok := o.horizontal[key]; ok {
		return fmt.Sprintf("HorizontalPodAutoscaler %s", name)
	}
	if owner, ok := o.policies[key]; ok && owner.Name != p.Name {
		return fmt.Sprintf("WorkloadAutoscaler %s", owner.Name)
	}
	return ""
}
