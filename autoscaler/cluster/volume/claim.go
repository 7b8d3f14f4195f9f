package volume

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	storagehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

// bound is true once the claim has its volume for good.
func bound(claim *corev1.PersistentVolumeClaim) bool {
	_, done := claim.Annotations[storagehelpers.AnnBindCompleted]
	return claim.Spec.VolumeName != "" && done
}

// addBound adds where a claim's volume can be reached from. Zoned is false for claims whose volumes' zone labels do not count.
func (c *Catalog) addBound(n *Needs, claim *corev1.PersistentVolumeClaim, zoned bool) {
	v := c.volumes[claim.Spec.VolumeName]
	if v == nil {
		n.fail("claim %s/%s is bound to volume %s, which does not exist", claim.Namespace, claim.Name, claim.Spec.VolumeName)
		return
	}
	if affinity := affinityOf(v); affinity != nil {
		n.Terms = append(n.Terms, affinity)
	}
	if zoned {
		n.Terms = append(n.Terms, zonesOf(v)...)
	}
}

// affinityOf is nil where the volume can be reached from everywhere.
func affinityOf(v *corev1.PersistentVolume) *corev1.NodeSelector {
	if v.Spec.NodeAffinity == nil {
		return nil
	}
	return v.Spec.NodeAffinity.Required
}

var (
	// zoneLabels are those of volumes from before volumes had a node affinity, and what the newer name of each is on a node.
	zoneLabels = []struct{ volume, node string }{
		{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
		{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
		{corev1.LabelTopologyZone, corev1.LabelTopologyZone},
		{corev1.LabelTopologyRegion, corev1.LabelTopologyRegion},
	}
	// A node without any of the four labels is taken to be in the only zone that there is.
	noZone = func() corev1.NodeSelectorTerm {
		var t corev1.NodeSelectorTerm
		for _, l := range zoneLabels {
			t.MatchExpressions = append(t.MatchExpressions, corev1.NodeSelectorRequirement{Key: l.volume, Operator: corev1.NodeSelectorOpDoesNotExist})
		}
		return t
	}()
)

// zonesOf are the requirements of a volume's zone labels. A label may name several zones, joined by two underscores.
func zonesOf(v *corev1.PersistentVolume) []*corev1.NodeSelector {
	var out []*corev1.NodeSelector
	for _, l := range zoneLabels {
		value, labelled := v.Labels[l.volume]
		if !labelled {
			continue
		}
		names := strings.Split(value, "__")
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		if slices.Contains(names, "") {
			continue // not a list of zones; the scheduler passes over it as well
		}
		// What could not be a node's label is nobody's zone, and would make the whole selector invalid.
		names = slices.DeleteFunc(names, func(s string) bool { return len(validation.IsValidLabelValue(s)) > 0 })
		selector := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{noZone}}
		if len(names) > 0 {
			in := func(key string) corev1.NodeSelectorRequirement {
				return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: names}
			}
			selector.NodeSelectorTerms = append(selector.NodeSelectorTerms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{in(l.volume)}})
			if l.node != l.volume {
				selector.NodeSelectorTerms = append(selector.NodeSelectorTerms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: l.volume, Operator: corev1.NodeSelectorOpDoesNotExist}, in(l.node),
				}})
			}
		}
		out = append(out, selector)
	}
	return out
}

// Choice is a claim that one of several volumes may serve, or a new one.
type Choice struct {
	// Claim is its namespace and name.
	Claim string
	// candidates, the smallest first.
	candidates []candidate
	// provision is nil when no volume can be made for the claim.
	provision *provision
	size      resource.Quantity
}

type candidate struct {
	volume   string
	affinity *corev1.NodeSelector
}

// provision says where a volume can be made: on nodes that match both, each nil where it does not matter.
type provision struct {
	topology, capacity *corev1.NodeSelector
}

// addUnbound adds what a claim asks for that has no volume yet.
func (c *Catalog) addUnbound(n *Needs, claim *corev1.PersistentVolumeClaim) {
	key := claim.Namespace + "/" + claim.Name
	if claim.Spec.VolumeName != "" {
		n.fail("claim %s waits for volume %s to be bound to it", key, claim.Spec.VolumeName)
		return
	}
	name := storagehelpers.GetPersistentVolumeClaimClass(claim)
	class := c.classes[name]
	switch {
	case name == "":
		n.fail("claim %s has no storage class and is not bound to a volume", key)
		return
	case class == nil:
		n.fail("claim %s names storage class %s, which does not exist", key, name)
		return
	case ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) != storagev1.VolumeBindingWaitForFirstConsumer:
		n.fail("claim %s is not bound: storage class %s binds at once, without waiting for a pod", key, name)
		return
	}
	n.Unbound = append(n.Unbound, key)
	provision, why := c.provisionOf(claim, class)
	if node, selected := claim.Annotations[storagehelpers.AnnSelectedNode]; selected {
		// A volume is being made for this node: only there the pod can run until the driver succeeds or gives the node up.
		if provision == nil {
			n.fail("claim %s: %s", key, why)
			return
		}
		n.Terms = append(n.Terms, &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}})
		n.Terms = provision.terms(n.Terms)
		return
	}
	candidates := c.candidatesOf(claim, name)
	if len(candidates) == 0 {
		if provision == nil {
			n.fail("no volume serves claim %s, and %s", key, why)
			return
		}
		n.Terms = provision.terms(n.Terms)
		return
	}
	n.Choices = append(n.Choices, Choice{Claim: key, candidates: candidates, provision: provision, size: claim.Spec.Resources.Requests[corev1.ResourceStorage]})
	if where := anyOf(candidates, provision); where != nil {
		n.Terms = append(n.Terms, where)
	}
}

