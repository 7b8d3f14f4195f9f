package nodes

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster/catalog"
)

// Conditions of NodePolicies that are written here.
const (
	conditionReady         = "Ready"
	conditionRepairStopped = "RepairStopped"
)

// maxStayWrites is how many claims are told in one round why they stay: the answer changes for many at once when the load does.
const maxStayWrites = 20

// report tells of everything: records, statuses, metrics and the View.
func (c *Controller) report(ctx context.Context, now time.Time) {
	v, counts := c.snapshot(now)
	for name, policy := range c.world.policies {
		c.publish(ctx, policy, c.record(policy, counts[name], now))
	}
	for name := range c.tell.policies {
		if c.world.policies[name] == nil {
			delete(c.tell.policies, name)
		}
	}
	for i := range v.Policies {
		if t := c.tell.policies[v.Policies[i].Name]; t != nil {
			v.Policies[i].Outcome, v.Policies[i].Reason = string(t.last.Outcome), t.last.Reason
		}
	}
	c.view.Store(v)
	_, unschedulable := c.withoutNode()
	c.deps.Metrics.show(v, unschedulable)
	if c.hold() != "" {
		c.deps.Metrics.held.Inc()
		return
	}
	for name, policy := range c.world.policies {
		c.writeStatus(ctx, policy, counts[name], now)
	}
	c.writeStays(ctx, v, now)
	if pendingPods := len(c.world.pending) > 0; pendingPods && now.Sub(c.round.planned) >= replan || now.Sub(c.round.planned) >= recount || c.round.outdated && c.recountDue(now) || c.retryDue(now) {
		c.batch.note(now.Add(-c.batch.idle))
	}
}

// retryDue reports whether a purchase that failed may be tried again.
func (c *Controller) retryDue(now time.Time) bool {
	due := false
	for name, at := range c.round.retryAt {
		if !now.Before(at) {
			delete(c.round.retryAt, name)
			due = true
		}
	}
	return due
}

// writeStatus writes a policy's status when it says something else. What changes with every pod is written now and then only.
func (c *Controller) writeStatus(ctx context.Context, policy *v1alpha1.NodePolicy, count *fleetCount, now time.Time) {
	t := c.tell.of(policy.Name)
	after := policy.DeepCopy()
	s := &after.Status
	s.ObservedGeneration = policy.Generation
	s.ReadyNodes, s.UnhealthyNodes = int32(count.ready), int32(count.unhealthy)
	s.Outcome, s.Reason = string(t.last.Outcome), t.last.Reason
	if !t.changedAt.IsZero() && (policy.Status.Outcome != s.Outcome || policy.Status.LastChangeTime == nil) {
		at := metav1.NewTime(t.changedAt)
		s.LastChangeTime = &at
	}
	s.Upgrade = c.moves.upgrades[policy.Name]
	s.Forecast = c.ahead.status(policy)
	c.setConditions(after, now)
	urgent := policy.Status.Outcome != s.Outcome || policy.Status.ObservedGeneration != s.ObservedGeneration || policy.Status.ReadyNodes != s.ReadyNodes ||
		!apiequality.Semantic.DeepEqual(policy.Status.Conditions, s.Conditions)
	if !urgent && now.Sub(t.writtenAt) < time.Duration(c.cfg.StatusInterval) {
		return
	}
	if bound := quantity(c.round.bound); c.round.outdated {
		s.LowerBound = nil // of another fleet than the one that the rest is about
	} else if s.LowerBound == nil || s.LowerBound.Cmp(bound) != 0 {
		s.LowerBound = &bound
	}
	if apiequality.Semantic.DeepEqual(policy.Status, after.Status) {
		return
	}
	t.writtenAt = now
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	// Only what has changed is sent, so the ledger, which others write, is never touched. The version makes sure that the answer is
	// the policy as it is.
	if err := c.deps.Client.Status().Patch(ctx, after, client.MergeFrom(policy)); err != nil {
		if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
			c.deps.Logger.Warn("cannot write the status of a node policy", "policy", policy.Name, "err", err)
		}
		return
	}
	after.SetManagedFields(nil)
	c.world.setPolicy(after)
}

func quantity(price float64) resource.Quantity {
	return claim.Price(math.Round(price*1e3) / 1e3)
}

func (c *Controller) setConditions(p *v1alpha1.NodePolicy, now time.Time) {
	ready := metav1.Condition{Type: conditionReady, Status: metav1.ConditionTrue, Reason: "Understood", Message: "the policy is understood and its provider answers"}
	page := c.book.pages[p.Name]
	switch err := catalog.Validate(p); {
	case err != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "Invalid", err.Error()
	case page == nil || page.err == nil && page.answered.IsZero():
		ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, "Asking", "the provider has not answered yet"
	case page.err != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "Provider", page.err.Error()
	}
	stopped := metav1.Condition{Type: conditionRepairStopped, Status: metav1.ConditionFalse, Reason: "Calm", Message: "repairs may be made"}
	if stops := c.health.stopped(p.Name); len(stops) > 0 {
		stopped.Status, stopped.Reason, stopped.Message = metav1.ConditionTrue, "Storm", stops[0].Message
	}
	conditions := []metav1.Condition{ready, stopped}
	if astray := c.tell.astrayCondition(p.Spec.Provider.Name); astray != nil {
		conditions = append(conditions, *astray)
	} else {
		meta.RemoveStatusCondition(&p.Status.Conditions, conditionAstray)
	}
	for _, cond := range conditions {
		cond.ObservedGeneration, cond.LastTransitionTime = p.Generation, metav1.NewTime(now)
		meta.SetStatusCondition(&p.Status.Conditions, cond)
	}
}

// writeStays notes in claims why their nodes stay, when the answer has become another one.
func (c *Controller) writeStays(ctx context.Context, v *View, now time.Time) {
	writes := 0
	for i := range v.Nodes {
		n := &v.Nodes[i]
		k := c.world.claims[n.Claim]
		if k == nil || k.Status.Phase != v1alpha1.ClaimReady || k.DeletionTimestamp != nil || n.Stay.Code == "" || n.Stay.Code == "NotAsked" {
			continue
		}
		if c.tell.stays[n.Claim] == n.Stay.Code {
			continue
		}
		stay := fmt.Sprintf("%s: %s", n.Stay.Code, n.Stay.Message)
		c.tell.stays[n.Claim] = n.Stay.Code
		if prefix := n.Stay.Code + ": "; len(k.Status.Stay) >= len(prefix) && k.Status.Stay[:len(prefix)] == prefix {
			continue // an earlier leader has said so
		}
		if writes++; writes > maxStayWrites {
			delete(c.tell.stays, n.Claim)
			return
		}
		c.edit(ctx, k, now, func(s *v1alpha1.NodeClaimStatus) { s.Stay = stay })
	}
	for name := range c.tell.stays {
		if c.world.claims[name] == nil {
			delete(c.tell.stays, name)
		}
	}
}
