// Package disruption holds what everybody shares who takes nodes away that work: the pods of a node and what keeps them there, what it
// costs to move them, budgets with schedules, and moves.
//
// It is pure: values and a clock's reading in, values with reasons out. It may import api/v1alpha1, cluster and decision;
// consolidation, repair, upgrade and nodes import it, and it imports none of them.
package disruption

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Candidate is a node that might be taken away.
type Candidate struct {
	cluster.NodeView
	// Reason is why it would be.
	Reason v1alpha1.DisruptionReason
	// Ready is false for a node that does not take pods: it counts as disrupted already.
	Ready bool
	// Created is when the node came into being.
	Created time.Time
}

// Move is a set of nodes to take away at once, and what takes their place.
type Move struct {
	Reason v1alpha1.DisruptionReason
	// Remove are the names of nodes, all of one policy.
	Policy string
	Remove []string
	// Create must be ready before anything is drained. Empty when the pods fit on nodes that there are.
	Create []cluster.NewNode
	// Place says where each evicted pod has room.
	Place []cluster.Placement
	// Saving is money per hour, Cost what the evictions are worth in the same unit (see the scoring).
	Saving, Cost float64
	// Code is a stable word for Message, Message one sentence for people.
	Code, Message string
}

// Verdict is what one rule said about a node.
type Verdict struct {
	Rule string
	// Stays is true when the rule keeps the node; the rules after it are not asked then.
	Stays   bool
	Code    string
	Message string
}

// Stay is why a node stays, or what is about to happen to it: an answer for every node at any time.
type Stay struct {
	Node     string
	Code     string
	Message  string
	Verdicts []Verdict
}

// World is what rules may look at beside the nodes.
type World struct {
	Now      time.Time
	Policies []*v1alpha1.NodePolicy
	PDBs     []*policyv1.PodDisruptionBudget
	// Replicas is how many replicas a pod's owner has that are ready, by the owner's UID; 0 when unknown.
	Replicas func(owner string) int
	// Disrupted are nodes that are being taken away, by policy.
	Disrupted map[string][]string
}