func (p *provision) terms(terms []*corev1.NodeSelector) []*corev1.NodeSelector {
	for _, t := range []*corev1.NodeSelector{p.topology, p.capacity} {
		if t != nil {
			terms = append(terms, t)
		}
	}
	return terms
}

// anyOf matches every node on which the claim could be served, and nil means all. Where capacities are tracked too it may match some
// on which there is not enough: Reservations look again.
func anyOf(candidates []candidate, p *provision) *corev1.NodeSelector {
	out := &corev1.NodeSelector{}
	for _, c := range candidates {
		if c.affinity == nil {
			return nil
		}
		out.NodeSelectorTerms = append(out.NodeSelectorTerms, c.affinity.NodeSelectorTerms...)
	}
	if p != nil {
		where := p.topology
		if where == nil {
			where = p.capacity
		}
		if where == nil {
			return nil
		}
		out.NodeSelectorTerms = append(out.NodeSelectorTerms, where.NodeSelectorTerms...)
	}
	return out
}

// provisionOf says where a volume of the class can be made for the claim, or why nowhere.
func (c *Catalog) provisionOf(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) (*provision, string) {
	if class.Provisioner == "" || class.Provisioner == storagehelpers.NotSupportedProvisioner {
		return nil, "storage class " + class.Name + " makes none"
	}
	p := &provision{}
	if len(class.AllowedTopologies) > 0 {
		p.topology = &corev1.NodeSelector{}
		for _, t := range class.AllowedTopologies {
			var term corev1.NodeSelectorTerm
			for _, e := range t.MatchLabelExpressions {
				term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: e.Key, Operator: corev1.NodeSelectorOpIn, Values: e.Values})
			}
			p.topology.NodeSelectorTerms = append(p.topology.NodeSelectorTerms, term)
		}
	}
	size, sized := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	driver := c.drivers[class.Provisioner]
	if !sized || driver == nil || !ptr.Deref(driver.Spec.StorageCapacity, false) {
		return p, ""
	}
	// The driver says how much is left where, and the scheduler believes it.
	p.capacity = &corev1.NodeSelector{}
	for _, k := range c.capacities[class.Name] {
		left := k.MaximumVolumeSize
		if left == nil {
			left = k.Capacity
		}
		if left == nil || left.Value() < size.Value() || k.NodeTopology == nil {
			continue
		}
		term, ok := labelTerm(k.NodeTopology)
		if !ok {
			continue
		}
		if len(term.MatchExpressions) == 0 {
			p.capacity = nil
			return p, ""
		}
		p.capacity.NodeSelectorTerms = append(p.capacity.NodeSelectorTerms, term)
	}
	if len(p.capacity.NodeSelectorTerms) == 0 {
		return nil, "driver " + driver.Name + " has not enough room left anywhere for " + size.String() + " of storage class " + class.Name
	}
	// By their text, so that equal claims have equal needs whatever order a map is read in.
	slices.SortFunc(p.capacity.NodeSelectorTerms, func(a, b corev1.NodeSelectorTerm) int { return cmp.Compare(a.String(), b.String()) })
	return p, ""
}

// labelTerm says in a node selector's words what a label selector says; false for an invalid one.
func labelTerm(s *metav1.LabelSelector) (corev1.NodeSelectorTerm, bool) {
	var term corev1.NodeSelectorTerm
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return term, false
	}
	for key, value := range s.MatchLabels {
		term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}})
	}
	slices.SortFunc(term.MatchExpressions, func(a, b corev1.NodeSelectorRequirement) int { return strings.Compare(a.Key, b.Key) })
	for _, e := range s.MatchExpressions {
		term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: e.Key, Operator: corev1.NodeSelectorOperator(e.Operator), Values: e.Values})
	}
	return term, true
}

// candidatesOf are the volumes that may serve the claim, the smallest first. A volume that waits for this claim shuts out the others.
func (c *Catalog) candidatesOf(claim *corev1.PersistentVolumeClaim, class string) []candidate {
	var fitting []*corev1.PersistentVolume
	selector := labels.Everything()
	if claim.Spec.Selector != nil {
		s, err := metav1.LabelSelectorAsSelector(claim.Spec.Selector)
		if err != nil {
			return nil
		}
		selector = s
	}
	request := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	for _, v := range c.free[class] {
		capacity := v.Spec.Capacity[corev1.ResourceStorage]
		if v.Spec.ClaimRef != nil && !storagehelpers.IsVolumeBoundToClaim(v, claim) ||
			capacity.Cmp(request) < 0 ||
			storagehelpers.CheckVolumeModeMismatches(&claim.Spec, &v.Spec) ||
			ptr.Deref(claim.Spec.VolumeAttributesClassName, "") != ptr.Deref(v.Spec.VolumeAttributesClassName, "") {
			continue
		}
		if v.Spec.ClaimRef != nil {
			return []candidate{{volume: v.Name, affinity: affinityOf(v)}}
		}
		if selector.Matches(labels.Set(v.Labels)) && storagehelpers.CheckAccessModes(claim, v) {
			fitting = append(fitting, v)
		}
	}
	slices.SortFunc(fitting, func(a, b *corev1.PersistentVolume) int {
		x, y := a.Spec.Capacity[corev1.ResourceStorage], b.Spec.Capacity[corev1.ResourceStorage]
		return cmp.Or(x.Cmp(y), strings.Compare(a.Name, b.Name))
	})
	out := make([]candidate, len(fitting))
	for i, v := range fitting {
		out[i] = candidate{volume: v.Name, affinity: affinityOf(v)}
	}
	return out
}
