// Package offer makes offers of what providers say about the nodes of their groups: an example of a node, under whatever labels a
// cloud gives it. Providers import it.
package offer

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// CapacityTypeLabel is the label by which policies choose among contracts.
const CapacityTypeLabel = "karpenter.sh/capacity-type"

// Contracts.
const (
	OnDemand = "on-demand"
	Spot     = "spot"
	Reserved = "reserved"
)

// spot are the labels, with their values, by which clouds mark nodes that they may take back.
var spot = map[string][]string{
	CapacityTypeLabel:                       {Spot},
	"eks.amazonaws.com/capacityType":        {"SPOT"},
	"cloud.google.com/gke-spot":             {"true"},
	"cloud.google.com/gke-preemptible":      {"true"},
	"kubernetes.azure.com/scalesetpriority": {"spot"},
	"cluster.x-k8s.io/interruptible":        {"", "true"},
}

// transient are taints of nodes that have just started, or are in trouble: they say nothing of the next node of the group.
var transient = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, corev1.TaintNodeMemoryPressure,
	corev1.TaintNodeDiskPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodePIDPressure, corev1.TaintNodeOutOfService,
	"node.cloudprovider.kubernetes.io/uninitialized", "node.cloudprovider.kubernetes.io/shutdown",
	"ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler", "node.cluster.x-k8s.io/uninitialized",
	"node.cluster.x-k8s.io/outdated-revision",
	v1alpha1.TaintUnregistered, v1alpha1.TaintDisrupted,
}

// Usable says that a node tells enough to plan with.
func Usable(node *corev1.Node) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods} {
		if q := node.Status.Allocatable[name]; q.Sign() <= 0 {
			return false
		}
	}
	return true
}

// FromNode is the offer of one more node like this one in a group. Price, stock and policy are the caller's to fill in.
func FromNode(node *corev1.Node, group string) cluster.Offer {
	labels := maps.Clone(node.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, corev1.LabelHostname)
	for _, key := range []string{v1alpha1.LabelNodePolicy, v1alpha1.LabelNodeClaim} {
		delete(labels, key)
	}
	labels[CapacityTypeLabel] = CapacityType(labels)
	name := labels[corev1.LabelInstanceTypeStable]
	if name == "" {
		name = group
	}
	var taints []corev1.Taint
	for _, t := range node.Spec.Taints {
		if !slices.Contains(transient, t.Key) {
			taints = append(taints, t)
		}
	}
	return cluster.Offer{
		Name: name, Group: group, Zone: labels[corev1.LabelTopologyZone], CapacityType: labels[CapacityTypeLabel],
		Available: true, Labels: labels, Taints: taints, Allocatable: node.Status.Allocatable.DeepCopy(), Stock: -1,
	}
}

// CapacityType is what labels say about the contract, on-demand when they say nothing.
func CapacityType(labels map[string]string) string {
	if labels[CapacityTypeLabel] == Reserved {
		return Reserved
	}
	for key, values := range spot {
		if value, ok := labels[key]; ok && slices.Contains(values, strings.TrimSpace(value)) {
			return Spot
		}
	}
	return OnDemand
}

// Price is a price per hour from prices for a core and for a GiB, for clouds that tell none: what has more then costs more.
func Price(resources corev1.ResourceList, perCPU, perGiB float64) float64 {
	cpu, memory := resources[corev1.ResourceCPU], resources[corev1.ResourceMemory]
	return perCPU*cpu.AsApproximateFloat64() + perGiB*memory.AsApproximateFloat64()/(1<<30)
}
