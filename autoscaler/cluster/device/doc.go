// Package device answers whether a node's devices satisfy a pod's resource claims (dynamic resource allocation), with Kubernetes' own
// structured allocator and the features that kube-scheduler 1.37 has on by default: admin access, prioritized lists, partitionable
// devices, consumable capacity, device taints and their rules, and extended resources that devices stand behind.
//
// It is pure apart from evaluating the claims' CEL expressions, whose time it bounds, and imports Kubernetes' API types and its
// allocator only. cluster imports it.
package device
