package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodeForecast says that nodes are bought for replicas that will be asked for before a node bought then would be ready. Forecasts are
// made for workloads that a WorkloadAutoscaler in mode Apply scales, and only while they have been right lately. Nodes are bought for
// them after everybody else's, and given back when what was foreseen has not come.
type NodeForecast struct {
	// Horizon is how far to look ahead: what is foreseen within it is bought for. Unset means the time that nine of ten nodes of
	// the policy took to be ready, 5m while that is not known. With several policies the longest counts.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('30s') && duration(self) <= duration('1h')",message="horizon must be a duration from 30s to 1h"
	Horizon *metav1.Duration `json:"horizon,omitempty"`
	// MaxGrowth is by how much, in percent, a forecast may exceed what is asked for now. 100 when unset: twice as much. With several
	// policies the smallest counts.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxGrowth *int32 `json:"maxGrowth,omitempty"`
}

// NodeForecastStatus is what is foreseen for the workloads of all policies with forecasts. A new leader goes on from it.
type NodeForecastStatus struct {
	// Horizon is how far was looked ahead.
	// +optional
	Horizon metav1.Duration `json:"horizon,omitempty"`
	// Pods is how many are foreseen beyond those that are asked for, over all workloads.
	// +optional
	Pods int32 `json:"pods,omitempty"`
	// Workloads are those for which more is foreseen than is asked for, at most 50: those with the most pods.
	// +optional
	// +listType=map
	// +listMapKey=workload
	// +kubebuilder:validation:MaxItems=50
	Workloads []WorkloadForecast `json:"workloads,omitempty"`
}

// WorkloadForecast is what is foreseen for one workload.
type WorkloadForecast struct {
	// Workload is the WorkloadAutoscaler, as namespace/name.
	// +required
	Workload string `json:"workload"`
	// Replicas is the highest number that will be asked for.
	// +required
	Replicas int32 `json:"replicas"`
	// Until is when that has come, or will not: the room is kept until then.
	// +required
	Until metav1.Time `json:"until"`
	// Reason is why, in words and numbers.
	// +optional
	Reason string `json:"reason,omitempty"`
}
