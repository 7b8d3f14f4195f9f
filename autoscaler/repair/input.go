package repair

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Input is everything that a decision is made from. Nothing in it but Memory is changed.
type Input struct {
	Now      time.Time
	Policies []Policy
	// Nodes are all nodes of the cluster, and all claims that have no node. A policy's storm breaker counts its own; whether a source
	// is silent for all nodes at once is seen from all of them.
	Nodes []Node
	// Leases are the kubelets' in kube-node-lease (spec.renewTime), Collectors the newest sample of each node agent.
	Leases, Collectors Heard
	// Answers to the policies' queries. A rule without an entry has no answer.
	Answers map[RuleID]Answer
	// Memory is the one that the previous decision was made with; a new one after a start.
	Memory *Memory
}

// Policy is a NodePolicy and what its provider can do.
type Policy struct {
	*v1alpha1.NodePolicy
	// Steps are those of the ladder that the provider can take besides Replace.
	Steps []v1alpha1.RepairStep
	// ReadOnly providers delete nothing: nodes are judged, and nothing is done.
	ReadOnly bool
}

// Node is a node, a claim without one, or both.
type Node struct {
	// Node is nil while the claim has none.
	Node *corev1.Node
	// Claim is nil for a node that was not made by us. It is judged, and never acted upon.
	Claim *v1alpha1.NodeClaim
	// DoNotDisrupt says who asks for the node to be left alone beside its own annotation, such as "pod shop/db-0"; empty for nobody.
	DoNotDisrupt string
}

// RuleID names a rule of a policy.
type RuleID struct{ Policy, Rule string }

// Answer is what a query gave.
type Answer struct {
	// State is Fresh for an answer that can be used, an empty one included. Any other one never counts against a node.
	State decision.State
	// Reason says why it cannot be used.
	Reason string
	// Values are the highest of each node's series, by the label node.
	Values map[string]float64
}

// Add keeps the highest value of a node's series. Values that are no finite numbers are left out.
func (a *Answer) Add(node string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	if a.Values == nil {
		a.Values = make(map[string]float64)
	}
	if v, ok := a.Values[node]; !ok || value > v {
		a.Values[node] = value
	}
}

// Heard is when each node was heard of last through one source.
type Heard struct {
	// State is Fresh when the source itself answers. Otherwise nothing is known, and Reason says why.
	State  decision.State
	Reason string
	// At is by node name, in the sender's own clock: only that it changes counts, and when it was seen to, so that a node's clock may
	// be wrong by any amount. A node that is missing keeps what was heard of it before.
	At map[string]time.Time
}

// name is the node's, or that of the claim while there is no node.
func (n *Node) name() string {
	switch {
	case n.Node != nil:
		return n.Node.Name
	case n.Claim != nil && n.Claim.Status.NodeName != "":
		return n.Claim.Status.NodeName
	case n.Claim != nil:
		return n.Claim.Name
	}
	return ""
}

func (n *Node) policy() string {
	if n.Claim != nil {
		return n.Claim.Spec.Policy
	}
	if n.Node != nil {
		return n.Node.Labels[v1alpha1.LabelNodePolicy]
	}
	return ""
}

func (n *Node) zone() string {
	if n.Node != nil {
		if z := n.Node.Labels[corev1.LabelTopologyZone]; z != "" {
			return z
		}
	}
	if n.Claim != nil {
		return n.Claim.Spec.Offer.Zone
	}
	return ""
}

// identity changes when another machine comes under the same name: what is remembered of the one must not count against the other.
func (n *Node) identity() string {
	if n.Claim != nil {
		return string(n.Claim.UID)
	}
	if n.Node != nil {
		return string(n.Node.UID)
	}
	return ""
}

func (n *Node) condition(kind string) *corev1.NodeCondition {
	if n.Node == nil {
		return nil
	}
	for i := range n.Node.Status.Conditions {
		if c := &n.Node.Status.Conditions[i]; string(c.Type) == kind {
			return c
		}
	}
	return nil
}

func (n *Node) ready() bool {
	c := n.condition(string(corev1.NodeReady))
	return c != nil && c.Status == corev1.ConditionTrue
}

// booting reports whether the claim has never had a node that takes pods.
func (n *Node) booting() bool {
	if n.Claim == nil {
		return false
	}
	switch n.Claim.Status.Phase {
	case "", v1alpha1.ClaimPending, v1alpha1.ClaimLaunched, v1alpha1.ClaimRegistered:
		return true
	}
	return false
}

// leaving reports whether the node is being taken away already.
func (n *Node) leaving() bool {
	if n.Node != nil && n.Node.DeletionTimestamp != nil {
		return true
	}
	return n.Claim != nil && (n.Claim.DeletionTimestamp != nil || n.Claim.Status.Disruption != nil)
}
