// Package nodes is the loop over nodes: it keeps the planner's state in step with the cluster, plans, and has claims, drains and
// providers carry out what consolidation, repair and upgrade decide. It says of every node why it is there and why it stays.
//
// It may import every other autoscaler package but workload and journal; only the composition imports it.
package nodes
