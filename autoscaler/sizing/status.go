package sizing

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// ToStatus puts sizes into the form that a policy's status has, ordered by role and name. Nothing is shared with the sizes.
func ToStatus(sizes []ContainerSize) []v1alpha1.ContainerSizeStatus {
	out := make([]v1alpha1.ContainerSizeStatus, 0, len(sizes))
	for i := range sizes {
		s := &sizes[i]
		role := s.Role
		if role == "" {
			role = DefaultRole
		}
		out = append(out, v1alpha1.ContainerSizeStatus{
			Name: s.Container, Role: role,
			Target: s.Requests.DeepCopy(), Limits: s.Limits.DeepCopy(), Startup: s.Startup.DeepCopy(),
			Environment: maps.Clone(s.Environment),
			LowerBound:  s.Lower.DeepCopy(), UpperBound: s.Upper.DeepCopy(), Uncapped: s.Uncapped.DeepCopy(),
			Models: maps.Clone(s.Models), Confidence: int32(math.Round(100 * min(1, max(0, s.Confidence)))), Reason: s.Reason,
		})
	}
	slices.SortFunc(out, func(a, b v1alpha1.ContainerSizeStatus) int {
		if c := strings.Compare(a.Role, b.Role); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// FromStatus reads the sizes that a policy's status publishes. Which limits are to be removed follows from the policy. Whether a
// container is an init container is not in the status: Init is false.
func FromStatus(policy *v1alpha1.WorkloadAutoscaler) []ContainerSize {
	if policy.Spec.Vertical == nil || policy.Status.Vertical == nil {
		return nil
	}
	published := policy.Status.Vertical.Containers
	out := make([]ContainerSize, 0, len(published))
	for i := range published {
		p := &published[i]
		s := ContainerSize{
			Role: p.Role, Container: p.Name,
			Requests: p.Target.DeepCopy(), Limits: p.Limits.DeepCopy(), Startup: p.Startup.DeepCopy(),
			Environment: maps.Clone(p.Environment),
			Lower:       p.LowerBound.DeepCopy(), Upper: p.UpperBound.DeepCopy(), Uncapped: p.Uncapped.DeepCopy(),
			Models: maps.Clone(p.Models), Confidence: float64(p.Confidence) / 100, Reason: p.Reason,
		}
		if policyFor(policy.Spec.Vertical, p.Name).Limits == v1alpha1.LimitNone {
			for r := range p.Target {
				if _, has := p.Limits[r]; !has {
					s.RemoveLimits = append(s.RemoveLimits, r)
				}
			}
			slices.Sort(s.RemoveLimits)
		}
		out = append(out, s)
	}
	return out
}
