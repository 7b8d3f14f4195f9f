// Package sizing decides what the containers of one workload should request, and which of its pods should change when.
//
// It takes estimates (package vertical), a policy, the pods, and what the cluster allows; it gives sizes, a plan of steps for single
// pods, and a record with the reason of each rule. It is pure: values and a time in, values with reasons out. What a policy's
// decisions have in common over time is in a Memory that the caller keeps.
//
// A decision has three parts, each a chain of small rules in a fixed order:
//
//   - what the rules say about the target as a whole (who else sizes it, how much is known, the brake, the mode);
//   - what they say about each resource of each container: the estimate goes in, the request comes out;
//   - what fits: requests and limits of a whole pod against limit ranges, quotas and nodes.
//
// From the sizes follow the steps. What protects a running pod is asked there once more, pod by pod: nothing is taken from a container
// about which nothing recent is known, from one that is starting, or from a heap that cannot shrink.
//
// It imports api, decision, vertical and Kubernetes' types. Packages usage, actuation, admission, export and workload import it.
package sizing
