package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NodePolicy says which nodes may be bought for pods that have no place, when nodes are given back, repaired and renewed, and how much
// of all that may happen at a time.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="the name must not have more than 50 characters: those of its nodes' claims begin with it"
// +kubebuilder:resource:scope=Cluster,shortName=np,categories=all
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.name`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyNodes`
// +kubebuilder:printcolumn:name="Cost",type=string,JSONPath=`.status.charged.pricePerHour`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.reason`
type NodePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the policy.
	// +required
	Spec NodePolicySpec `json:"spec"`

	// Status is what the controller saw and did last, and the ledger that limits are held against.
	// +optional
	Status NodePolicyStatus `json:"status,omitempty"`
}

// NodePolicyList is a list of NodePolicies.
//
// +kubebuilder:object:root=true
type NodePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodePolicy `json:"items"`
}

// NodePolicySpec is the policy for nodes of one kind.
//
// +kubebuilder:validation:XValidation:rule="!has(self.expander) || self.expander != 'Priority' || (has(self.priorities) && size(self.priorities) > 0)",message="the expander Priority needs priorities"
type NodePolicySpec struct {
	// Mode says how far the controller goes. Observe plans nothing; Recommend publishes what it would do; Apply does it.
	// +optional
	// +kubebuilder:default=Recommend
	Mode Mode `json:"mode,omitempty"`

	// Provider is who makes and deletes nodes.
	// +required
	Provider ProviderReference `json:"provider"`

	// Weight orders policies that could serve the same pods: the highest is tried first, and a lower one only for what
	// higher ones cannot serve. With equal weights the price decides.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`

	// Template is what nodes are made from.
	// +optional
	Template NodeTemplate `json:"template,omitempty"`

	// Requirements choose among the provider's offers by their labels: instance type, architecture, zone, capacity type
	// (karpenter.sh/capacity-type: on-demand, spot or reserved), GPU and others. An offer must satisfy all of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(r, !(r.operator in ['In', 'NotIn']) || (has(r.values) && size(r.values) > 0))",message="In and NotIn need values"
	// +kubebuilder:validation:XValidation:rule="self.all(r, !(r.operator in ['Exists', 'DoesNotExist']) || !has(r.values) || size(r.values) == 0)",message="Exists and DoesNotExist take no values"
	// +kubebuilder:validation:XValidation:rule="self.all(r, !(r.operator in ['Gt', 'Lt']) || (has(r.values) && size(r.values) == 1))",message="Gt and Lt take one whole number"
	// +kubebuilder:validation:XValidation:rule="self.all(r, r.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'])",message="operator must be In, NotIn, Exists, DoesNotExist, Gt or Lt"
	Requirements []corev1.NodeSelectorRequirement `json:"requirements,omitempty"`

	// Limits bound everything that this policy may own at a time.
	// +optional
	Limits *NodeLimits `json:"limits,omitempty"`

	// Expander decides between sets of nodes that serve the same pods.
	// +optional
	// +kubebuilder:default=LeastCost
	Expander Expander `json:"expander,omitempty"`

	// Priorities order offers for the expander Priority: the first entry whose requirements an offer satisfies is its rank;
	// offers that satisfy none come last.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Priorities []OfferPriority `json:"priorities,omitempty"`

	// Headroom is room that is kept free for pods to come.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headroom []Headroom `json:"headroom,omitempty"`

	// Forecast buys nodes for replicas that are foreseen. Unset means that nodes are not bought for forecasts.
	// +optional
	Forecast *NodeForecast `json:"forecast,omitempty"`

	// Disruption bounds what may be done to nodes that work.
	// +optional
	Disruption NodeDisruption `json:"disruption,omitempty"`

	// Repair says when a node is unhealthy and what is done about it. Unset means that nodes are not repaired.
	// +optional
	Repair *NodeRepair `json:"repair,omitempty"`

	// Upgrade says when nodes are renewed that differ from the template. Unset means that they are not.
	// +optional
	Upgrade *NodeUpgrade `json:"upgrade,omitempty"`
}

