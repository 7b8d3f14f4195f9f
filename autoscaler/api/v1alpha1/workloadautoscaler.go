package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkloadAutoscaler keeps the number of replicas of one workload, and what its containers request, in line with what its signals
// say. One object holds both, so that they cannot contradict each other.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wa,categories=all
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Kind",type=string,priority=1,JSONPath=`.spec.targetRef.kind`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Min",type=integer,JSONPath=`.spec.horizontal.min`
// +kubebuilder:printcolumn:name="Max",type=integer,JSONPath=`.spec.horizontal.max`
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=`.status.currentReplicas`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desiredReplicas`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.reason`
type WorkloadAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the policy.
	// +required
	Spec WorkloadAutoscalerSpec `json:"spec"`

	// Status is what the controller saw and decided last.
	// +optional
	Status WorkloadAutoscalerStatus `json:"status,omitempty"`
}

// WorkloadAutoscalerList is a list of WorkloadAutoscalers.
//
// +kubebuilder:object:root=true
type WorkloadAutoscalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkloadAutoscaler `json:"items"`
}

// WorkloadAutoscalerSpec is the policy for one workload.
//
// +kubebuilder:validation:XValidation:rule="has(self.horizontal) || has(self.vertical)",message="horizontal, vertical or both must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.horizontal) || !(self.targetRef.kind in ['DaemonSet', 'Job', 'CronJob'])",message="this kind has no number of replicas to set"
type WorkloadAutoscalerSpec struct {
	// TargetRef names the workload in the same namespace. A vertical policy takes Deployments,
	// StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs; a horizontal one any resource with a scale subresource.
	// +required
	TargetRef TargetReference `json:"targetRef"`

	// Mode says how far the controller goes. Observe records signals only; Recommend also publishes what it would set;
	// Apply sets it.
	// +optional
	// +kubebuilder:default=Recommend
	Mode Mode `json:"mode,omitempty"`

	// Horizontal is the policy for the number of replicas.
	// +optional
	Horizontal *HorizontalPolicy `json:"horizontal,omitempty"`

	// Vertical is the policy for what the target's containers request.
	// +optional
	Vertical *VerticalPolicy `json:"vertical,omitempty"`
}

// Mode is a step on the ladder from watching to acting.
//
// +kubebuilder:validation:Enum=Observe;Recommend;Apply
type Mode string

const (
	// Observe reads the signals and records them; nothing is recommended to anybody and nothing is written.
	Observe Mode = "Observe"
	// Recommend publishes the replica count in status, events and records, and leaves the target alone.
	Recommend Mode = "Recommend"
	// Apply writes the replica count through the target's scale subresource.
	Apply Mode = "Apply"
)

// TargetReference names a workload in the namespace of the object that holds the reference.
type TargetReference struct {
	// APIVersion is the group and version of the target, such as apps/v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$`
	APIVersion string `json:"apiVersion"`

	// Kind is the kind of the target, such as Deployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['Pod', 'HorizontalPodAutoscaler', 'VerticalPodAutoscaler', 'WorkloadAutoscaler'])",message="this kind is no workload"
	Kind string `json:"kind"`

	// Name is the name of the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

// HorizontalPolicy says how many replicas there should be.
//
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min must not be above max"
type HorizontalPolicy struct {
	// Min is the smallest number of replicas that the controller asks for.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	Min int32 `json:"min,omitempty"`

	// Max is the largest number of replicas that the controller asks for.
	// +required
	// +kubebuilder:validation:Minimum=1
	Max int32 `json:"max"`

	// Objectives are the signals and what they should be. Each asks for a number of replicas and the highest wins; one
	// that is unknown forbids scaling in, but not scaling out.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Objectives []Objective `json:"objectives"`

	// Behavior limits how fast and how soon the number of replicas changes, exactly as the field of the same name in
	// autoscaling/v2 does, with the same defaults.
	// +optional
	Behavior *Behavior `json:"behavior,omitempty"`

	// Fallback says when a signal counts as lost. A lost signal never scales in.
	// +optional
	// +kubebuilder:default={}
	Fallback Fallback `json:"fallback,omitempty"`
}

// Fallback says when a signal counts as lost.
type Fallback struct {
	// After is the age beyond which the newest sample or line under any selector of an objective is stale. The default
	// allows for applications that export once a minute.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="after must be a duration from 1s to 1h"
	After *metav1.Duration `json:"after,omitempty"`
}
