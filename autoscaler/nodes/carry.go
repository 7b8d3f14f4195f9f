package nodes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// What is under way is read from the claims alone, so that it goes on after a crash at any point, and under another leader:
//
//	noted       status.disruption is set; the node is cordoned (again)
//	replaced    claims whose spec.replaces names it are awaited
//	rechecked   once they are ready, the removal is simulated anew in the world as it is now
//	draining    the phase says so; pods are evicted to where they have room
//	drained     the condition says so, and the claim is deleted: from here there is no way back
//
// Everything before the last step is taken back when the world has changed.

// Steps of a move.
const (
	stepReplacing = "Replacing"
	stepDraining  = "Draining"
	stepWaiting   = "Waiting"
	stepDeleting  = "Deleting"
)

// carryOn does the next thing for every node that leaves.
func (c *Controller) carryOn(ctx context.Context, now time.Time) {
	for name, m := range c.moves.running {
		if c.world.claims[name] == nil {
			delete(c.moves.running, name)
			c.deps.Metrics.moves.WithLabelValues(string(m.Reason), "done").Inc()
		}
	}
	for name := range c.moves.steps {
		if c.world.claims[name] == nil {
			delete(c.moves.steps, name)
			delete(c.moves.noted, name)
			delete(c.moves.tried, name)
		}
	}
	c.noteReplacements()
	var leaving, prepared []*v1alpha1.NodeClaim
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		k := c.world.claims[name]
		node := c.world.nodes[c.world.nodeOfClaim[name]]
		switch {
		case k.DeletionTimestamp == nil && k.Status.Disruption == nil:
		case k.Status.Phase == v1alpha1.ClaimTerminating || k.DeletionTimestamp != nil && (node == nil || drained(k)):
			c.moves.steps[name] = stepDeleting // the keeper's
		case k.DeletionTimestamp != nil:
			leaving = append(leaving, k)
		case rebooting(k) && now.Sub(k.Status.Disruption.At.Time) > rebootAfter:
			c.reboot(ctx, k, now)
		case drained(k):
			c.moves.steps[name] = stepDeleting
			c.end(ctx, k, claim.DrainedInFull, "the node is drained", now)
		case node == nil:
			c.end(ctx, k, claim.DrainedDead, "there is no node any more", now)
		case !c.goesOn(ctx, k, now):
		case k.Status.Phase == v1alpha1.ClaimDraining:
			leaving = append(leaving, k)
		default:
			prepared = append(prepared, k)
		}
	}
	c.drainAll(ctx, leaving, prepared, now)
}

// goesOn takes a move back whose reason has gone, and reports whether its node may be drained now.
func (c *Controller) goesOn(ctx context.Context, k *v1alpha1.NodeClaim, now time.Time) bool {
	if k.Status.Phase != v1alpha1.ClaimDraining {
		waits, lost := c.awaited(k, now)
		if lost != "" {
			c.takeBack(ctx, c.together(k), lost, now)
			return false
		}
		if waits {
			c.moves.steps[k.Name] = stepReplacing
			return false
		}
	}
	if reason := c.obstacle(k, now); reason != "" {
		c.takeBack(ctx, c.together(k), reason, now)
		return false
	}
	if c.unbacked(k) {
		if outcome := c.without([]*v1alpha1.NodeClaim{k}); !outcome.Feasible {
			c.moves.steps[k.Name] = stepWaiting
			if now.Sub(k.Status.Disruption.At.Time) > purchaseTime {
				c.takeBack(ctx, c.together(k), fmt.Sprintf("nothing was bought in its place, and pod %s would have none: %s", outcome.Blocking, outcome.Reason), now)
			}
			return false
		}
	}
	return true
}

// purchaseTime is how long whoever notes a move may take until its replacements are there.
const purchaseTime = writeTimeout + buyTimeout

// unbacked reports whether nothing was bought for a node that leaves, by a leader that may not have lived to do so. Such a move is no
// reason to press: taken back, it is decided anew, with what has to be bought.
func (c *Controller) unbacked(k *v1alpha1.NodeClaim) bool {
	return k.Status.Phase != v1alpha1.ClaimDraining && !saves(k) && c.moves.running[k.Name] == nil && !rebooting(k) &&
		len(k.Status.Disruption.Replacements) == 0 && len(c.replacements(k.Name)) == 0
}

// maxStarts is how many drains are begun in one round when not all that are prepared can begin at once.
const maxStarts = 10

