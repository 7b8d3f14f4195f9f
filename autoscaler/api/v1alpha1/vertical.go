package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// VerticalPolicy says what the containers of the target should request.
type VerticalPolicy struct {
	// Apply says how far a new size may go to take effect. It matters in mode Apply only.
	// +optional
	// +kubebuilder:default=InPlace
	Apply VerticalApply `json:"apply,omitempty"`

	// Model is how sizes are estimated. Auto chooses for each container and resource, by what each of the others would have
	// cost on the container's own history.
	// +optional
	// +kubebuilder:default=Auto
	Model EstimationModel `json:"model,omitempty"`

	// History is how far back usage counts, 192h when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('2160h')",message="history must be a duration from 1h to 2160h"
	History *metav1.Duration `json:"history,omitempty"`

	// Containers are the rules for single containers. The name "*" is for all that have no rule of their own; without it
	// those follow the defaults.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=12
	Containers []ContainerVerticalPolicy `json:"containers,omitempty"`

	// Tolerance is the difference between a container's request and its new size, as a fraction of the request, below
	// which nothing changes. 0.1 when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="tolerance must not be negative"
	Tolerance *resource.Quantity `json:"tolerance,omitempty"`

	// Growth says what more load is met with when the policy is horizontal as well: Auto compares what a replica more and a
	// larger pod cost by what was measured; Replicas and Pods decide it beforehand.
	// +optional
	// +kubebuilder:default=Auto
	Growth Growth `json:"growth,omitempty"`

	// Recreate says how pods are replaced that cannot be resized in place.
	// +optional
	Recreate *RecreatePolicy `json:"recreate,omitempty"`

	// Rollback says when a change is taken back.
	// +optional
	Rollback *RollbackPolicy `json:"rollback,omitempty"`
}

// VerticalApply is a step on the ladder of what a new size may do to pods.
//
// +kubebuilder:validation:Enum=Off;OnCreate;InPlace;InPlaceOrRecreate
type VerticalApply string

const (
	// ApplyOff publishes sizes and changes no pod.
	ApplyOff VerticalApply = "Off"
	// ApplyOnCreate gives sizes to pods when they are created.
	ApplyOnCreate VerticalApply = "OnCreate"
	// ApplyInPlace also resizes running pods, as far as their nodes let them.
	ApplyInPlace VerticalApply = "InPlace"
	// ApplyInPlaceOrRecreate also replaces pods that cannot be resized, within budgets.
	ApplyInPlaceOrRecreate VerticalApply = "InPlaceOrRecreate"
)

// EstimationModel is how a size is estimated from usage.
//
// +kubebuilder:validation:Enum=Auto;VPA;Percentile;Peak;Forecast;Autopilot
type EstimationModel string

const (
	// ModelAuto chooses among the others by backtested cost.
	ModelAuto EstimationModel = "Auto"
	// ModelVPA is the estimator of the VerticalPodAutoscaler with its defaults.
	ModelVPA EstimationModel = "VPA"
	// ModelPercentile is a percentile of recent usage and a margin.
	ModelPercentile EstimationModel = "Percentile"
	// ModelPeak is the highest recent usage and a margin.
	ModelPeak EstimationModel = "Peak"
	// ModelForecast is what usage is expected to be before the next change.
	ModelForecast EstimationModel = "Forecast"
	// ModelAutopilot is the moving-window recommender that Google's Autopilot describes.
	ModelAutopilot EstimationModel = "Autopilot"
)

// Growth is what more load is met with.
//
// +kubebuilder:validation:Enum=Auto;Replicas;Pods
type Growth string

const (
	// GrowthAuto compares costs.
	GrowthAuto Growth = "Auto"
	// GrowthReplicas keeps the CPU of a pod as it is and adds replicas.
	GrowthReplicas Growth = "Replicas"
	// GrowthPods grows pods up to what they may have before replicas are added.
	GrowthPods Growth = "Pods"
)

