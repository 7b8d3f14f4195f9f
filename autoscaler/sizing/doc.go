// Package sizing decides what the containers of one workload should request, and which of its pods should change when.
//
// It takes estimates (package vertical), a policy, the pods, and what the cluster allows; it gives sizes, a plan of steps for single
// pods, and a record with the reason of each rule. It is pure: values and a time in, values with reasons out. What a policy's
// decisions have in common over time is in a Memory that the caller keeps.
//
// It imports api, decision, vertical and Kubernetes' types. Packages usage, actuation, replay and workload import it.
package sizing
