package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodePolicyStatus is what the controller saw and did last, and the ledger.
//
// The ledger is why limits hold with two leaders at a time: a claim's name and its price are written here, against the
// resourceVersion that the plan was made from, before the NodeClaim is created and long before a provider hears of it. A leader
// that works from an older version is refused and plans anew.
type NodePolicyStatus struct {
	// ObservedGeneration is the spec's that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Sequence numbers claims: the name of the next one is the policy's name, a dash and Sequence+1.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Reservations are claims that were charged and whose NodeClaim objects may not exist yet.
	// +optional
	// +listType=map
	// +listMapKey=claim
	Reservations []Reservation `json:"reservations,omitempty"`
	// Charged is the sum over NodeClaims and Reservations.
	// +optional
	Charged NodeCharge `json:"charged,omitempty"`

	// Nodes is the number of NodeClaims, those being made included.
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
	// ReadyNodes is the number of nodes that take pods.
	// +optional
	ReadyNodes int32 `json:"readyNodes,omitempty"`
	// UnhealthyNodes is the number of nodes that a repair rule applies to.
	// +optional
	UnhealthyNodes int32 `json:"unhealthyNodes,omitempty"`
	// LowerBound is the price per hour that no set of nodes for the same pods can be below.
	// +optional
	LowerBound *resource.Quantity `json:"lowerBound,omitempty"`

	// Outcome and Reason are those of the last decision.
	// +optional
	Outcome string `json:"outcome,omitempty"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	LastChangeTime *metav1.Time `json:"lastChangeTime,omitempty"`

	// Upgrade is how far the renewal of nodes has come, nil when there is none.
	// +optional
	Upgrade *UpgradeStatus `json:"upgrade,omitempty"`

	// Forecast is what is foreseen, nil when nothing is.
	// +optional
	Forecast *NodeForecastStatus `json:"forecast,omitempty"`

	// Conditions are Ready (the policy is understood and its provider answers), RepairStopped (too many nodes are unhealthy),
	// Accepted (the provider accepts what is asked for) and, while it is so, Astray (more of the provider's machines and claims are
	// without each other than can be right, and are left alone).
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Reservation is a charged claim.
type Reservation struct {
	Claim  string      `json:"claim"`
	Charge NodeCharge  `json:"charge"`
	At     metav1.Time `json:"at"`
}

// NodeCharge is what counts against NodeLimits.
type NodeCharge struct {
	// +optional
	CPU resource.Quantity `json:"cpu,omitempty"`
	// +optional
	Memory resource.Quantity `json:"memory,omitempty"`
	// +optional
	Nodes int32 `json:"nodes,omitempty"`
	// +optional
	PricePerHour resource.Quantity `json:"pricePerHour,omitempty"`
}

// UpgradeStatus is how far the renewal of nodes has come.
type UpgradeStatus struct {
	// Total is the number of nodes that must be as the template says, Updated how many are.
	Total   int32 `json:"total"`
	Updated int32 `json:"updated"`
	// Started is when the first node was found to differ.
	// +optional
	Started *metav1.Time `json:"started,omitempty"`
	// EstimatedCompletion follows from the pace so far and the windows to come.
	// +optional
	EstimatedCompletion *metav1.Time `json:"estimatedCompletion,omitempty"`
	// Paused says why no further node is touched right now, empty when nothing stops it.
	// +optional
	Paused string `json:"paused,omitempty"`
}

// NodeClaim is one node wanted, from the intent to the deletion. Nobody but the controller creates them; deleting one drains its
// node and gives it back.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=nc,categories=all
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policy`
// +kubebuilder:printcolumn:name="Offer",type=string,JSONPath=`.spec.offer.name`
// +kubebuilder:printcolumn:name="Zone",type=string,JSONPath=`.spec.offer.zone`
// +kubebuilder:printcolumn:name="Capacity",type=string,JSONPath=`.spec.offer.capacityType`
// +kubebuilder:printcolumn:name="Price",type=string,JSONPath=`.spec.offer.pricePerHour`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.spec.reason`
type NodeClaim struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what was asked for. It never changes.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a claim never changes: delete it and make another one"
	Spec NodeClaimSpec `json:"spec"`
	// +optional
	Status NodeClaimStatus `json:"status,omitempty"`
}

// NodeClaimList is a list of NodeClaims.
//
// +kubebuilder:object:root=true
type NodeClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeClaim `json:"items"`
}

// NodeClaimFinalizer holds a claim until its machine is gone at the provider.
const NodeClaimFinalizer = GroupName + "/node"

// NodePolicyFinalizer holds a policy that is being deleted until its claims are given back, so that its ledger outlives them.
const NodePolicyFinalizer = GroupName + "/node-policy"

// NodeClaimSpec is what was asked for.
type NodeClaimSpec struct {
	// Policy is the name of the NodePolicy that it is charged to.
	// +required
	Policy string `json:"policy"`
	// Provider is the name of the provider.
	// +required
	Provider string `json:"provider"`
	// Offer is what is bought.
	// +required
	Offer ClaimedOffer `json:"offer"`
	// Labels, Annotations, Taints and StartupTaints that the node must have.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// +optional
	// +listType=atomic
	Taints []corev1.Taint `json:"taints,omitempty"`
	// +optional
	// +listType=atomic
	StartupTaints []corev1.Taint `json:"startupTaints,omitempty"`
	// Version and Image as in the policy's template.
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	Image string `json:"image,omitempty"`
	// TemplateHash is of the policy's template when the claim was made. Another one is drift.
	// +optional
	TemplateHash string `json:"templateHash,omitempty"`
	// Reason is why, in one sentence.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Replaces are the claims that are given back once this node is ready.
	// +optional
	// +listType=set
	Replaces []string `json:"replaces,omitempty"`
}

