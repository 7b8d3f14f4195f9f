package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Objective is one signal and what it should be.
//
// +kubebuilder:validation:XValidation:rule="has(self.resource) != has(self.query)",message="exactly one of resource and query must be set"
type Objective struct {
	// Name tells this objective from the others of the same policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Resource is the CPU or memory that the target's pods use.
	// +optional
	Resource *ResourceObjective `json:"resource,omitempty"`

	// Query is a query in PromQL or LogQL that gives one number.
	// +optional
	Query *QueryObjective `json:"query,omitempty"`
}

// ResourceName is a resource whose use is measured.
//
// +kubebuilder:validation:Enum=cpu;memory
type ResourceName string

const (
	// CPU is CPU time, in cores.
	CPU ResourceName = "cpu"
	// Memory is the working set, in bytes.
	Memory ResourceName = "memory"
)

// ResourceObjective is the average use of a resource over the target's pods.
//
// +kubebuilder:validation:XValidation:rule="has(self.utilization) != has(self.averageValue)",message="exactly one of utilization and averageValue must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.window) || self.name == 'cpu'",message="window is for cpu; memory is read as it is"
type ResourceObjective struct {
	// Name is the resource.
	// +required
	Name ResourceName `json:"name"`

	// Utilization is the wanted use in percent of what the pods request.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Utilization *int32 `json:"utilization,omitempty"`

	// AverageValue is the wanted use per pod, such as 500m or 1Gi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="averageValue must be greater than zero"
	AverageValue *resource.Quantity `json:"averageValue,omitempty"`

	// Container restricts both use and requests to the container of this name. Without it, all containers of a pod count.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Container string `json:"container,omitempty"`

	// Window is the time over which the rate of CPU use is taken, 15s when unset. It has to hold two samples or more.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('2s') && duration(self) <= duration('1h')",message="window must be a duration from 2s to 1h"
	Window *metav1.Duration `json:"window,omitempty"`
}

// Per says what a query's target is compared with.
//
// +kubebuilder:validation:Enum=Total;Replica
type Per string

const (
	// PerTotal compares the value as it is: it asks for readyReplicas x value / target, as the type Value of
	// autoscaling/v2 does. It suits signals that every replica lowers, such as a latency or an error rate.
	PerTotal Per = "Total"
	// PerReplica compares the value divided by the replicas: it asks for value / target, as the type AverageValue of
	// autoscaling/v2 does. It suits work to be shared, such as requests per second or the length of a queue.
	PerReplica Per = "Replica"
)

// QueryObjective is a query that gives one number.
//
// +kubebuilder:validation:XValidation:rule="has(self.promql) != has(self.logql)",message="exactly one of promql and logql must be set"
type QueryObjective struct {
	// PromQL is an instant query on metrics. It must give exactly one series.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	PromQL string `json:"promql,omitempty"`

	// LogQL is an instant metric query on logs. It must give at most one series.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	LogQL string `json:"logql,omitempty"`

	// Target is what the value should be.
	// +required
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="target must be greater than zero"
	Target resource.Quantity `json:"target"`

	// Per says whether Target is for the value as it is (Total) or for each replica's share of it (Replica).
	// +optional
	// +kubebuilder:default=Total
	Per Per `json:"per,omitempty"`
}
