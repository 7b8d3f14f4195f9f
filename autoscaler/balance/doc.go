// Package balance keeps the two directions of one policy from working against each other.
//
// Replicas follow the CPU that pods use, and so do requests. If the replicas' target is a percentage of requests that follow usage,
// each resize looks like a change of load, and each change of replicas like a change of need: the two chase one another. So here
//
//   - what 100% of a utilization target means is a reference of its own: what the manifest declares when the policy begins, moved on
//     purpose and with a reason, and never by a resize;
//   - more load is met with replicas or with larger pods, by a rule that compares what was measured: what a replica costs whatever
//     its load, and how latency depends on the size of pods.
//
// It is pure: values and a time in, values with reasons out. It imports api, horizontal, vertical and Kubernetes' types. Package
// workload imports it.
package balance
