// Package cluster plans nodes: which pending pods fit on the nodes that there are, which nodes must be bought for the others at the
// least cost, and what would become of a node's pods if it were not there.
//
// It is pure: Kubernetes objects and offers in, plans with reasons out; it reads no clock, no network and no file. State is
// incremental, so that a plan costs what has changed and not what there is. It may import decision, api/v1alpha1, its own
// volume and device, and Kubernetes' API types and scheduling helpers; consolidation, repair, upgrade, nodes and cmd may import it.
//
// What it promises is held against the real kube-scheduler: on the nodes of a plan every planned pod is scheduled, and a pod that
// it calls unschedulable is schedulable on no offer.
package cluster

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Offer is one thing that can be bought: nodes of one shape, in one zone, under one contract.
type Offer struct {
	// Name of the shape, as a node's label node.kubernetes.io/instance-type says it.
	Name string
	// Group is the provider's node group, empty where it has none. Name, Group, Zone, CapacityType and Policy identify an offer.
	Group string
	Zone  string
	// CapacityType carries the offer's own value: on-demand, spot or reserved.
	CapacityType string
	// Policy is the NodePolicy under which it would be bought, empty when there are no policies.
	Policy string
	// PricePerHour is money per hour and must not be negative.
	PricePerHour float64
	// Available is false for an offer that is sold out or avoided for a while; it is not bought then. Unavailable says why.
	Available   bool
	Unavailable string
	// Weight is the policy's, Rank the place in its priorities (0 is first).
	Weight int32
	Rank   int
	// Labels are all labels that a node would carry but kubernetes.io/hostname.
	Labels map[string]string
	// Taints are those that stay. Startup taints are left out.
	Taints []corev1.Taint
	// Allocatable is what pods may request on a node, DaemonSets' pods included.
	Allocatable corev1.ResourceList
	// Stock is how many more can be bought, negative when that is not known to be bounded.
	Stock int
	// Slices are the devices that a node would publish (dynamic resource allocation); their node name is left empty.
	Slices []resourcev1.ResourceSlice
	// AttachLimits bound volumes by CSI driver. A driver that is missing has no known limit.
	AttachLimits map[string]int32
}

// ID identifies the offer among others.
func (o *Offer) ID() OfferID {
	return OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType, Policy: o.Policy}
}

// OfferID identifies an offer. It is comparable.
type OfferID struct {
	Name, Group, Zone, CapacityType, Policy string
}

// Policy is what the planner needs to know of a NodePolicy. Offers name it.
type Policy struct {
	Name string
	// Expander is LeastCost, LeastWaste, Priority or Balanced. Empty means LeastCost.
	Expander string
	// Left is what may still be bought. A nil entry is not limited.
	Left Limits
	// Owned counts the policy's nodes by zone, for the expander Balanced.
	Owned map[string]int
}

// Limits are bounds, nil where there are none.
type Limits struct {
	// MilliCPU is in thousandths of a core, Memory in bytes, PricePerHour in money.
	MilliCPU, Memory *int64
	Nodes            *int
	PricePerHour     *float64
}

// Node is a node that there is, or that is being made: one that is expected has no Node object yet, and is planned with as if it
// were there.
type Node struct {
	Node *corev1.Node
	// PricePerHour is what it costs now, 0 when that is unknown.
	PricePerHour float64
	Policy       string
	Claim        string
	// Expected is true while the node is being made.
	Expected bool
	// Leaving is true once it was decided that the node goes: nothing is planned there.
	Leaving bool
	// AttachLimits and Slices are an expected node's; those of a node that is there come from its CSINode and ResourceSlices.
	AttachLimits map[string]int32
	Slices       []resourcev1.ResourceSlice
}

// Demand is pods that somebody has decided on, or foresees, and that do not exist yet.
type Demand struct {
	// Name stands in reasons, as shop/checkout.
	Name string
	// Pod is one of them. It has no node.
	Pod   *corev1.Pod
	Count int
	// Kind is Decided, Forecast or Headroom. Room for Headroom may be taken by pods of its priority and above.
	Kind DemandKind
}

// DemandKind is where demand comes from.
type DemandKind string