// ProviderReference names a provider of the autoscaler's configuration.
type ProviderReference struct {
	// Name is the provider's in the autoscaler's configuration: kwok, clusterapi, external, gke or karpenter, or the name of
	// a further instance of one of them.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Groups restricts the policy to these node groups of the provider (MachineDeployments, MachinePools, node pools,
	// node groups). Empty means all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Groups []string `json:"groups,omitempty"`
}

// NodeTemplate is what a node is made from. What a provider cannot set on a node that it makes is set by the controller once the
// node has registered, before any pod may run on it.
type NodeTemplate struct {
	// Labels are put on nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are put on nodes.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Taints are put on nodes for good: only pods that tolerate them are planned there.
	// +optional
	// +listType=atomic
	Taints []corev1.Taint `json:"taints,omitempty"`
	// StartupTaints are put on nodes and taken off by others once the node is prepared. Pods are planned as if they were
	// not there, and the node counts as ready only without them.
	// +optional
	// +listType=atomic
	StartupTaints []corev1.Taint `json:"startupTaints,omitempty"`
	// Version is the kubelet's, such as v1.37.2. Empty means the provider's choice, which then never counts as drift.
	// +optional
	// +kubebuilder:validation:Pattern=`^(v[0-9]+\.[0-9]+\.[0-9]+([-+].*)?)?$`
	Version string `json:"version,omitempty"`
	// Image is the machine image in the provider's own terms. Empty as for Version.
	// +optional
	Image string `json:"image,omitempty"`
}

// NodeLimits bound what a policy owns, including what is being made.
type NodeLimits struct {
	// CPU in cores, summed over the nodes' capacity.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="cpu must not be negative"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// Memory in bytes, summed over the nodes' capacity.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="memory must not be negative"
	Memory *resource.Quantity `json:"memory,omitempty"`
	// Nodes is the number of nodes.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes *int32 `json:"nodes,omitempty"`
	// PricePerHour is money per hour, in the unit in which the provider's offers are priced.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="pricePerHour must not be negative"
	PricePerHour *resource.Quantity `json:"pricePerHour,omitempty"`
}

// Expander decides between sets of nodes that serve the same pods.
//
// +kubebuilder:validation:Enum=LeastCost;LeastWaste;Priority;Balanced
type Expander string

const (
	// LeastCost takes what costs least per hour.
	LeastCost Expander = "LeastCost"
	// LeastWaste takes what leaves the smallest share of CPU and memory unrequested.
	LeastWaste Expander = "LeastWaste"
	// PriorityExpander takes what Priorities put first, the cheapest among equals.
	PriorityExpander Expander = "Priority"
	// BalancedExpander takes the zone with the fewest nodes of the policy, the cheapest offer within it.
	BalancedExpander Expander = "Balanced"
)

// OfferPriority is one rank of offers.
type OfferPriority struct {
	// Requirements of which an offer must satisfy all.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Requirements []corev1.NodeSelectorRequirement `json:"requirements"`
}

