// Package kube is the index of this node's pods: a watch of the pods that are
// bound to one node, kept as small records that are found by container ID, pod
// UID and pod IP.
//
// It gives cgroups, log files and OTLP batches their namespace, pod, container,
// node and owning workload. It needs one permission: get, list and watch pods,
// with the field selector spec.nodeName. Owners are told from names, so neither
// ReplicaSets nor Jobs are read.
//
// It imports client-go and no other room of the project. The sources of the
// collector (host, podlogs, otlp) and the commands import it.
package kube