// ContainerVerticalPolicy is the rule for one container, or for all others.
type ContainerVerticalPolicy struct {
	// Name is the name of a container, an init container or a sidecar of the target's pods, or "*".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`
	Name string `json:"name"`

	// Mode says whether the container is sized at all.
	// +optional
	// +kubebuilder:default=Auto
	Mode ContainerMode `json:"mode,omitempty"`

	// Resources are what is sized: cpu and memory when unset.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	Resources []SizedResource `json:"resources,omitempty"`

	// MinAllowed is the smallest request. There is no other floor than 1m of CPU and 4Mi of memory.
	// +optional
	MinAllowed corev1.ResourceList `json:"minAllowed,omitempty"`

	// MaxAllowed is the largest request.
	// +optional
	MaxAllowed corev1.ResourceList `json:"maxAllowed,omitempty"`

	// Limits says what becomes of limits when requests change.
	// +optional
	// +kubebuilder:default=KeepRatio
	Limits LimitRule `json:"limits,omitempty"`

	// Startup gives the container more CPU while it starts.
	// +optional
	Startup *StartupBoost `json:"startup,omitempty"`

	// Runtime is what manages the container's heap. Auto recognizes it by its flags and metrics.
	// +optional
	// +kubebuilder:default=Auto
	Runtime Runtime `json:"runtime,omitempty"`
}

// SizedResource is a resource whose request is set: cpu, memory, ephemeral-storage or huge pages of one size.
//
// +kubebuilder:validation:Pattern=`^(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMG]i)$`
type SizedResource string

// ContainerMode says whether a container is sized.
//
// +kubebuilder:validation:Enum=Auto;Off
type ContainerMode string

const (
	// ContainerAuto sizes the container.
	ContainerAuto ContainerMode = "Auto"
	// ContainerOff leaves it alone.
	ContainerOff ContainerMode = "Off"
)

// LimitRule says what becomes of limits.
//
// +kubebuilder:validation:Enum=KeepRatio;Fixed;None
type LimitRule string

const (
	// LimitKeepRatio changes a limit by the factor by which its request changes.
	LimitKeepRatio LimitRule = "KeepRatio"
	// LimitFixed leaves limits alone; requests stay at or below them.
	LimitFixed LimitRule = "Fixed"
	// LimitNone takes limits away when a pod is created. A running pod keeps those that it has, since a resize cannot
	// remove them; they are raised where a request needs it.
	LimitNone LimitRule = "None"
)

// Runtime is what manages a container's heap.
//
// +kubebuilder:validation:Enum=Auto;None;JVM;Go;Node
type Runtime string

const (
	// RuntimeAuto recognizes the runtime.
	RuntimeAuto Runtime = "Auto"
	// RuntimeNone is for heaps that need nothing.
	RuntimeNone Runtime = "None"
	// RuntimeJVM is a Java virtual machine, whose heap is bounded by -Xmx or MaxRAMPercentage.
	RuntimeJVM Runtime = "JVM"
	// RuntimeGo is a Go program, whose heap is bounded by GOMEMLIMIT.
	RuntimeGo Runtime = "Go"
	// RuntimeNode is Node.js, whose heap is bounded by --max-old-space-size.
	RuntimeNode Runtime = "Node"
)

// StartupBoost gives a container more CPU until it has started.
//
// +kubebuilder:validation:XValidation:rule="has(self.factor) != has(self.cpu)",message="exactly one of factor and cpu must be set"
type StartupBoost struct {
	// Factor multiplies the CPU request.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('1'))",message="factor must be at least 1"
	Factor *resource.Quantity `json:"factor,omitempty"`

	// CPU is the request while starting.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="cpu must be greater than zero"
	CPU *resource.Quantity `json:"cpu,omitempty"`

	// Duration is how long after the container became ready the boost lasts. When unset, it lasts as long as earlier
	// starts took until their CPU use settled.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="duration must be from 0s to 1h"
	Duration *metav1.Duration `json:"duration,omitempty"`
}

// RecreatePolicy says how pods are replaced.
type RecreatePolicy struct {
	// MaxUnavailable is how many pods of the target, as a number or a percentage rounded down but not below one, may be
	// missing at the same time because of it. 1 when unset. PodDisruptionBudgets count as well.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? self.matches('^([1-9][0-9]?|100)%$') : self >= 1",message="maxUnavailable must be at least 1, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// Interval is the shortest time between two evictions of the target's pods, 1m when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="interval must be a duration from 1s to 24h"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// MinAge is how old a pod has to be before it is replaced for its size, 1h when unset. A kill for memory is answered before.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="minAge must be a duration from 0s to 168h"
	MinAge *metav1.Duration `json:"minAge,omitempty"`

	// SingleReplica says what becomes of a target with one pod: Surge rolls it out, so that the new pod is ready before the
	// old one goes; Never leaves it alone.
	// +optional
	// +kubebuilder:default=Surge
	SingleReplica SingleReplica `json:"singleReplica,omitempty"`
}

// SingleReplica says what becomes of a target with one pod.
//
// +kubebuilder:validation:Enum=Surge;Never
type SingleReplica string

