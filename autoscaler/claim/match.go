package claim

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Matches says whether a node is a claim's: by the provider's ID, and by the claim's name on the node as long as either does not know
// an ID. A node that carries another ID than the claim's machine is not its node, whatever its labels say.
func Matches(claim *v1alpha1.NodeClaim, node *corev1.Node) bool {
	if claim.Status.ProviderID != "" && node.Spec.ProviderID != "" {
		return claim.Status.ProviderID == node.Spec.ProviderID
	}
	return node.Labels[v1alpha1.LabelNodeClaim] == claim.Name || claim.Status.NodeName != "" && claim.Status.NodeName == node.Name
}

// NodeIndex finds the nodes of claims.
type NodeIndex struct {
	byID, byClaim, byName map[string]*corev1.Node
}

// NewNodeIndex indexes nodes. It keeps the pointers.
func NewNodeIndex(nodes []*corev1.Node) *NodeIndex {
	x := &NodeIndex{map[string]*corev1.Node{}, map[string]*corev1.Node{}, map[string]*corev1.Node{}}
	for _, n := range nodes {
		if n.Spec.ProviderID != "" {
			x.byID[n.Spec.ProviderID] = n
		}
		if claim := n.Labels[v1alpha1.LabelNodeClaim]; claim != "" {
			x.byClaim[claim] = n
		}
		x.byName[n.Name] = n
	}
	return x
}

// Find returns the node of a claim, nil when there is none.
func (x *NodeIndex) Find(claim *v1alpha1.NodeClaim) *corev1.Node {
	for _, n := range []*corev1.Node{x.byID[claim.Status.ProviderID], x.byClaim[claim.Name], x.byName[claim.Status.NodeName]} {
		if n != nil && Matches(claim, n) {
			return n
		}
	}
	return nil
}
