// Package device answers whether a node's devices satisfy a pod's resource claims (dynamic resource allocation), with Kubernetes' own
// structured allocator.
//
// It is pure apart from evaluating the claims' CEL expressions, and imports Kubernetes' API types and its allocator only. cluster imports it.
package device
