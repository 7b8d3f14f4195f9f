// Package oracle holds the planner against the real kube-scheduler, on a corpus of small random clusters over everything that decides
// where a pod can go.
//
// Of every plan the nodes are made as plain API objects and their pods created: the scheduler must bind each of them. Of every pod that
// the plan calls unschedulable the scheduler must say the same when there is a node of each offer. Where the scheduler, free to choose,
// scores nodes differently from the plan and leaves pods over, each pod is offered its planned node alone, which must be accepted; and
// planning once more for what was left must come to an end.
//
// A case is what its seed says: a deviation is reported with the seed and everything that the case consists of. It serves tests and
// nothing else imports it.
package oracle
