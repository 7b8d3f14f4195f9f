package upgrade

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Input is everything that a decision about one policy is made from. Nothing in it but Memory is changed.
type Input struct {
	Now    time.Time
	Policy *v1alpha1.NodePolicy
	// Nodes are all nodes of the cluster, and all claims without one. Those of other policies count only for the oldest kubelet, which
	// bounds how far the control plane may go.
	Nodes []Node
	// APIServer is the version of the API server, the oldest one of several. Empty means unknown: no node is made of a version then.
	APIServer string
	// ControlPlane is nil when the policy's provider cannot upgrade it.
	ControlPlane *ControlPlane
	// Pauses are the answers to the policy's PauseOn, by name. One that is missing is no answer.
	Pauses map[string]Answer
	// Memory is the one that the previous decision was made with; a new one after a start. It serves all policies.
	Memory *Memory
}

// Node is a node, a claim without one, or both.
type Node struct {
	// Node is nil while the claim has none.
	Node *corev1.Node
	// Claim is nil for a node that was not made by us. It is judged, and never renewed.
	Claim *v1alpha1.NodeClaim
	// Unhealthy says what is wrong with it by the rules of repair; empty for a healthy one and for one that is only watched.
	Unhealthy string
	// DoNotDisrupt says who asks for the node to be left alone beside its own annotation; empty for nobody.
	DoNotDisrupt string
}

// ControlPlane is what the provider says of it.
type ControlPlane struct {
	// Wanted is the version asked for, Running the one that all of it runs already.
	Wanted, Running string
	// Unknown says why both are unknown, empty when they are known.
	Unknown string
}

// Answer is what a query gave.
type Answer struct {
	// State is Fresh for an answer that can be used, an empty one included. Any other one pauses, and Reason says why.
	State  decision.State
	Reason string
	// Values are those of its series. One that is no finite number pauses too.
	Values []float64
}

// Decision is what should be done now, and an answer for every node of the policy.
type Decision struct {
	// Moves take one node each, and have neither Create nor Place: the caller buys what takes the node's place, first.
	Moves []disruption.Move
	// ControlPlane is what to ask for now, nil for nothing. It comes before any node.
	ControlPlane *ControlPlaneStep
	// Status is how far it has come, nil when no node differs and none is being renewed.
	Status *v1alpha1.UpgradeStatus
	// Paused is a stable word for Status.Paused, empty when nothing stops the renewal of further nodes.
	Paused string
	// Stays are by the node's name, or the claim's when there is no node.
	Stays map[string]disruption.Stay
}

// ControlPlaneStep is a version to ask for.
type ControlPlaneStep struct {
	Version       string
	Code, Message string
}

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

func (n *Node) created() time.Time {
	if n.Claim != nil {
		return n.Claim.CreationTimestamp.Time
	}
	return n.Node.CreationTimestamp.Time
}

func (n *Node) kubelet() string {
	if n.Node == nil {
		return ""
	}
	return n.Node.Status.NodeInfo.KubeletVersion
}

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

func (n *Node) leaving() bool {
	if n.Node != nil && n.Node.DeletionTimestamp != nil {
		return true
	}
	return n.Claim != nil && (n.Claim.DeletionTimestamp != nil || n.Claim.Status.Disruption != nil)
}

// readySince is when the node became ready, false while it is not. The claim's own word counts before the node's, whose clock may be
// wrong.
func (n *Node) readySince() (time.Time, bool) {
	if n.Node == nil || n.booting() {
		return time.Time{}, false
	}
	for i := range n.Node.Status.Conditions {
		c := &n.Node.Status.Conditions[i]
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status != corev1.ConditionTrue {
			return time.Time{}, false
		}
		since := c.LastTransitionTime.Time
		if n.Claim != nil {
			if k := meta.FindStatusCondition(n.Claim.Status.Conditions, v1alpha1.ConditionReady); k != nil && k.Status == metav1.ConditionTrue {
				since = k.LastTransitionTime.Time
			}
		}
		return since, true
	}
	return time.Time{}, false
}
