package consolidation

import (
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// rule is one reason for a node to stay. It answers whether it keeps the node, a stable word, and one clause for people.
type rule struct {
	name  string
	judge func(f *fleet, n *node) (keeps bool, code, message string)
}

// rules in order: first what a node is, then what its policy wants, then what it wants itself, then what happens around it, then what
// runs on it, and last what it would bring. What takes a simulation comes after all of them, see search.
func rules() []rule {
	return []rule{
		{"policy", hasPolicy},
		{"expected", isThere},
		{"underWay", notUnderWay},
		{"mode", modeAllows},
		{"when", whenAllows},
		{"annotation", notAnnotated},
		{"ready", isReady},
		{"age", isOldEnough},
		{"settled", podsAreSettled},
		{"world", worldIsCalm},
		{"growth", notGrowing},
		{"received", notReceiving},
		{"failed", notFailedLately},
		{"remembered", notAnswered},
		{"pods", podsMayMove},
		{"budget", budgetAllows},
		{"worth", worthItsEvictions},
	}
}

// ask puts a node through the rules.
func (f *fleet) ask(n *node) {
	for _, r := range rules() {
		keeps, code, message := r.judge(f, n)
		if keeps {
			n.keeps(r.name, code, message)
			return
		}
		n.passes(r.name, code, message)
	}
	n.eligible = true
	n.pool.eligible = append(n.pool.eligible, n)
}

func hasPolicy(f *fleet, n *node) (bool, string, string) {
	switch {
	case n.candidate.Policy == "":
		return true, "NotOurs", "the node belongs to no NodePolicy"
	case n.pool == nil:
		return true, "PolicyMissing", fmt.Sprintf("the NodePolicy %s is not there", n.candidate.Policy)
	}
	return false, "Ours", "the node belongs to the NodePolicy " + n.candidate.Policy
}

func isThere(f *fleet, n *node) (bool, string, string) {
	if n.candidate.Expected || n.object() == nil {
		return true, "BeingMade", "the node is being made"
	}
	return false, "Exists", "the node is there"
}

func notUnderWay(f *fleet, n *node) (bool, string, string) {
	if f.leaving(n) || n.object().DeletionTimestamp != nil {
		return true, "UnderWay", "the node is being taken away already"
	}
	return false, "Idle", "nothing is being done to the node"
}

func modeAllows(f *fleet, n *node) (bool, string, string) {
	if mode := n.pool.policy.Spec.Mode; mode == v1alpha1.Observe {
		return true, "ObserveOnly", "the policy's mode is Observe"
	}
	return false, "ModeAllows", "the policy's mode plans"
}

func (p *pool) consolidation() *v1alpha1.Consolidation {
	return &p.policy.Spec.Disruption.Consolidation
}

func whenAllows(f *fleet, n *node) (bool, string, string) {
	switch when := n.pool.consolidation().When; when {
	case v1alpha1.ConsolidateNever:
		return true, "ConsolidationOff", "the policy consolidates never"
	case v1alpha1.ConsolidateEmpty:
		if v := f.inspect(n); !f.empty(n) {
			return true, "NotEmpty", fmt.Sprintf("the policy gives back empty nodes only, and %s here", count(len(v.Evict), "pod runs", "pods run"))
		}
		return false, "Empty", "the node is empty, and the policy gives back empty nodes"
	}
	return false, "ConsolidationOn", "the policy gives back empty and underutilized nodes"
}

func notAnnotated(f *fleet, n *node) (bool, string, string) {
	if key, refuses := disruption.NodeRefuses(n.object()); refuses {
		return true, "DoNotDisrupt", fmt.Sprintf("the node is annotated %s: %q", key, n.object().Annotations[key])
	}
	return false, "NotAnnotated", "no annotation keeps the node"
}

func isReady(f *fleet, n *node) (bool, string, string) {
	if !n.candidate.Ready {
		return true, "NotReady", "the node is not ready, which is a matter of repair"
	}
	return false, "Ready", "the node is ready"
}

// after is how long a node's pods must have been the same.
func (p *pool) after() time.Duration {
	if after := p.consolidation().After; after != nil {
		return after.Duration
	}
	return 5 * time.Minute
}

func isOldEnough(f *fleet, n *node) (bool, string, string) {
	if age := f.now.Sub(n.candidate.Created); age < n.pool.after() {
		return true, "TooYoung", fmt.Sprintf("the node is %s old, less than %s", clip(age), n.pool.after())
	}
	return false, "OldEnough", "the node is older than " + n.pool.after().String()
}

func podsAreSettled(f *fleet, n *node) (bool, string, string) {
	last := n.candidate.LastPodChange
	if last.IsZero() {
		return false, "Settled", "no pod has come or gone"
	}
	if since := f.now.Sub(last); since < n.pool.after() {
		return true, "PodsChanged", fmt.Sprintf("a pod came or went %s ago, less than %s", clip(since), n.pool.after())
	}
	return false, "Settled", "the pods have been the same for " + n.pool.after().String()
}

// worldIsCalm holds everything while the world is not known, or while somebody needs the room.
func worldIsCalm(f *fleet, n *node) (bool, string, string) {
	switch {
	case f.in.Stale != "":
		return true, "WorldStale", "what is known of the cluster is stale: " + f.in.Stale
	case f.in.Planner == nil:
		return true, "WorldStale", "nothing can be simulated"
	case f.in.Pending > 0:
		return true, "PodsPending", count(f.in.Pending, "pod waits", "pods wait") + " for a place, and may need this one"
	}
	return false, "Calm", "no pod waits for a place"
}

func notGrowing(f *fleet, n *node) (bool, string, string) {
	grew, ever := f.memory.growth[n.candidate.Policy]
	since := f.now.Sub(grew)
	switch {
	case !ever || since >= f.config.CoolDown.Duration:
		return false, "NotGrowing", "no node was bought lately"
	case f.empty(n):
		return false, "EmptyThoughGrowing", "nodes were bought lately, and none of their pods came here"
	}
	return true, "GrewLately", fmt.Sprintf("nodes were bought for pods %s ago, and load that grows takes up the room that it finds: %s are waited", clip(since), f.config.CoolDown.Duration)
}

func notReceiving(f *fleet, n *node) (bool, string, string) {
	if r := f.memory.nodes[n.name]; r != nil && !r.received.IsZero() {
		if since := f.now.Sub(r.received); since < f.config.Hold.Duration && !f.empty(n) {
			return true, "TookPodsLately", fmt.Sprintf("the node took over pods of another one %s ago, less than %s", clip(since), f.config.Hold.Duration)
		}
	}
	return false, "TookNone", "the node took over no pods lately"
}

func notFailedLately(f *fleet, n *node) (bool, string, string) {
	if r := f.memory.nodes[n.name]; r != nil && f.now.Before(r.until) {
		return true, "FailedLately", fmt.Sprintf("taking it away was given up (%s), and is not tried again for %s", r.failure, clip(r.until.Sub(f.now)))
	}
	return false, "NoFailure", "nothing was given up lately"
}

// notAnswered repeats what simulations found out a moment ago about the same pods. It comes before the pods are looked at one by one,
// which would be most of the work in a fleet that has come to rest.
func notAnswered(f *fleet, n *node) (bool, string, string) {
	if answer, known := f.memory.answered(n, f); known {
		return true, answer.Code, answer.Message
	}
	return false, "Unknown", "the node was not simulated lately"
}

func podsMayMove(f *fleet, n *node) (bool, string, string) {
	v := f.inspect(n)
	if v.Blocker != nil {
		return true, v.Blocked.Code, fmt.Sprintf("the pod %s/%s %s", v.Blocker.Namespace, v.Blocker.Name, v.Blocked.Message)
	}
	if len(v.Evict) == 0 {
		return false, "Empty", "no pod needs another place"
	}
	return false, "Movable", count(len(v.Evict), "pod", "pods") + " may be evicted"
}

func budgetAllows(f *fleet, n *node) (bool, string, string) {
	b := n.pool.budgets[f.reason(n)]
	if b.nodes <= 0 {
		return true, "BudgetExhausted", b.why
	}
	return false, "WithinBudget", b.why
}

// worthItsEvictions asks before any simulation: if the whole price of the node does not outweigh its evictions, nothing will.
func worthItsEvictions(f *fleet, n *node) (bool, string, string) {
	f.inspect(n)
	if n.price <= n.cost {
		return true, "NotWorthEvictions", fmt.Sprintf("the node costs %s an hour and moving its pods is worth %s", money(n.price), money(n.cost))
	}
	return false, "WorthEvictions", fmt.Sprintf("the node costs %s an hour, and moving its pods is worth %s", money(n.price), money(n.cost))
}
