package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Behavior limits changes, per direction. Its fields, their meaning and their defaults are those of
// HorizontalPodAutoscalerBehavior in autoscaling/v2, so that a policy can be carried over as it is.
type Behavior struct {
	// ScaleUp holds the rules for more replicas. Unset fields mean: no stabilization, and the higher of 4 pods and 100%
	// per 15 seconds.
	// +optional
	ScaleUp *ScalingRules `json:"scaleUp,omitempty"`

	// ScaleDown holds the rules for fewer replicas. Unset fields mean: 300 seconds of stabilization, and 100% per 15
	// seconds.
	// +optional
	ScaleDown *ScalingRules `json:"scaleDown,omitempty"`
}

// ScalingRules are the rules for one direction.
type ScalingRules struct {
	// StabilizationWindowSeconds is how far back recommendations are considered: the lowest of them counts for scaling
	// up, the highest for scaling down.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	StabilizationWindowSeconds *int32 `json:"stabilizationWindowSeconds,omitempty"`

	// SelectPolicy says which policy counts when there are several: Max (the default) is the one that allows the largest
	// change, Min the smallest, and Disabled forbids this direction.
	// +optional
	SelectPolicy *PolicySelect `json:"selectPolicy,omitempty"`

	// Policies limit the change per period.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Policies []ScalingPolicy `json:"policies,omitempty"`

	// Tolerance is the deviation from the target, as a fraction, below which nothing changes, such as 100m or 0.05. 0.1
	// when unset.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!quantity(string(self)).isLessThan(quantity('0'))",message="tolerance must not be negative"
	Tolerance *resource.Quantity `json:"tolerance,omitempty"`
}

// PolicySelect says which of several scaling policies counts.
//
// +kubebuilder:validation:Enum=Max;Min;Disabled
type PolicySelect string

const (
	// SelectMax takes the policy that allows the largest change.
	SelectMax PolicySelect = "Max"
	// SelectMin takes the policy that allows the smallest change.
	SelectMin PolicySelect = "Min"
	// SelectDisabled forbids any change in this direction.
	SelectDisabled PolicySelect = "Disabled"
)

// PolicyType is the unit of a scaling policy.
//
// +kubebuilder:validation:Enum=Pods;Percent
type PolicyType string

const (
	// PodsPolicy limits the change to a number of pods.
	PodsPolicy PolicyType = "Pods"
	// PercentPolicy limits the change to a percentage of the replicas at the start of the period.
	PercentPolicy PolicyType = "Percent"
)

// ScalingPolicy limits the change within a period.
type ScalingPolicy struct {
	// Type is the unit of Value.
	// +required
	Type PolicyType `json:"type"`

	// Value is the largest change, in pods or percent.
	// +required
	// +kubebuilder:validation:Minimum=1
	Value int32 `json:"value"`

	// PeriodSeconds is the period.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1800
	PeriodSeconds int32 `json:"periodSeconds"`
}
