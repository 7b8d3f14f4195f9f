// Package decision is the record of one scaling decision: what went in, what each rule said about it, and what came out.
//
// It is pure: values in, values out. It imports nothing of Yagura, and every other autoscaler package may import it. The JSON
// form of Record is the body of the log entry that the autoscaler ships, and so the form in which decisions are queried,
// drawn and replayed; fields are added to it and never change their meaning.
package decision

import (
	"encoding/json"
	"fmt"
	"time"
)

// Outcome is what came of a decision.
type Outcome string

const (
	// ScaledOut means that the target was given more replicas.
	ScaledOut Outcome = "ScaledOut"
	// ScaledIn means that the target was given fewer replicas.
	ScaledIn Outcome = "ScaledIn"
	// Unchanged means that the replicas fit the signals.
	Unchanged Outcome = "Unchanged"
	// Held means that the signals are unknown, or ask for another number of replicas than a rule allows right now.
	Held Outcome = "Held"
	// Recommended means that another number of replicas is recommended and, by the policy's mode, not set.
	Recommended Outcome = "Recommended"
	// Observed means that the policy's mode asks for the signals to be recorded and nothing else.
	Observed Outcome = "Observed"
	// Failed means that the Kubernetes API refused or did not answer.
	Failed Outcome = "Failed"
)

// Action is what a rule did to the number of replicas.
type Action string

const (
	// Pass leaves the number as it was.
	Pass Action = "Pass"
	// Change replaces the number by another one.
	Change Action = "Change"
	// Hold ends the chain: the target keeps the replicas that it has.
	Hold Action = "Hold"
)

// State says how far a signal can be trusted.
type State string

const (
	// Fresh means that the value is known and recent.
	Fresh State = "Fresh"
	// Stale means that the newest sample or line is older than the policy accepts.
	Stale State = "Stale"
	// Missing means that there is no sample, no line or no answer.
	Missing State = "Missing"
	// Invalid means that there is an answer from which no number can be taken.
	Invalid State = "Invalid"
)

// Verdict is what one rule said. From is the number of replicas before the rule and To the one after it; in a vertical decision, the
// number of pods that were to be changed.
type Verdict struct {
	Rule   string `json:"rule"`
	Action Action `json:"action"`
	// Code is a stable word for the reason: two verdicts with the same code differ in their numbers at most.
	Code   string `json:"code"`
	From   int32  `json:"from"`
	To     int32  `json:"to"`
	Reason string `json:"reason"`
}

// Target is the workload that a decision is about.
type Target struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// Objective is one signal as it went into a decision.
type Objective struct {
	Name string `json:"name"`
	// Kind is Resource, PromQL or LogQL.
	Kind string `json:"kind"`
	// Query is the query as it was sent.
	Query string `json:"query,omitempty"`
	// Value is nil when the signal is unknown.
	Value  *float64 `json:"value,omitempty"`
	Target float64  `json:"target"`
	// Unit is percent, cores or bytes for a resource, and empty for a query.
	Unit string `json:"unit,omitempty"`
	// Per is Replica when Target is for each replica's share of the value, else Total.
	Per string `json:"per"`
	// Replicas is the number that this objective alone asks for, nil when the signal is unknown.
	Replicas *int32 `json:"replicas,omitempty"`
	State    State  `json:"state"`
	// AgeSeconds is the age of the newest sample or line under the selector that has the oldest one, nil when there is none.
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
	Reason     string   `json:"reason,omitempty"`
}

