// Package oracle holds the planner against the real kube-scheduler, on a corpus of small random clusters over everything that decides
// where a pod can go.
//
// Of every plan the nodes are made as plain API objects and their pods created: the scheduler must bind each of them. Of every pod that
// the plan calls unschedulable the scheduler must say the same when there is a node of each offer of which one more may be bought. Where
// the scheduler, free to choose, scores nodes differently from the plan and leaves pods over, each pod is offered its planned node alone,
// which must be accepted; and planning once more for what was left must come to an end.
//
// Limits and stocks are kept over all plans of a case. DaemonSets are real: their controller makes their pods on every new node. Claims
// for devices are allocated by the scheduler. Gangs are the planner's alone, since the scheduler knows nothing of them: some of a gang
// must never be planned, and of a gang that is left out the scheduler must not bind as many as it needs, on as many nodes of each offer.
// Preferences must change nothing in who has a place, and at what cost.
//
// Nothing is concluded from how long the scheduler takes: what it refuses is offered to it again until that changes nothing. A case is
// what its seed says: a deviation is run once more, and reported with the seed and everything that the case consists of. It serves tests,
// and only tests import it.
package oracle
