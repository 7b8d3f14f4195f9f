// Package workload is the one loop that carries WorkloadAutoscalers out: every second it reads the signals of each, lets the
// horizontal package decide, and acts through the target's scale subresource.
//
// Everything it knows about the cluster comes from informer caches, so that an evaluation costs the API server nothing unless
// something is to be written; the scale subresource is read live right before it is written. What a policy's evaluations
// have in common over time (its history, its last record) lives in memory. Records go to a Journal, to the policy's status
// and, when they are about a change or a hold, to Events, always with the same words.
//
// The package imports the other autoscaler packages and Kubernetes' client libraries; the autoscaler's composition imports it.
package workload
