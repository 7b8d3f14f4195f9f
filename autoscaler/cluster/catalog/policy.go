package catalog

import (
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Validate says what in a policy's requirements and priorities cannot be understood. Errors name the field.
func Validate(policy *v1alpha1.NodePolicy) error {
	_, err := newSelection(policy)
	return err
}

// Apply returns copies of the offers that the policy allows, as nodes would be under it: with its name, weight and rank, the template's
// labels and taints, and the label that names the policy. Requirements are asked of all these labels. A policy that Validate refuses
// allows none. The offers given are not changed.
func Apply(policy *v1alpha1.NodePolicy, offers []cluster.Offer) []cluster.Offer {
	s, err := newSelection(policy)
	if err != nil {
		return nil
	}
	var under []cluster.Offer
	for _, o := range offers {
		if groups := policy.Spec.Provider.Groups; len(groups) > 0 && !slices.Contains(groups, o.Group) {
			continue
		}
		o.Labels = nodeLabels(policy, &o)
		node := &corev1.Node{}
		node.Labels = o.Labels
		if !s.allowed.Match(node) {
			continue
		}
		o.Policy, o.Weight = policy.Name, policy.Spec.Weight
		o.Taints = append(slices.Clip(o.Taints), policy.Spec.Template.Taints...)
		o.Rank = slices.IndexFunc(s.priorities, func(p *nodeaffinity.NodeSelector) bool { return p.Match(node) })
		if o.Rank < 0 {
			o.Rank = len(s.priorities)
		}
		under = append(under, o)
	}
	return under
}

// nodeLabels are those of a node. The template has no say in what a machine is and where.
func nodeLabels(policy *v1alpha1.NodePolicy, o *cluster.Offer) map[string]string {
	labels := maps.Clone(policy.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range o.Labels {
		if _, templated := labels[k]; !templated || given[k] {
			labels[k] = v
		}
	}
	labels[v1alpha1.LabelNodePolicy] = policy.Name
	return labels
}

var given = map[string]bool{
	corev1.LabelInstanceTypeStable: true,
	corev1.LabelArchStable:         true,
	corev1.LabelOSStable:           true,
	corev1.LabelTopologyZone:       true,
	corev1.LabelTopologyRegion:     true,
	LabelCapacityType:              true,
}

// selection is a policy's requirements and priorities, understood.
type selection struct {
	allowed    *nodeaffinity.NodeSelector
	priorities []*nodeaffinity.NodeSelector
}

func newSelection(policy *v1alpha1.NodePolicy) (selection, error) {
	spec := field.NewPath("spec")
	allowed, err := newSelector(policy.Spec.Requirements, spec.Child("requirements"))
	if err != nil {
		return selection{}, err
	}
	s := selection{allowed: allowed}
	for i, p := range policy.Spec.Priorities {
		path := spec.Child("priorities").Index(i).Child("requirements")
		if len(p.Requirements) == 0 {
			return selection{}, field.Required(path, "")
		}
		selector, err := newSelector(p.Requirements, path)
		if err != nil {
			return selection{}, err
		}
		s.priorities = append(s.priorities, selector)
	}
	return s, nil
}

// newSelector understands requirements, all of which must hold.
func newSelector(requirements []corev1.NodeSelectorRequirement, path *field.Path) (*nodeaffinity.NodeSelector, error) {
	if len(requirements) == 0 {
		// A term without requirements matches nothing, and no requirements must match everything.
		requirements = []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpDoesNotExist}}
	}
	// One term each, so that an error names the index of the requirement; asked one after the other they would be ORed.
	for i, r := range requirements {
		term := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{r}}}}
		if _, err := nodeaffinity.NewNodeSelector(term); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Index(i), err)
		}
	}
	return nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: requirements}}})
}

// Limits returns what the planner needs to know of the policy. What may still be bought is the limit less what status.charged holds,
// and never negative. The caller fills in Owned.
func Limits(policy *v1alpha1.NodePolicy) cluster.Policy {
	p := cluster.Policy{Name: policy.Name, Expander: string(policy.Spec.Expander)}
	limits, charged := policy.Spec.Limits, policy.Status.Charged
	if limits == nil {
		return p
	}
	if limits.CPU != nil {
		left := max(0, saturated(limits.CPU.MilliValue(), charged.CPU.MilliValue()))
		p.Left.MilliCPU = &left
	}
	if limits.Memory != nil {
		left := max(0, saturated(limits.Memory.Value(), charged.Memory.Value()))
		p.Left.Memory = &left
	}
	if limits.Nodes != nil {
		left := max(0, int(*limits.Nodes)-int(charged.Nodes))
		p.Left.Nodes = &left
	}
	if limits.PricePerHour != nil {
		left := max(0, amount(limits.PricePerHour)-amount(&charged.PricePerHour))
		p.Left.PricePerHour = &left
	}
	return p
}

func saturated(limit, charged int64) int64 {
	if charged < 0 && limit > math.MaxInt64+charged {
		return math.MaxInt64
	}
	return limit - charged
}

func amount(q *resource.Quantity) float64 { return q.AsApproximateFloat64() }
