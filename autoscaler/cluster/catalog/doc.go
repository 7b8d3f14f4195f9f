// Package catalog is what can be bought, and under which policy: it reads offers from their file format, applies NodePolicies to them,
// and finds what a node costs.
//
// It is pure: bytes and values in, values out. It may import api/v1alpha1, cluster and Kubernetes' API types and scheduling helpers;
// nodes, providers and cmd may import it.
package catalog