const (
	// SingleSurge rolls the target out.
	SingleSurge SingleReplica = "Surge"
	// SingleNever leaves the pod alone.
	SingleNever SingleReplica = "Never"
)

// RollbackPolicy says when a change is taken back.
type RollbackPolicy struct {
	// Window is how long after a change its effects count, 10m when unset. Zero switches rollbacks off.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="window must be a duration from 0s to 24h"
	Window *metav1.Duration `json:"window,omitempty"`

	// Health is a query whose value must not be above Max after a change, such as the burn rate of an objective.
	// +optional
	Health *HealthQuery `json:"health,omitempty"`
}

// HealthQuery is a query that says how well the target does.
type HealthQuery struct {
	// PromQL is an instant query that gives exactly one series.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	PromQL string `json:"promql"`

	// Max is the highest value at which the target does well.
	// +required
	Max resource.Quantity `json:"max"`
}

// VerticalStatus is what the containers of the target should request, and what came of it.
type VerticalStatus struct {
	// TargetRef is the workload that it is about. The policy may have been given another one since.
	// +optional
	TargetRef *TargetReference `json:"targetRef,omitempty"`

	// Containers are the sizes, by container and role.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +listMapKey=role
	Containers []ContainerSizeStatus `json:"containers,omitempty"`

	// SizesSince is when there first were sizes for the target. Pods that were created later should have had theirs from the
	// beginning.
	// +optional
	SizesSince *metav1.Time `json:"sizesSince,omitempty"`

	// PodsSized is how many of the target's pods have the sizes, of PodsTotal.
	// +optional
	PodsSized int32 `json:"podsSized"`
	// +optional
	PodsTotal int32 `json:"podsTotal"`

	// Outcome is what came of the last recorded decision.
	// +optional
	Outcome string `json:"outcome,omitempty"`

	// Reason is its reason, word for word as it stands in the record and in the event.
	// +optional
	Reason string `json:"reason,omitempty"`

	// LastResizeTime is when a pod was last changed.
	// +optional
	LastResizeTime *metav1.Time `json:"lastResizeTime,omitempty"`

	// References are the requests that utilization targets of the horizontal policy are percentages of: those that the
	// pods had when the policy began, and not what they were resized to since.
	// +optional
	// +listType=map
	// +listMapKey=objective
	References []UtilizationReference `json:"references,omitempty"`
}

// About reports whether the status is about a workload, as one without a reference is.
func (s *VerticalStatus) About(ref TargetReference) bool {
	return s.TargetRef == nil || *s.TargetRef == ref
}

// UtilizationReference is what 100% of an objective means.
type UtilizationReference struct {
	// Objective is the name of a horizontal objective.
	// +required
	Objective string `json:"objective"`
	// Request is the request per pod.
	// +required
	Request resource.Quantity `json:"request"`
	// Declared is what the manifest requested per pod when the reference was set. Another manifest sets it anew.
	// +optional
	Declared *resource.Quantity `json:"declared,omitempty"`
}

// ContainerSizeStatus is what one container should request.
type ContainerSizeStatus struct {
	// Name is the container's name.
	// +required
	Name string `json:"name"`

	// Role tells pods of one target apart that behave differently; it is "default" where they do not.
	// +required
	// +kubebuilder:default=default
	Role string `json:"role"`

	// Target is the request after all rules.
	// +optional
	Target corev1.ResourceList `json:"target,omitempty"`

	// Limits are the limits that go with it.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Startup is the request of a pod that is created, where it is another one than Target.
	// +optional
	Startup corev1.ResourceList `json:"startup,omitempty"`

	// Environment holds variables for pods that are created, which bound a heap by the new size.
	// +optional
	Environment map[string]string `json:"environment,omitempty"`

	// LowerBound and UpperBound are what the request could be without harm and without waste.
	// +optional
	LowerBound corev1.ResourceList `json:"lowerBound,omitempty"`
	// +optional
	UpperBound corev1.ResourceList `json:"upperBound,omitempty"`

	// Uncapped is what usage alone asks for.
	// +optional
	Uncapped corev1.ResourceList `json:"uncapped,omitempty"`

	// Models names the model per resource.
	// +optional
	Models map[string]string `json:"models,omitempty"`

	// Confidence is how far the sizes can be trusted, in percent, by the length of the history and its variance.
	// +optional
	Confidence int32 `json:"confidence,omitempty"`

	// Reason says what decided.
	// +optional
	Reason string `json:"reason,omitempty"`
}