// drainAll goes on with the drains that are under way, and begins those for which everything is prepared. All of them are simulated
// together in the cluster as it is now, so that no two pods count on the same room.
func (c *Controller) drainAll(ctx context.Context, leaving, prepared []*v1alpha1.NodeClaim, now time.Time) {
	if len(leaving)+len(prepared) == 0 {
		return
	}
	starting, outcome := prepared, c.without(slices.Concat(leaving, prepared))
	if !outcome.Feasible {
		fit, best, lack := c.fitting(leaving)
		if lack != nil {
			c.giveUpOne(ctx, leaving, lack, now)
		}
		starting, outcome = c.begun(ctx, fit, prepared, best, now)
	}
	for _, k := range starting {
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		noted, err := c.deps.Keeper.Draining(limited, k, "its pods are being moved")
		cancel()
		if err != nil {
			c.couldNot(err, "begin a drain", k.Name)
			continue
		}
		c.world.setClaim(noted, now)
		leaving = append(leaving, noted)
	}
	places := slices.DeleteFunc(slices.Clone(outcome.Moves), func(p cluster.Placement) bool { return !c.takesPods(p.Node) })
	turn := c.turn(ctx, leaving, now)
	for _, k := range leaving {
		if k = c.world.claims[k.Name]; k.Status.Disruption == nil && k.DeletionTimestamp == nil {
			continue // taken back a moment ago
		}
		c.moves.steps[k.Name] = stepDraining
		if saves(k) {
			c.drain(ctx, k, places, turn)
		} else {
			c.drain(ctx, k, places, nil)
		}
	}
}

// fitting finds drains whose pods have room all together, and what the others lack: a pod without a place holds up its own node and no
// other one.
func (c *Controller) fitting(leaving []*v1alpha1.NodeClaim) (fit []*v1alpha1.NodeClaim, best cluster.Outcome, lack *cluster.Outcome) {
	best = c.without(leaving)
	if best.Feasible {
		return leaving, best, nil
	}
	last := best
	lack, best = &last, cluster.Outcome{Feasible: true}
	for _, k := range leaving[:min(len(leaving), maxFitting)] {
		if outcome := c.without(append(slices.Clone(fit), k)); outcome.Feasible {
			fit, best = append(fit, k), outcome
		}
	}
	return fit, best, lack
}

// maxFitting is how many drains are looked at one by one in a round when there is no room for all of them.
const maxFitting = 50

// begun finds which of the prepared drains can begin beside those under way, and takes back those that cannot.
func (c *Controller) begun(ctx context.Context, leaving, prepared []*v1alpha1.NodeClaim, best cluster.Outcome, now time.Time) ([]*v1alpha1.NodeClaim, cluster.Outcome) {
	var starting []*v1alpha1.NodeClaim
	// Those that have waited longest without a look come first, so that some without room do not keep the rest from being looked at.
	slices.SortStableFunc(prepared, func(a, b *v1alpha1.NodeClaim) int { return c.moves.tried[a.Name].Compare(c.moves.tried[b.Name]) })
	for _, k := range prepared[:min(len(prepared), maxStarts)] {
		c.moves.tried[k.Name] = now
		outcome := c.without(slices.Concat(leaving, starting, []*v1alpha1.NodeClaim{k}))
		switch {
		case outcome.Feasible:
			starting, best = append(starting, k), outcome
		case c.forced(k) && !c.unbacked(k):
			starting = append(starting, k)
		case saves(k) || now.Sub(k.Status.Disruption.At.Time) > time.Duration(c.cfg.ReplacementTimeout):
			c.takeBack(ctx, c.together(k), fmt.Sprintf("pod %s would have no place any more: %s", outcome.Blocking, outcome.Reason), now)
		default:
			c.moves.steps[k.Name] = stepWaiting
		}
	}
	return starting, best
}

// giveUpOne takes back the drain that was begun last of those that only save money: the pods have no place any more. Pods without one
// are not evicted meanwhile.
func (c *Controller) giveUpOne(ctx context.Context, leaving []*v1alpha1.NodeClaim, outcome *cluster.Outcome, now time.Time) {
	var last *v1alpha1.NodeClaim
	for _, k := range leaving {
		if k.DeletionTimestamp == nil && saves(k) && (last == nil || last.Status.Disruption.At.Before(&k.Status.Disruption.At)) {
			last = k
		}
	}
	if last != nil {
		c.takeBack(ctx, []string{last.Name}, fmt.Sprintf("pod %s would have no place any more: %s", outcome.Blocking, outcome.Reason), now)
	}
}

// saves reports whether a node is only taken away to save money.
func saves(k *v1alpha1.NodeClaim) bool {
	return k.Status.Disruption != nil && savesMoney(k.Status.Disruption.Reason)
}

func savesMoney(reason v1alpha1.DisruptionReason) bool {
	return reason == v1alpha1.DisruptEmpty || reason == v1alpha1.DisruptUnderutilized
}

