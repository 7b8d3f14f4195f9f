// Package repair decides which nodes are sick, and what is done about each of them.
//
// A policy's rules name signs of trouble: a condition of the node, the silence of its kubelet or of its collector, an answer of a PromQL or
// LogQL query. A sign that lasts makes a node unhealthy, and an unhealthy node is taken up a ladder: its agent is restarted, its machine
// rebooted, the node replaced. One list of small rules in a fixed order judges every node, and every node gets an answer: healthy,
// watched since when, would be repaired but for what, or what is being done.
//
// What is not known never counts against a node: an answer that is missing or stale, a source that is silent for all nodes at once, a
// node that was never heard of. When more nodes are sick at once than a policy allows, in all or in one of its zones, nothing is done at
// all: that is no matter of single nodes, and replacing them would take the last capacity away.
//
// It is pure: values and a clock's reading in, values with reasons out. What must be remembered between two decisions is in a Memory that
// the caller keeps. It imports api/v1alpha1, decision and disruption; nodes and cmd import it.
package repair
