package workload

import (
	"cmp"
	"fmt"
	"strings"

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
	// scalers and sizers hold the policies that own a target's replicas and its sizes: the oldest of those that act.
	scalers, sizers map[targetKey]*v1alpha1.WorkloadAutoscaler
	// vertical names the VerticalPodAutoscaler, or whatever else sizes a target.
	vertical map[targetKey]string
	// unknown is why that is not known, nil when it is.
	unknown error
}

// newOwners finds the owners among what the cluster has. An HPA goes before any policy, an older policy before a younger one.
func newOwners(hpas []autoscalingv2.HorizontalPodAutoscaler, policies []v1alpha1.WorkloadAutoscaler) owners {
	o := owners{
		horizontal: map[targetKey]string{}, vertical: map[targetKey]string{},
		scalers: map[targetKey]*v1alpha1.WorkloadAutoscaler{}, sizers: map[targetKey]*v1alpha1.WorkloadAutoscaler{},
	}
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
		if p.Spec.Horizontal != nil {
			own(o.scalers, key, p)
		}
		if p.Spec.Vertical != nil && p.Spec.Vertical.Apply != v1alpha1.ApplyOff {
			own(o.sizers, key, p)
		}
	}
	return o
}

// sizedBy takes in who else sizes which targets. While that is not known, somebody may.
func (o *owners) sizedBy(sizers map[Sized]string, err error) {
	o.unknown = err
	for target, name := range sizers {
		o.vertical[targetKey{target.Namespace, target.Group, target.Kind, target.Name}] = name
	}
}

func own(owners map[targetKey]*v1alpha1.WorkloadAutoscaler, key targetKey, p *v1alpha1.WorkloadAutoscaler) {
	if first, ok := owners[key]; !ok || older(p, first) {
		owners[key] = p
	}
}

func policyTarget(p *v1alpha1.WorkloadAutoscaler) targetKey {
	return keyOf(p.Namespace, p.Spec.TargetRef.APIVersion, p.Spec.TargetRef.Kind, p.Spec.TargetRef.Name)
}

func older(a, b *v1alpha1.WorkloadAutoscaler) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// nobodyKnows stands for whoever may size a target while that is not known.
const nobodyKnows = "somebody else, perhaps, for it is not known who does"

// unknownOwner reports whether a reason is that it is not known who sizes a target.
func unknownOwner(reason string) bool { return strings.Contains(reason, nobodyKnows) }

// otherSizer names whoever else sizes a policy's target, empty when nobody does.
func (o owners) otherSizer(p *v1alpha1.WorkloadAutoscaler) string {
	if o.unknown != nil {
		return fmt.Sprintf("%s (%v),", nobodyKnows, o.unknown)
	}
	key := policyTarget(p)
	if name, ok := o.vertical[key]; ok {
		return name
	}
	if owner, ok := o.sizers[key]; ok && owner.Name != p.Name {
		return fmt.Sprintf("WorkloadAutoscaler %s", owner.Name)
	}
	return ""
}

// other names whoever else scales a policy's target, empty when nobody does.
func (o owners) other(p *v1alpha1.WorkloadAutoscaler) string {
	key := policyTarget(p)
	if name, ok := o.horizontal[key]; ok {
		return fmt.Sprintf("HorizontalPodAutoscaler %s", name)
	}
	if owner, ok := o.scalers[key]; ok && owner.Name != p.Name {
		return fmt.Sprintf("WorkloadAutoscaler %s", owner.Name)
	}
	return ""
}
