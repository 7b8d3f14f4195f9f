package nodes

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// repair carries out what was decided about sick nodes. An attempt is written down before it is made, so that no leader makes it twice.
func (c *Controller) repair(ctx context.Context, now time.Time) {
	for _, name := range c.health.last.Recovered {
		if k := c.world.claims[name]; k != nil {
			c.edit(ctx, k, now, func(s *v1alpha1.NodeClaimStatus) { s.Repairs = nil })
		}
	}
	for i := range c.health.last.Actions {
		a := &c.health.last.Actions[i]
		policy, k := c.world.policies[a.Policy], c.world.claims[a.Claim]
		if policy == nil || k == nil || k.DeletionTimestamp != nil {
			continue
		}
		if !applies(policy) {
			c.tell.recommendRepair(policy, a)
			continue
		}
		if a.Way != repair.Delete {
			if why := c.refusal(a.Node); why != "" && policy.Spec.Disruption.TerminationGracePeriod == nil && a.Way == repair.Surge {
				c.tell.act(policy.Name, decision.Held, "DoNotDisrupt", fmt.Sprintf("Held: node %s is sick, and %s asks for it to be left alone", a.Node, why))
				continue
			}
		}
		attempt := v1alpha1.RepairAttempt{Step: a.Step, Rule: a.Rule, At: metav1.NewTime(now), Message: a.Message}
		noted := c.edit(ctx, k, now, func(s *v1alpha1.NodeClaimStatus) { s.Repairs = append(s.Repairs, attempt) })
		if noted == nil {
			continue // written by somebody else meanwhile: decided anew
		}
		c.tell.repaired(c, policy, a)
		switch {
		case a.Step == v1alpha1.RepairReboot && a.Drain:
			c.emptyFirst(ctx, policy, noted, a, now)
		case a.Step != v1alpha1.RepairReplace:
			c.mend(ctx, noted, a.Step)
		case a.Way == repair.Delete:
			c.discard(ctx, noted, false)
		case a.Way == repair.Force:
			c.discard(ctx, noted, true)
		default:
			c.replaceSick(ctx, policy, noted, a, now)
		}
	}
}

// edit writes a part of a claim's status, and returns nil when that failed.
func (c *Controller) edit(ctx context.Context, k *v1alpha1.NodeClaim, now time.Time, edit func(*v1alpha1.NodeClaimStatus)) *v1alpha1.NodeClaim {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	noted, err := c.deps.Keeper.Edit(ctx, k, edit)
	if err != nil {
		c.couldNot(err, "write the status of a claim", k.Name)
		return nil
	}
	c.world.setClaim(noted, now)
	return noted
}

// mend has the provider take a step on a machine. The loop does not wait for it.
func (c *Controller) mend(ctx context.Context, k *v1alpha1.NodeClaim, step v1alpha1.RepairStep) {
	repairer, ok := c.deps.Providers[k.Spec.Provider].(provider.Repairer)
	if !ok {
		return
	}
	node := k.Status.NodeName
	c.background.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(c.cfg.ProviderTimeout))
		defer cancel()
		if !c.leads() {
			return
		}
		err := repairer.Repair(ctx, k, step)
		if err == nil {
			c.deps.Metrics.steps.WithLabelValues(string(step), "begun").Inc()
			return
		}
		c.deps.Metrics.steps.WithLabelValues(string(step), "failed").Inc()
		c.deps.Logger.Warn("a step of repair failed", "node", node, "step", step, "err", err)
		c.events.add(regardingClaim(k), corev1.EventTypeWarning, "RepairFailed", fmt.Sprintf("%s of node %s failed: %v", step, node, err))
	})
}

// rebootAfter is how long the drain before a reboot may take: what has no other place then is restarted where it is.
const rebootAfter = 2 * time.Minute

