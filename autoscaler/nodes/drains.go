package nodes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

// drain has the drainer do the next thing for a node. The loop does not wait for it, and nothing is begun for a node before the last
// thing is done.
func (c *Controller) drain(ctx context.Context, k *v1alpha1.NodeClaim, places []cluster.Placement, turn map[types.NamespacedName]bool) {
	node := c.world.nodes[c.world.nodeOfClaim[k.Name]]
	if node == nil || c.moves.draining[k.Name] {
		return
	}
	plan := c.drainPlan(k, node, places)
	plan.Turn = turn
	c.moves.draining[k.Name] = true
	c.background.Go(func() {
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		var progress drain.Progress
		if !c.leads() { // the process may have been stopped since the loop has asked
			c.post(ctx, func() { delete(c.moves.draining, k.Name) })
			return
		}
		err := c.deps.Drainer.Cordon(limited, node, plan.Reason)
		if err == nil {
			progress, err = c.deps.Drainer.Drain(limited, node, plan)
		}
		c.post(ctx, func() { c.drainedSoFar(ctx, k, node, progress, err) })
	})
}

// drainPlan is what a drain may do: who is taken away by hand is drained as for an upgrade.
func (c *Controller) drainPlan(k *v1alpha1.NodeClaim, node *corev1.Node, places []cluster.Placement) drain.Plan {
	plan := drain.Plan{Reason: v1alpha1.DisruptDrifted, Places: places, Since: c.deps.Clock.Now()}
	if k.DeletionTimestamp != nil {
		plan.Since = k.DeletionTimestamp.Time
	}
	if why := k.Status.Disruption; why != nil {
		plan.Reason, plan.Since = why.Reason, why.At.Time
	}
	if policy := c.world.policies[k.Spec.Policy]; policy != nil && policy.Spec.Disruption.TerminationGracePeriod != nil {
		grace := policy.Spec.Disruption.TerminationGracePeriod.Duration
		plan.GracePeriod = &grace
	}
	plan.Dead = k.DeletionTimestamp != nil && unreachable(node, c.deps.Clock.Now())
	return plan
}

// deadAfter is how long a node must have been unreachable before nobody waits for its pods to end.
const deadAfter = 5 * time.Minute

// unreachable reports whether the control plane has heard nothing of a node for long.
func unreachable(node *corev1.Node, now time.Time) bool {
	for i := range node.Status.Conditions {
		if cond := &node.Status.Conditions[i]; cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionUnknown && now.Sub(cond.LastTransitionTime.Time) > deadAfter
		}
	}
	return false
}

// drainedSoFar takes in how far a drain has come.
func (c *Controller) drainedSoFar(ctx context.Context, began *v1alpha1.NodeClaim, node *corev1.Node, progress drain.Progress, err error) {
	delete(c.moves.draining, began.Name)
	c.awaitSuccessors(&progress)
	k := c.world.claims[began.Name]
	if k == nil || k.UID != began.UID || ctx.Err() != nil || k.Status.Disruption == nil && k.DeletionTimestamp == nil {
		return
	}
	now := c.deps.Clock.Now()
	switch {
	case err != nil:
		c.couldNot(err, "drain a node", node.Name)
	case progress.Done && rebooting(k):
		c.reboot(ctx, k, now)
	case progress.Done:
		how := claim.DrainedInFull
		if progress.Forced {
			how = claim.DrainedByForce
		} else if progress.Dead {
			how = claim.DrainedDead
		}
		c.end(ctx, k, how, progress.Message, now)
	case progress.Message != "" && now.Sub(c.moves.noted[k.Name]) >= drainNotes:
		c.moves.noted[k.Name] = now
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		noted, err := c.deps.Keeper.Draining(limited, k, progress.Message)
		if err != nil {
			c.couldNot(err, "note how far a drain has come", k.Name)
			return
		}
		c.world.setClaim(noted, now)
	}
}

// drainNotes is how often a claim is told how far its drain has come.
const drainNotes = 5 * time.Second
