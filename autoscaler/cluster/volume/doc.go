// Package volume turns a pod's volumes into what a planner can count with: requirements on a node's labels, attachments by driver,
// claims that only one pod may use, and the volumes that waiting claims would take.
//
// The answers are those of kube-scheduler's plugins VolumeBinding, VolumeZone, NodeVolumeLimits and VolumeRestrictions (1.37, with
// the features that are on by default).
//
// It is pure, and imports Kubernetes' API types and storage and scheduling helpers only. cluster imports it.
package volume