// emptyFirst has a node drained, as far as its pods have room elsewhere, before it is rebooted. It comes back afterwards, so nothing is
// bought for it.
func (c *Controller) emptyFirst(ctx context.Context, policy *v1alpha1.NodePolicy, k *v1alpha1.NodeClaim, a *repair.Action, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	noted, err := c.deps.Keeper.Disrupt(ctx, k, v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnhealthy, Message: a.Message, At: metav1.NewTime(now)})
	if err != nil {
		c.couldNot(err, "prepare a reboot", k.Name)
		return
	}
	c.world.setClaim(noted, now)
	c.settle()
	m := &disruption.Move{Reason: v1alpha1.DisruptUnhealthy, Policy: policy.Name, Remove: []string{a.Node}}
	if why := c.crowded(ctx, policy, m, now); why != "" {
		c.takeBack(ctx, []string{k.Name}, why, now)
		if k = c.world.claims[k.Name]; k != nil && k.Status.Disruption == nil {
			// The step was not taken, so it does not count as one that did not help.
			c.edit(ctx, k, now, func(s *v1alpha1.NodeClaimStatus) { s.Repairs = s.Repairs[:max(0, len(s.Repairs)-1)] })
		}
		return
	}
	if err := c.deps.Drainer.Cordon(ctx, c.world.nodes[a.Node], v1alpha1.DisruptUnhealthy); err != nil {
		c.couldNot(err, "keep pods off a node", a.Node)
	}
}

// rebooting reports whether a node leaves only to be rebooted: that was the last step taken.
func rebooting(k *v1alpha1.NodeClaim) bool {
	n := len(k.Status.Repairs)
	return k.Status.Disruption != nil && k.DeletionTimestamp == nil && k.Status.Disruption.Reason == v1alpha1.DisruptUnhealthy &&
		n > 0 && k.Status.Repairs[n-1].Step == v1alpha1.RepairReboot
}

// reboot reboots a node that has been drained, and lets pods come back. The note that it is to be rebooted is taken back first: as long
// as that fails, each round would reboot it again.
func (c *Controller) reboot(ctx context.Context, k *v1alpha1.NodeClaim, now time.Time) {
	c.takeBack(ctx, []string{k.Name}, "it is rebooted", now)
	if left := c.world.claims[k.Name]; left != nil && left.DeletionTimestamp == nil && left.Status.Disruption == nil {
		c.mend(ctx, left, v1alpha1.RepairReboot)
	}
}

// discard deletes a claim without a drain: of a machine that never took pods, or by force, of one that answers nobody.
func (c *Controller) discard(ctx context.Context, k *v1alpha1.NodeClaim, force bool) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if force {
		after, err := c.deps.Keeper.Drained(ctx, k, "Unreachable", "the node answers nobody: there is nothing to be drained")
		if err != nil {
			c.couldNot(err, "give a node back", k.Name)
			return
		}
		c.world.setClaim(after, c.deps.Clock.Now())
		c.deps.Metrics.steps.WithLabelValues(string(v1alpha1.RepairReplace), "begun").Inc()
		return
	}
	if err := c.deps.Keeper.Delete(ctx, k); client.IgnoreNotFound(err) != nil {
		c.couldNot(err, "give a node back", k.Name)
		return
	}
	c.deps.Metrics.steps.WithLabelValues(string(v1alpha1.RepairReplace), "begun").Inc()
}

// replaceSick begins the replacement of a node that is sick and still answers: what takes its place comes first.
func (c *Controller) replaceSick(ctx context.Context, policy *v1alpha1.NodePolicy, k *v1alpha1.NodeClaim, a *repair.Action, now time.Time) {
	outcome := c.world.state.Simulate(cluster.Removal{Nodes: []string{a.Node}, Buy: true, MaxPrice: noPrice, MaxNew: 3})
	if !outcome.Feasible {
		c.tell.act(policy.Name, decision.Held, "NoReplacement", fmt.Sprintf("Held: node %s is sick and cannot be replaced: pod %s would have no place: %s", a.Node, outcome.Blocking, outcome.Reason))
		return
	}
	m := &disruption.Move{Reason: v1alpha1.DisruptUnhealthy, Policy: policy.Name, Remove: []string{a.Node}, Create: outcome.Create, Place: outcome.Moves,
		Saving: outcome.Saving, Code: a.Code, Message: a.Message}
	if c.mixed(m) {
		c.tell.act(policy.Name, decision.Held, "OtherPolicy", fmt.Sprintf("Held: node %s is sick, and its pods would need a node of another policy", a.Node))
		return
	}
	c.begin(ctx, m, now)
	c.deps.Metrics.steps.WithLabelValues(string(v1alpha1.RepairReplace), "begun").Inc()
}

// mixed reports whether a move would buy under more than one policy, or another one than its own. One purchase is charged to one ledger.
func (c *Controller) mixed(m *disruption.Move) bool {
	for i := range m.Create {
		if m.Create[i].Offer.Policy != m.Policy {
			return true
		}
	}
	return false
}

// noPrice is no bound.
const noPrice = 1e18