// Headroom is room for pods that are not there yet.
//
// +kubebuilder:validation:XValidation:rule="has(self.pods) != has(self.percent)",message="exactly one of pods and percent must be set"
type Headroom struct {
	// Name tells several apart.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Pods is a number of pods with Requests each.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Pods *int32 `json:"pods,omitempty"`
	// Requests is what each of Pods requests. 1 CPU and 2Gi of memory when unset.
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// Percent is room in percent of what the pods on the policy's nodes request, in pieces no larger than their largest pod.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// PriorityClassName is that of the pods for which the room is: pods of a lower priority may not use it up, and do not
	// count towards Percent. Empty means the cluster's default.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// NodeDisruption bounds what may be done to nodes that work.
type NodeDisruption struct {
	// Consolidation says when nodes are given back or swapped for cheaper ones.
	// +optional
	Consolidation Consolidation `json:"consolidation,omitempty"`

	// Budgets bound how many nodes may be disrupted at a time. Of several that apply the smallest counts. One budget of 10%
	// when empty.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Budgets []DisruptionBudget `json:"budgets,omitempty"`

	// TerminationGracePeriod is how long the pods of a node may hold up its deletion, PodDisruptionBudgets and
	// do-not-disrupt included, once the deletion was decided for drift, repair or by hand. Unset means without end. It never
	// applies to consolidation, which gives up instead.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="terminationGracePeriod must be greater than 0s"
	TerminationGracePeriod *metav1.Duration `json:"terminationGracePeriod,omitempty"`
}

// Consolidation says when nodes are given back or swapped for cheaper ones.
type Consolidation struct {
	// When says which nodes are considered.
	// +optional
	// +kubebuilder:default=EmptyOrUnderutilized
	When ConsolidationWhen `json:"when,omitempty"`
	// After is how long a node's pods must have been the same before the node is considered. 5m when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="after must not be negative"
	After *metav1.Duration `json:"after,omitempty"`
	// MinimumSaving is the part of the price of the nodes given back below which a replacement is not worth it, in percent.
	// 15 when unset. What evictions cost is weighed on top of it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MinimumSaving *int32 `json:"minimumSaving,omitempty"`
}

// ConsolidationWhen says which nodes are considered for consolidation.
//
// +kubebuilder:validation:Enum=Never;Empty;EmptyOrUnderutilized
type ConsolidationWhen string

const (
	// ConsolidateNever leaves all nodes.
	ConsolidateNever ConsolidationWhen = "Never"
	// ConsolidateEmpty gives back nodes without pods, DaemonSets' pods aside.
	ConsolidateEmpty ConsolidationWhen = "Empty"
	// ConsolidateEmptyOrUnderutilized also moves pods so that nodes become empty, or swaps nodes for cheaper ones.
	ConsolidateEmptyOrUnderutilized ConsolidationWhen = "EmptyOrUnderutilized"
)

// DisruptionReason is why a node is disrupted.
//
// +kubebuilder:validation:Enum=Empty;Underutilized;Drifted;Unhealthy
type DisruptionReason string

const (
	// DisruptEmpty is for nodes without pods.
	DisruptEmpty DisruptionReason = "Empty"
	// DisruptUnderutilized is for nodes whose pods fit elsewhere, or on a cheaper node.
	DisruptUnderutilized DisruptionReason = "Underutilized"
	// DisruptDrifted is for nodes that differ from their policy.
	DisruptDrifted DisruptionReason = "Drifted"
	// DisruptUnhealthy is for nodes under repair.
	DisruptUnhealthy DisruptionReason = "Unhealthy"
)

// DisruptionBudget bounds how many nodes of a policy may be disrupted at a time. Nodes that are not ready count as disrupted.
//
// +kubebuilder:validation:XValidation:rule="has(self.schedule) == has(self.duration)",message="schedule and duration go together"
type DisruptionBudget struct {
	// Nodes is a number, or a percentage of the policy's nodes, rounded up; 0 forbids disruption.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[0-9]{1,2})%$')",message="nodes must be a number or a percentage"
	Nodes intstr.IntOrString `json:"nodes"`
	// Reasons to which it applies. Empty means all.
	// +optional
	// +listType=set
	Reasons []DisruptionReason `json:"reasons,omitempty"`
	// Schedule is when it begins to apply, in cron's five fields. Empty means always.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ @]+( +[^ ]+){4}$')",message="schedule must have cron's five fields"
	Schedule string `json:"schedule,omitempty"`
	// Timezone of Schedule, such as Asia/Tokyo. UTC when empty.
	// +optional
	Timezone string `json:"timezone,omitempty"`
	// Duration is how long it applies each time.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="duration must be greater than 0s"
	Duration *metav1.Duration `json:"duration,omitempty"`
}

// NodeRepair says when a node is unhealthy and what is done about it.
type NodeRepair struct {
	// Rules say what counts as unhealthy. Empty means: Ready False or Unknown for 5m.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Rules []RepairRule `json:"rules,omitempty"`
	// BootTimeout is how long a node may take from being asked for to being ready. 15m when unset. One that takes longer
	// is deleted, and its offer avoided for a while.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('30s')",message="bootTimeout must be at least 30s"
	BootTimeout *metav1.Duration `json:"bootTimeout,omitempty"`
	// MaxUnhealthy is the share of nodes, in percent, of a policy and of each of its zones, above which repair stops: so many
	// at once are no matter of single nodes. 20 when unset; groups of up to five nodes tolerate one.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxUnhealthy *int32 `json:"maxUnhealthy,omitempty"`
	// Ladder is what is tried in turn, StepTimeout each, as far as the provider can. RestartAgent, Reboot, Replace when empty.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	Ladder []RepairStep `json:"ladder,omitempty"`
	// StepTimeout is how long a step may take to make the node healthy. 5m when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="stepTimeout must be greater than 0s"
	StepTimeout *metav1.Duration `json:"stepTimeout,omitempty"`
}

// RepairRule is one sign of an unhealthy node.
//
// +kubebuilder:validation:XValidation:rule="[has(self.condition), has(self.silence), has(self.promql), has(self.logql)].filter(x, x).size() == 1",message="exactly one of condition, silence, promql and logql must be set"
type RepairRule struct {
	// Name tells several apart and stands in records.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Condition of the node, by whomever it is set: the kubelet, a problem detector, a device plugin.
	// +optional
	Condition *UnhealthyCondition `json:"condition,omitempty"`
	// Silence is a source that was not heard of: Lease is the kubelet's, Collector our node agent's newest sample.
	// +optional
	Silence *SilenceSource `json:"silence,omitempty"`
	// PromQL is a query whose series carry a label node. A value above 0 is a problem; a series that is missing is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	PromQL string `json:"promql,omitempty"`
	// LogQL is a metric query likewise, such as the rate of a message in the kernel's log.
	// +optional
	// +kubebuilder:validation:MinLength=1
	LogQL string `json:"logql,omitempty"`
	// For is how long it must last.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="for must not be negative"
	For metav1.Duration `json:"for"`
}

// UnhealthyCondition is a condition of a node that means trouble.
type UnhealthyCondition struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	Type string `json:"type"`
	// Statuses that mean trouble.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	Statuses []corev1.ConditionStatus `json:"statuses"`
}

