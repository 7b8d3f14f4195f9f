package sizing

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// DefaultRole is the role of pods that behave alike.
const DefaultRole = "default"

// Key names what one estimate is about.
type Key struct {
	Role      string
	Container string
	Resource  corev1.ResourceName
}

// Reading is an estimate and how far it can be trusted.
type Reading struct {
	vertical.Estimate
	State decision.State
	// Age is the age of the newest sample; meaningless when the state is Missing.
	Age time.Duration
	// Usage is the newest sample's value.
	Usage float64
	// OOM is when the newest kill was that the estimate answers, zero when there was none. What the pods tell counts as well.
	OOM time.Time
	// Reason says why the state is not Fresh. It hides the estimate's own, which is Estimate.Reason.
	Reason string
}

// Pod is one pod of the target. Objects belong to the cache and must not be changed.
type Pod struct {
	Object *corev1.Pod
	Role   string
	// Changed is when its sizes were last changed by us, zero when they were not or it is not known. When Memory.Applied was told
	// of a later change, that counts.
	Changed time.Time
	// Before is what the containers had that were changed then, nil when that is not known. RolledBack is true when that change took
	// another one back. Memory keeps the changes before it, as far as it was told of them.
	Before     map[string]corev1.ResourceRequirements
	RolledBack bool
	// Killed is when containers were last killed for memory, by name: what the collector's events say. The pod's own status
	// counts as well.
	Killed map[string]time.Time
	// Effects are what followed that change.
	Effects []Effect
}

// EffectKind is what may follow a change for the worse.
type EffectKind string

const (
	// EffectOOM is a kill for memory.
	EffectOOM EffectKind = "OOM"
	// EffectRestart is a restart of a container.
	EffectRestart EffectKind = "Restart"
	// EffectThrottling is a container held back by its CPU limit in a larger share of periods than before.
	EffectThrottling EffectKind = "Throttling"
	// EffectHealth is the policy's health query above its maximum, which it was not before.
	EffectHealth EffectKind = "Health"
)

// Effect is something that followed a change.
type Effect struct {
	Kind      EffectKind
	Container string
	Time      time.Time
	Reason    string
}

// Startup is how a container's earlier starts went.
type Startup struct {
	// Length is how long its CPU use took to settle, measured from its start; a high percentile of Starts starts.
	Length time.Duration
	// Peak is the CPU use while starting, Settled after it, in cores.
	Peak, Settled float64
	Starts        int
}

// Heap is what is known about the heap that a container's runtime manages.
type Heap struct {
	Runtime v1alpha1.Runtime
	// Evidence says by what the runtime was recognized.
	Evidence string
	// Max is the heap's bound in bytes as its flags or metrics say, 0 when it has none.
	Max float64
	// FromContainer is true when the runtime takes the bound from the container's limit by itself, at Fraction of it.
	FromContainer bool
	Fraction      float64
	// Used is the heap that survived the last collections, Committed what the runtime holds, Outside what the container uses
	// beside the heap; bytes, 0 when unknown.
	Used, Committed, Outside float64
	// Variable is the environment variable that sets the bound, where the container's manifest or environment shows that one
	// does or may: JAVA_TOOL_OPTIONS, GOMEMLIMIT, NODE_OPTIONS. Value is what it is now.
	Variable, Value string
}

// Bounds are what the cluster allows. Nil lists mean no bounds of that kind.
type Bounds struct {
	Ranges []*corev1.LimitRange
	Quotas []*corev1.ResourceQuota
	// LargestNode is the allocatable of the largest node that the pods may run on, less what daemons request there; empty when
	// no node is known. LargestOffer is the same for node types that could be bought.
	LargestNode, LargestOffer corev1.ResourceList
	// NodeName is the node's, for reasons.
	NodeName string
}

// Brake says how much more may change in the cluster for now.
type Brake struct {
	// Open is false when no pod may be changed but urgently; Reason says why.
	Open   bool
	Reason string
}

// Input is what a decision needs.
type Input struct {
	Now    time.Time
	Policy *v1alpha1.WorkloadAutoscaler
	// Template is the target's pod template; its manifest is never changed.
	Template *corev1.PodTemplateSpec
	Replicas int32
	Pods     []Pod
	Readings map[Key]Reading
	Startups map[string]Startup
	Heaps    map[string]Heap
	Bounds   Bounds
	// Owner names whoever else sizes the target, such as "VerticalPodAutoscaler shop/web"; empty when nobody does.
	Owner string
	Brake Brake
	// HoldCPU keeps CPU requests at what they are, for the reason that it gives: more load is met with replicas. Empty when
	// they may change.
	HoldCPU string
	// Memory is the policy's own; nothing else of the input is changed.
	Memory *Memory
}

// ContainerSize is what a container should have. Requests and Limits hold only resources that the policy sizes and about which
// something is known; everything else stays as the manifest has it.
type ContainerSize struct {
	Role, Container string
	// Init is true for init containers, sidecars among them.
	Init     bool
	Requests corev1.ResourceList
	Limits   corev1.ResourceList
	// RemoveLimits are the limits that a created pod should not have.
	RemoveLimits []corev1.ResourceName
	// Startup is what a created pod should request, nil when that is Requests.
	Startup corev1.ResourceList
	// Environment holds variables for a created pod.
	Environment map[string]string
	Lower       corev1.ResourceList
	Upper       corev1.ResourceList
	Uncapped    corev1.ResourceList
	Models      map[string]string
	Confidence  float64
	Reason      string
}

// Step gives one pod its size.
type Step struct {
	Pod *corev1.Pod
	// Containers are the requests and limits of the containers that change, whole: what the pod should have of them afterwards,
	// sidecars among them. They may be what the pod's spec has already, when the node has deferred that or cannot do it.
	Containers map[string]corev1.ResourceRequirements
	// PodResources are the pod's own requests and limits afterwards, nil when it has none or they stay.
	PodResources *corev1.ResourceRequirements
	// InPlace is true when the running pod may be resized, Recreate when it may be replaced where a resize is not possible.
	InPlace, Recreate bool
	// Urgent steps answer a kill for memory or take a harmful change back: they go first and past the brake.
	Urgent bool
	// RollBack is true when the step takes an earlier change back.
	RollBack bool
	Reason   string
}

// Decision is what came out.
type Decision struct {
	// Record supposes that the plan succeeds; the caller adds what was done to the pods.
	Record decision.Record
	Sizes  []ContainerSize
	// Steps are in the order in which they should be taken; empty when nothing may change now.
	Steps []Step
}