// without simulates the cluster as it is now without the nodes of claims.
func (c *Controller) without(claims []*v1alpha1.NodeClaim) cluster.Outcome {
	if len(claims) == 0 {
		return cluster.Outcome{Feasible: true}
	}
	nodes := make([]string, len(claims))
	for i, k := range claims {
		nodes[i] = c.world.nodeOfClaim[k.Name]
	}
	var outcome cluster.Outcome
	c.world.foresee(func() { outcome = c.world.state.Simulate(cluster.Removal{Nodes: nodes}) })
	return outcome
}

// together are the claims that leave in one move: those that share a replacement with this one, and it.
func (c *Controller) together(k *v1alpha1.NodeClaim) []string {
	set := map[string]bool{k.Name: true}
	for _, name := range c.replacements(k.Name) {
		for _, other := range c.world.claims[name].Spec.Replaces {
			if o := c.world.claims[other]; o != nil && o.Status.Disruption != nil && o.Status.Phase != v1alpha1.ClaimDraining {
				set[other] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// awaited reports whether replacements are not ready yet, and says why they never will be.
func (c *Controller) awaited(k *v1alpha1.NodeClaim, now time.Time) (waits bool, lost string) {
	found := c.replacements(k.Name)
	for _, name := range k.Status.Disruption.Replacements {
		if r := c.world.claims[name]; r == nil || r.DeletionTimestamp != nil {
			return false, fmt.Sprintf("its replacement %s did not come to be", name)
		}
	}
	if m := c.moves.running[k.Name]; m != nil && len(found) < len(m.Create) {
		return false, "a replacement did not come to be"
	}
	for _, name := range found {
		r := c.world.claims[name]
		if r.Status.Phase != v1alpha1.ClaimReady || !isReady(c.world.nodes[c.world.nodeOfClaim[name]]) {
			waits = true
		}
	}
	if waits && now.Sub(k.Status.Disruption.At.Time) > time.Duration(c.cfg.ReplacementTimeout) {
		return false, fmt.Sprintf("its replacements were not ready within %s", time.Duration(c.cfg.ReplacementTimeout))
	}
	return waits, ""
}

// obstacle says what has changed since a move was decided so that it must not go on, empty when nothing has.
func (c *Controller) obstacle(k *v1alpha1.NodeClaim, now time.Time) string {
	why := k.Status.Disruption
	policy := c.world.policies[k.Spec.Policy]
	if policy == nil {
		return ""
	}
	if !applies(policy) {
		return fmt.Sprintf("the policy's mode is %s by now", policy.Spec.Mode)
	}
	saves := saves(k)
	if saves && now.Sub(why.At.Time) > time.Duration(c.cfg.ReplacementTimeout+c.cfg.DrainTimeout) {
		return "it took too long, and a saving is not worth pressing for"
	}
	if c.forced(k) {
		return ""
	}
	node := c.world.nodeOfClaim[k.Name]
	view, ok := c.world.state.NodeView(node)
	if !ok {
		return ""
	}
	verdict := disruption.NewInspector(c.surroundings(now)).Node(&view)
	if verdict.Blocker != nil && (saves && !verdict.Blocked.Passing || verdict.Blocked.Code == "DoNotDisrupt") {
		return fmt.Sprintf("pod %s/%s %s", verdict.Blocker.Namespace, verdict.Blocker.Name, verdict.Blocked.Message)
	}
	if k.Status.Phase != v1alpha1.ClaimDraining && why.Reason == v1alpha1.DisruptEmpty && len(verdict.Evict) > 0 {
		return fmt.Sprintf("pod %s/%s runs there by now", verdict.Evict[0].Namespace, verdict.Evict[0].Name)
	}
	if saves && c.short() {
		return "pods have come that need the room"
	}
	return ""
}

// forced reports whether a node's pods can only hold it up for a time that is set.
func (c *Controller) forced(k *v1alpha1.NodeClaim) bool {
	policy := c.world.policies[k.Spec.Policy]
	why := k.Status.Disruption
	return policy != nil && policy.Spec.Disruption.TerminationGracePeriod != nil && why != nil &&
		(why.Reason == v1alpha1.DisruptDrifted || why.Reason == v1alpha1.DisruptUnhealthy)
}

// short reports whether nodes are being bought for pods, or pods are known to which no node can be given.
func (c *Controller) short() bool { return len(c.round.plan.Create) > 0 }

// end says that a node is drained, and deletes its claim.
func (c *Controller) end(ctx context.Context, k *v1alpha1.NodeClaim, how claim.DrainEnd, message string, now time.Time) {
	after, err := c.deps.Keeper.Drained(ctx, k, how, message)
	if err != nil {
		c.couldNot(err, "give a node back", k.Name)
		return
	}
	c.world.setClaim(after, now)
	c.tell.ended(c, k, message)
}

func drained(k *v1alpha1.NodeClaim) bool {
	for i := range k.Status.Conditions {
		if cond := &k.Status.Conditions[i]; cond.Type == v1alpha1.ConditionDrained {
			return cond.Status == "True"
		}
	}
	return false
}