// SilenceSource is who was not heard of.
//
// +kubebuilder:validation:Enum=Lease;Collector
type SilenceSource string

const (
	// SilentLease is the kubelet's Lease in kube-node-lease.
	SilentLease SilenceSource = "Lease"
	// SilentCollector is our node agent. Silence of the collectors of all nodes at once is a matter of the query service and
	// never counts.
	SilentCollector SilenceSource = "Collector"
)

// RepairStep is one thing that is tried.
//
// +kubebuilder:validation:Enum=RestartAgent;Reboot;Replace
type RepairStep string

const (
	// RepairRestartAgent restarts the kubelet.
	RepairRestartAgent RepairStep = "RestartAgent"
	// RepairReboot reboots the machine.
	RepairReboot RepairStep = "Reboot"
	// RepairReplace drains the node as far as it can be, and replaces it.
	RepairReplace RepairStep = "Replace"
)

// NodeUpgrade says when nodes are renewed that differ from the template.
type NodeUpgrade struct {
	// Windows in which nodes may be renewed. Empty means always.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Windows []Window `json:"windows,omitempty"`
	// MaxSurge is how many nodes may be made before old ones are drained, at a time; a number or a percentage of the policy's
	// nodes, rounded up. 1 when unset.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="maxSurge must be a number of at least 1 or a percentage"
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`
	// PauseOn are queries that stop upgrades while any of their series is above 0, or while they have no answer: an error
	// budget that burns, alerts that fire.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	PauseOn []PauseQuery `json:"pauseOn,omitempty"`
	// SoakTime is how long a new node must be ready before the next one is touched. 30s when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="soakTime must not be negative"
	SoakTime *metav1.Duration `json:"soakTime,omitempty"`
	// ControlPlane also brings the control plane to the template's version first, where the provider can (Cluster API).
	// +optional
	ControlPlane bool `json:"controlPlane,omitempty"`
}

// Window is a time that comes back.
type Window struct {
	// Schedule is when it opens, in cron's five fields.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ @]+( +[^ ]+){4}$')",message="schedule must have cron's five fields"
	Schedule string `json:"schedule"`
	// Timezone of Schedule, such as Asia/Tokyo. UTC when empty.
	// +optional
	Timezone string `json:"timezone,omitempty"`
	// Duration is how long it stays open.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="duration must be greater than 0s"
	Duration metav1.Duration `json:"duration"`
}

// PauseQuery is a query that stops upgrades.
type PauseQuery struct {
	// Name stands in records.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// PromQL is the query.
	// +required
	// +kubebuilder:validation:MinLength=1
	PromQL string `json:"promql"`
}
