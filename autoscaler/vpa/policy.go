package vpa

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Resources are what a VerticalPodAutoscaler sizes of a container: of CPU and memory those that its policy controls, none with mode
// Off.
func Resources(v *vpav1.VerticalPodAutoscaler, container string) []corev1.ResourceName {
	sized := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	p := policyFor(v, container)
	switch {
	case p == nil:
		return sized
	case p.Mode != nil && *p.Mode == vpav1.ContainerScalingModeOff:
		return nil
	case p.ControlledResources == nil:
		return sized
	}
	return slices.DeleteFunc(sized, func(r corev1.ResourceName) bool { return !slices.Contains(*p.ControlledResources, r) })
}

// policyFor is the policy of a container: the first with its name, else the last for all others, else nil.
func policyFor(v *vpav1.VerticalPodAutoscaler, container string) *vpav1.ContainerResourcePolicy {
	if v.Spec.ResourcePolicy == nil {
		return nil
	}
	var others *vpav1.ContainerResourcePolicy
	for i := range v.Spec.ResourcePolicy.ContainerPolicies {
		switch p := &v.Spec.ResourcePolicy.ContainerPolicies[i]; p.ContainerName {
		case container:
			return p
		case vpav1.DefaultContainerResourcePolicy:
			others = p
		}
	}
	return others
}

// within is a quantity within what the policy allows. The most counts before the least, and a bound of 0 is none.
func within(p *vpav1.ContainerResourcePolicy, name corev1.ResourceName, q resource.Quantity) resource.Quantity {
	if p == nil {
		return q
	}
	if least, ok := p.MinAllowed[name]; ok && least.Sign() > 0 && q.Cmp(least) < 0 {
		q = least
	}
	if most, ok := p.MaxAllowed[name]; ok && most.Sign() > 0 && q.Cmp(most) > 0 {
		q = most
	}
	return q
}

// check finds what makes a specification one that cannot be followed. Errors begin with the field.
func check(v *vpav1.VerticalPodAutoscaler) error {
	if _, ok := TargetOf(v); !ok {
		return fmt.Errorf("spec.targetRef: kind and name must be set")
	}
	if n := len(v.Spec.Recommenders); n > 1 {
		return fmt.Errorf("spec.recommenders: there are %d, and only one can write the status", n)
	}
	if v.Spec.ResourcePolicy == nil {
		return nil
	}
	seen := map[string]bool{}
	for i := range v.Spec.ResourcePolicy.ContainerPolicies {
		p := &v.Spec.ResourcePolicy.ContainerPolicies[i]
		path := fmt.Sprintf("spec.resourcePolicy.containerPolicies[%d].", i)
		switch {
		case p.ContainerName == "":
			return fmt.Errorf("%scontainerName: must be set", path)
		case seen[p.ContainerName]:
			return fmt.Errorf("%scontainerName: there is a policy for %s already", path, p.ContainerName)
		}
		seen[p.ContainerName] = true
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			least, most := p.MinAllowed[name], p.MaxAllowed[name]
			switch {
			case least.Sign() < 0:
				return fmt.Errorf("%sminAllowed.%s: must not be negative", path, name)
			case most.Sign() < 0:
				return fmt.Errorf("%smaxAllowed.%s: must not be negative", path, name)
			case most.Sign() > 0 && least.Cmp(most) > 0:
				return fmt.Errorf("%sminAllowed.%s: %s is above maxAllowed, %s", path, name, least.String(), most.String())
			}
		}
	}
	return nil
}