const (
	// Decided pods were asked for by an autoscaler a moment ago: the workload's replicas are above its pods.
	Decided DemandKind = "Decided"
	// Forecast pods will be asked for before a node bought now would be ready.
	Forecast DemandKind = "Forecast"
	// Headroom is room that a policy keeps free.
	Headroom DemandKind = "Headroom"
)

// Plan is what should be done for the pods that have no place.
type Plan struct {
	// Create are the nodes to buy, each with the pods that it is bought for.
	Create []NewNode
	// Placed are pods that existing or expected nodes can take: the scheduler will see to them.
	Placed []Placement
	// Preempting are pods that the scheduler will make room for by evicting others of lower priority; no node is bought for them.
	Preempting []Placement
	// Unschedulable are pods that no node that may be bought can take, with the reasons.
	Unschedulable []Unschedulable
	Cost          Cost
}

// NewNode is a node to buy.
type NewNode struct {
	Offer Offer
	// Pods are those that it is planned for, in the order in which they were placed.
	Pods []PodRef
	// Requests is what they and the DaemonSets' pods request together.
	Requests corev1.ResourceList
	// Reason is one sentence: for what, and why this offer.
	Reason string
	// Alternatives are offers that could take the same pods, the cheapest first: what to try when this one is sold out. At most 20.
	Alternatives []Offer
}

// PodRef names a pod, or one of the pods of a Demand.
type PodRef struct {
	types.NamespacedName
	// Demand is the name of the Demand, empty for a pod that exists.
	Demand string
}

// Placement is a pod and the node that has room for it.
type Placement struct {
	Pod  PodRef
	Node string
}

// Unschedulable is a pod without a place.
type Unschedulable struct {
	Pod PodRef
	// Reasons are sentences, the one that holds for most offers first.
	Reasons []Reason
}

// Reason is why offers or nodes cannot take a pod, and how many of them.
type Reason struct {
	// Code is a stable word: Resources, NodeSelector, Taint, PodAffinity, PodAntiAffinity, TopologySpread, HostPort, Volume,
	// VolumeLimit, Device, Limit, Unavailable, Gang, SchedulingGate…
	Code    string
	Message string
	Offers  int
}

// Cost is in money per hour.
type Cost struct {
	Before, After float64
	// LowerBound is a price that no set of nodes for the same pods can be below, the nodes that stay included; Bound names
	// how it was found.
	LowerBound float64
	Bound      string
}

// Options bound a plan.
type Options struct {
	// MaxNodes is how many nodes one plan may buy, 0 for any number.
	MaxNodes int
	// SkipBound leaves the lower bound out.
	SkipBound bool
}

// Removal asks what would become of the pods if nodes were not there.
type Removal struct {
	Nodes []string
	// Buy allows new nodes whose prices together are below MaxPrice, at most MaxNew of them.
	Buy      bool
	MaxPrice float64
	MaxNew   int
}

// Outcome is the answer to a Removal. It changes nothing in the state.
type Outcome struct {
	// Feasible is true when every pod has a place. Blocking and Reason say which has none, and why.
	Feasible bool
	Blocking PodRef
	Reason   string
	// Moves are the pods and the nodes that take them; for new ones the node is "new-<index in Create>".
	Moves  []Placement
	Create []NewNode
	// Saving is the price of the removed nodes less that of the new ones, per hour.
	Saving float64
}

// Planner is what State offers to those that plan moves. A Planner is not safe for concurrent use.
type Planner interface {
	// Plan answers for all pods without a node and all demand.
	Plan(Options) Plan
	// Simulate answers for a removal, and leaves the state as it was.
	Simulate(Removal) Outcome
	// NodeView is what is known of a node, false when there is none of that name.
	NodeView(name string) (NodeView, bool)
	// Nodes are the names of all nodes, in lexical order.
	Nodes() []string
}

// NodeView is a node with its pods. What it points to must not be changed.
type NodeView struct {
	Node
	Pods []*corev1.Pod
	// Requested and Allocatable are in the node's own quantities.
	Requested, Allocatable corev1.ResourceList
	// LastPodChange is when a pod came to or left the node last, by the time given to the state.
	LastPodChange time.Time
}
