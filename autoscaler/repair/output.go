package repair

import (
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Decision is what should be done now, and an answer for every node.
type Decision struct {
	// Actions are in the order in which they should begin: those that are sick for longest first. Each is to be recorded in its
	// claim's status (NodeClaimStatus.Repairs) before it is carried out, so that no leader takes a step twice.
	Actions []Action
	// Stopped are the groups of nodes in which nothing is done because too many are sick at once.
	Stopped []Stop
	// Health has an answer for each of Input.Nodes, in the same order.
	Health []Health
	// Unhealthy counts, by policy, the nodes to which a rule applies right now, for however short a time, and those under repair.
	Unhealthy map[string]int
	// Recovered are claims that have recorded attempts and are healthy again for good: their status.repairs can be emptied.
	Recovered []string
}

// Action is one step for one node.
type Action struct {
	// Node is the node's name, or the claim's when there is no node. Claim is never empty.
	Node, Claim, Policy, Zone string
	Step                      v1alpha1.RepairStep
	// Way is how a node is replaced, empty for other steps.
	Way Way
	// Drain is true when pods should be moved away before the step, since they still run.
	Drain bool
	// AvoidOffer is true when the claim's offer should not be bought again for a while.
	AvoidOffer bool
	// Rule is the policy's that found the node sick, or Boot or NodeObject.
	Rule string
	// Code is a stable word for Message: Unhealthy or BootFailed.
	Code, Message string
}

// Way is how a node is replaced.
type Way string

const (
	// Surge makes a new node first, then drains the old one and deletes it.
	Surge Way = "Surge"
	// Force deletes the machine, then the node's pods: nobody is there to end them. The order matters, since a machine that is only
	// unreachable still runs them.
	Force Way = "Force"
	// Delete deletes a machine that never took pods. What it was bought for is planned anew.
	Delete Way = "Delete"
)

// Rules that are there without being in a policy.
const (
	// Boot is that a node does not come up in time.
	Boot = "boot"
	// NodeObject is that a claim's node was there and is not any more.
	NodeObject = "node-object"
)

// Stop is a group of nodes in which repair has stopped.
type Stop struct {
	Policy string
	// Zone is empty for the policy as a whole.
	Zone string
	// Unhealthy of Nodes, and how many the policy tolerates.
	Unhealthy, Nodes, Tolerated int
	// Since is when it stopped.
	Since   time.Time
	Message string
}

// State is how a node is.
type State string

const (
	// Healthy means that no rule applies.
	Healthy State = "Healthy"
	// Booting means that it was never ready yet.
	Booting State = "Booting"
	// Watching means that a rule applies, and not for long enough.
	Watching State = "Watching"
	// Unhealthy means that a rule applies for long enough, and something keeps the node from being repaired right now.
	Unhealthy State = "Unhealthy"
	// Repairing means that a step begins now, or has begun and is given its time.
	Repairing State = "Repairing"
	// Leaving means that it is being taken away.
	Leaving State = "Leaving"
	// Unjudged means that nobody asks for it to be repaired.
	Unjudged State = "Unjudged"
)

// Health is the answer for one node.
type Health struct {
	Node, Claim, Policy, Zone string
	State                     State
	// Rule applies since Since. Both are empty for a healthy node.
	Rule  string
	Since time.Time
	// Code is a stable word for Message, and Message one sentence for people.
	Code, Message string
	// Verdicts are what the rules said, in their order; the last one is the answer. They may be shared between nodes.
	Verdicts []disruption.Verdict
}