// Record is one decision.
type Record struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Target    Target    `json:"target"`
	Mode      string    `json:"mode"`
	Time      time.Time `json:"time"`
	Outcome   Outcome   `json:"outcome"`
	// Code is a stable word for Reason.
	Code string `json:"code"`
	// Reason is one sentence for people. Status, event and log entry show this very string.
	Reason string `json:"reason"`

	CurrentReplicas int32 `json:"currentReplicas"`
	ReadyReplicas   int32 `json:"readyReplicas"`
	// RecommendedReplicas is what the signals alone ask for; equal to CurrentReplicas when they are unknown.
	RecommendedReplicas int32 `json:"recommendedReplicas"`
	// DesiredReplicas is what is left of it after all rules.
	DesiredReplicas int32 `json:"desiredReplicas"`
	MinReplicas     int32 `json:"minReplicas"`
	MaxReplicas     int32 `json:"maxReplicas"`

	Objectives []Objective `json:"objectives"`
	Verdicts   []Verdict   `json:"verdicts"`

	// Direction is Vertical when the decision is about what containers request. Then Sizes and Pods say what was decided and
	// done, Verdicts hold what the rules said about the target as a whole, and the replicas are those that there are.
	Direction Direction   `json:"direction,omitempty"`
	Sizes     []Size      `json:"sizes,omitempty"`
	Pods      []PodAction `json:"pods,omitempty"`

	// Direction is Nodes when the decision is about nodes. Then these say what was decided, Verdicts hold what the rules said
	// about the policy as a whole, Namespace is empty, and the replicas are the policy's nodes.
	NodeActions []NodeAction `json:"nodeActions,omitempty"`
	NodeCost    *NodeCost    `json:"nodeCost,omitempty"`
	// WithoutNode are at most 50 of WithoutNodeCount pods.
	WithoutNode      []PodWithoutNode `json:"withoutNode,omitempty"`
	WithoutNodeCount int              `json:"withoutNodeCount,omitempty"`

	// EqualTicks is how many evaluations since the previous record of this policy came to the same decision as that record
	// and were not recorded themselves. The records and their EqualTicks together account for every evaluation.
	EqualTicks int64 `json:"equalTicks"`
}

// Scaled reports whether the target's replicas were set.
func (r Record) Scaled() bool { return r.Outcome == ScaledOut || r.Outcome == ScaledIn }

// Sized reports whether pods were given other sizes.
func (r Record) Sized() bool {
	return r.Outcome == Resized || r.Outcome == Recreated || r.Outcome == RolledBack
}

// Alarming reports whether somebody should look at it: the API failed, a signal that the policy needs is unknown, or somebody else
// drives the target. A hold by a window, a rate or a limit is the policy at work.
func (r Record) Alarming() bool {
	if r.Outcome == Failed {
		return true
	}
	for i := range r.Verdicts {
		if v := &r.Verdicts[i]; v.Action == Hold && (v.Rule == "freshness" || v.Rule == "ownership") {
			return true
		}
	}
	return false
}

// JSON returns the record as one line of JSON.
func (r Record) JSON() ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode decision on %s/%s: %w", r.Namespace, r.Name, err)
	}
	return line, nil
}

// same reports whether two records are the same decision. Values, ages and the texts made from them change with every
// evaluation and say nothing new, so verdicts count by rule, action, code and replicas.
func same(a, b *Record) bool {
	if a.Outcome != b.Outcome || a.Code != b.Code || a.Mode != b.Mode ||
		a.CurrentReplicas != b.CurrentReplicas || a.DesiredReplicas != b.DesiredReplicas ||
		a.MinReplicas != b.MinReplicas || a.MaxReplicas != b.MaxReplicas || a.Target != b.Target ||
		len(a.Verdicts) != len(b.Verdicts) || len(a.Objectives) != len(b.Objectives) {
		return false
	}
	for i := range a.Verdicts {
		v, w := &a.Verdicts[i], &b.Verdicts[i]
		if v.Rule != w.Rule || v.Action != w.Action || v.Code != w.Code || v.From != w.From || v.To != w.To {
			return false
		}
	}
	for i := range a.Objectives {
		o, p := &a.Objectives[i], &b.Objectives[i]
		if o.Name != p.Name || o.State != p.State || o.Query != p.Query {
			return false
		}
	}
	return sameSizes(a, b) && sameNodes(a, b)
}