// ClaimedOffer is what was bought, and for how much.
type ClaimedOffer struct {
	// Name of the offer: the instance type, or the node group.
	// +required
	Name string `json:"name"`
	// Group is the provider's node group, where it has those.
	// +optional
	Group string `json:"group,omitempty"`
	// +optional
	Zone string `json:"zone,omitempty"`
	// CapacityType is on-demand, spot or reserved.
	// +optional
	CapacityType string `json:"capacityType,omitempty"`
	// +optional
	PricePerHour resource.Quantity `json:"pricePerHour,omitempty"`
	// Allocatable is what pods may request on it, as planned.
	// +optional
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
}

// NodeClaimStatus is how far the claim has come.
type NodeClaimStatus struct {
	// Phase is the step that it is at.
	// +optional
	Phase NodeClaimPhase `json:"phase,omitempty"`
	// ProviderID is that of the machine, and of its node.
	// +optional
	ProviderID string `json:"providerID,omitempty"`
	// NodeName is empty until the node has registered.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// Message is about the phase: the provider's last error, what a drain waits for.
	// +optional
	Message string `json:"message,omitempty"`
	// Stay is why the node stays, or what is about to happen to it.
	// +optional
	Stay string `json:"stay,omitempty"`
	// Repairs are the steps tried since the node was healthy last.
	// +optional
	// +listType=atomic
	Repairs []RepairAttempt `json:"repairs,omitempty"`
	// Disruption is why the node is being taken away, nil while it is not.
	// +optional
	Disruption *ClaimDisruption `json:"disruption,omitempty"`
	// Conditions are Charged, Launched, Registered, Ready, Healthy and Drained.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClaimDisruption is why a node is being taken away.
type ClaimDisruption struct {
	Reason  DisruptionReason `json:"reason"`
	Message string           `json:"message"`
	At      metav1.Time      `json:"at"`
	// Replacements must be ready before the drain begins.
	// +optional
	// +listType=set
	Replacements []string `json:"replacements,omitempty"`
}

// RepairAttempt is a step of the ladder that was tried.
type RepairAttempt struct {
	Step RepairStep  `json:"step"`
	Rule string      `json:"rule"`
	At   metav1.Time `json:"at"`
	// +optional
	Message string `json:"message,omitempty"`
}

// NodeClaimPhase is a step of a claim's life.
type NodeClaimPhase string

const (
	// ClaimPending means that the provider was not asked yet, or has refused so far.
	ClaimPending NodeClaimPhase = "Pending"
	// ClaimLaunched means that the provider has made a machine.
	ClaimLaunched NodeClaimPhase = "Launched"
	// ClaimRegistered means that its node is there, and not ready yet.
	ClaimRegistered NodeClaimPhase = "Registered"
	// ClaimReady means that the node takes pods.
	ClaimReady NodeClaimPhase = "Ready"
	// ClaimDisrupted means that the node is cordoned and its replacements are awaited.
	ClaimDisrupted NodeClaimPhase = "Disrupted"
	// ClaimDraining means that its pods are being evicted.
	ClaimDraining NodeClaimPhase = "Draining"
	// ClaimTerminating means that the provider was asked to delete the machine.
	ClaimTerminating NodeClaimPhase = "Terminating"
)

// Conditions of NodeClaims.
const (
	// ConditionCharged is True once the claim was found in its policy's ledger. No provider hears of a claim before that.
	ConditionCharged = "Charged"
	// ConditionLaunched is Unknown from the moment before the provider is asked until its answer is known, True when there is a
	// machine, and False when the provider refused or the machine is gone.
	ConditionLaunched = "Launched"
	// ConditionRegistered is True once the node has its labels and taints.
	ConditionRegistered = "Registered"
	// ConditionReady is True while the node takes pods.
	ConditionReady = "Ready"
	// ConditionHealthy is False while a repair rule applies.
	ConditionHealthy = "Healthy"
	// ConditionDrained is True once no pod is left that has to go elsewhere: the machine may be given back.
	ConditionDrained = "Drained"
)

// ConditionAccepted of NodePolicies is False after the provider has refused a claim for good, until it has accepted another one.
const ConditionAccepted = "Accepted"

// Labels and annotations of nodes and pods.
const (
	// LabelNodePolicy on a node names its policy, LabelNodeClaim its claim.
	LabelNodePolicy = GroupName + "/node-policy"
	LabelNodeClaim  = GroupName + "/node-claim"
	// AnnotationDoNotDisrupt on a node or a pod keeps the node from being taken away for consolidation or drift.
	AnnotationDoNotDisrupt = GroupName + "/do-not-disrupt"
	// TaintUnregistered is on a node from its first moment until the controller has put labels and taints on it.
	TaintUnregistered = GroupName + "/unregistered"
	// TaintDisrupted is on a node that is about to be taken away. No pod is scheduled there any more.
	TaintDisrupted = GroupName + "/disrupted"
	// AnnotationRegistered on a node names the claim for which it got its labels and taints.
	AnnotationRegistered = GroupName + "/registered"
	// AnnotationCordoned on a node says that it was us who made it unschedulable.
	AnnotationCordoned = GroupName + "/cordoned"
	// AnnotationTerminate on a NodeClaim that is being deleted gives its machine back at once, its pods undrained: for people.
	AnnotationTerminate = GroupName + "/terminate-now"
	// AnnotationKeepNodes on a NodePolicy keeps its nodes when the policy is deleted.
	AnnotationKeepNodes = GroupName + "/keep-nodes"
	// AnnotationDevices on a NodeClaim lists the drivers whose devices the offer promised.
	AnnotationDevices = GroupName + "/devices"
)
