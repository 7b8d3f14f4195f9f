package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition types of a WorkloadAutoscaler. Their meaning is that of the conditions of the same names on a
// HorizontalPodAutoscaler.
const (
	// AbleToScale is true when the target can be read and written and nobody else owns it.
	AbleToScale = "AbleToScale"
	// ScalingActive is true when every signal that the policy needs is known.
	ScalingActive = "ScalingActive"
	// ScalingLimited is true when a rule keeps the replica count from what the signals ask for.
	ScalingLimited = "ScalingLimited"
	// Sized is true when every pod of the target has the sizes that a vertical policy asks for.
	Sized = "Sized"
)

// WorkloadAutoscalerStatus is what the controller saw and decided last. It is written when something in it changed, at most
// every ten seconds unless the number of replicas changed.
type WorkloadAutoscalerStatus struct {
	// ObservedGeneration is the generation of the policy that was followed.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CurrentReplicas is the number of replicas that the target asked for when the decision was made.
	// +optional
	CurrentReplicas int32 `json:"currentReplicas"`

	// DesiredReplicas is the number of replicas after all rules.
	// +optional
	DesiredReplicas int32 `json:"desiredReplicas"`

	// RecommendedReplicas is the number of replicas that the signals alone ask for, before any rule.
	// +optional
	RecommendedReplicas *int32 `json:"recommendedReplicas,omitempty"`

	// Outcome is what came of the decision.
	// +optional
	Outcome string `json:"outcome,omitempty"`

	// Reason is the reason of the last recorded decision, word for word as it stands in the record and in the event.
	// +optional
	Reason string `json:"reason,omitempty"`

	// LastScaleTime is when the controller last set the number of replicas.
	// +optional
	LastScaleTime *metav1.Time `json:"lastScaleTime,omitempty"`

	// Objectives are the signals as they were last read.
	// +optional
	// +listType=map
	// +listMapKey=name
	Objectives []ObjectiveStatus `json:"objectives,omitempty"`

	// Vertical is what the target's containers should request.
	// +optional
	Vertical *VerticalStatus `json:"vertical,omitempty"`

	// Conditions summarize the state for other programs.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ObjectiveStatus is one signal as it was last read.
type ObjectiveStatus struct {
	// Name is the name of the objective.
	// +required
	Name string `json:"name"`

	// State is Fresh, Stale, Missing or Invalid.
	// +required
	State string `json:"state"`

	// Value is the value, in the unit of the target. Unset when it is unknown.
	// +optional
	Value *resource.Quantity `json:"value,omitempty"`

	// Target is what the value should be.
	// +required
	Target resource.Quantity `json:"target"`

	// Age is the age of the newest sample or line when the value was read, in whole seconds. Unset when there was none.
	// +optional
	Age *metav1.Duration `json:"age,omitempty"`

	// Replicas is the number of replicas that this objective asks for. Unset when the signal is unknown.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// Reason says why the signal is not fresh.
	// +optional
	Reason string `json:"reason,omitempty"`
}
