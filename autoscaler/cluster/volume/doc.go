// Package volume turns a pod's volumes into what a planner can count with: requirements on a node's labels, attachments by driver,
// and claims that only one pod may use.
//
// It is pure, and imports Kubernetes' API types and scheduling helpers only. cluster imports it.
package volume
