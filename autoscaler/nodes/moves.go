package nodes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// mover is what is known of nodes that are taken away. What must survive the process is in the claims; this is what makes it go
// smoothly.
type mover struct {
	memory   *consolidation.Memory
	renewal  *upgrade.Memory
	versions versions
	// drifted are the answers of renewal by policy and node, renewals what policies that only recommend would renew.
	drifted  map[string]map[string]disruption.Stay
	renewals []disruption.Move
	// decided is when consolidation was asked last.
	decided time.Time
	stays   map[string]disruption.Stay
	// planned are moves of policies that only recommend.
	planned []disruption.Move
	// running are the moves that this leader began, by the claims that leave: for what the claims do not say.
	running map[string]*disruption.Move
	// steps are what the moves under way do right now, by claim.
	steps map[string]string
	// draining are calls under way, by claim.
	draining map[string]bool
	// noted is when claims were told how far their drain has come.
	noted map[string]time.Time
	// tried is when it was looked at last whether a drain that is prepared can begin.
	tried    map[string]time.Time
	upgrades map[string]*v1alpha1.UpgradeStatus
	// turned are the pods whose turn it was last, flights those that were evicted and whose successors are awaited. round counts turns.
	turned  map[types.NamespacedName]flight
	flights map[types.NamespacedName]flight
	round   int
	// taken are replacements that consolidation was told of.
	taken map[string]bool
}

func newMover() mover {
	return mover{memory: consolidation.NewMemory(), renewal: upgrade.NewMemory(), versions: versions{raised: map[string]time.Time{}},
		drifted: map[string]map[string]disruption.Stay{}, stays: map[string]disruption.Stay{},
		running: map[string]*disruption.Move{}, steps: map[string]string{}, draining: map[string]bool{}, noted: map[string]time.Time{}, tried: map[string]time.Time{}, upgrades: map[string]*v1alpha1.UpgradeStatus{},
		flights: map[types.NamespacedName]flight{}, taken: map[string]bool{}}
}

// writeTimeout is how long the writes that begin or end a move may take.
const writeTimeout = 10 * time.Second

// move goes on with what is under way, and begins what is due: repair before renewal before savings, all out of one budget.
func (c *Controller) move(ctx context.Context, now time.Time) {
	c.settle()
	c.world.state.SetTime(now)
	why := c.hold()
	if why == "" {
		c.carryOn(ctx, now)
		c.reopen(ctx)
	}
	c.examine(now)
	c.moves.renewals = nil
	if why == "" {
		c.repair(ctx, now)
		c.renew(ctx, now)
	}
	c.consolidate(ctx, now, why)
}

// surroundings are what rules look at beside the nodes.
func (c *Controller) surroundings(now time.Time) disruption.World {
	w := disruption.World{Now: now, Replicas: c.world.ready, Disrupted: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(c.world.policies)) {
		w.Policies = append(w.Policies, c.world.policies[name])
	}
	for _, pdb := range c.world.pdbs {
		w.PDBs = append(w.PDBs, pdb)
	}
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		k := c.world.claims[name]
		if k.DeletionTimestamp == nil && k.Status.Disruption == nil {
			continue
		}
		node := c.world.nodeOfClaim[name]
		if node == "" {
			node = name
		}
		w.Disrupted[k.Spec.Policy] = append(w.Disrupted[k.Spec.Policy], node)
	}
	return w
}

// candidates are all nodes there are, and those that are being made.
func (c *Controller) candidates() []disruption.Candidate {
	names := c.world.state.Nodes()
	out := make([]disruption.Candidate, 0, len(names))
	for _, name := range names {
		view, ok := c.world.state.NodeView(name)
		if !ok {
			continue
		}
		k := disruption.Candidate{NodeView: view, Ready: !view.Expected && isReady(view.Node.Node) && !view.Node.Node.Spec.Unschedulable, Created: view.Node.Node.CreationTimestamp.Time}
		out = append(out, k)
	}
	return out
}

// consolidate asks which nodes can be given back.
func (c *Controller) consolidate(ctx context.Context, now time.Time, stale string) {
	if now.Sub(c.moves.decided) < time.Duration(c.cfg.ConsolidationInterval) {
		return
	}
	c.moves.decided = now
	c.setOffers(now)
	c.setPolicies()
	started := time.Now()
	pending := len(c.world.unjudged)
	for _, n := range c.round.plan.Create {
		pending += len(n.Pods)
	}
	for i := range c.round.plan.Placed {
		p := &c.round.plan.Placed[i].Pod
		if _, waits := c.world.pending[p.NamespacedName]; waits && p.Demand == "" {
			pending++
		}
	}
	var d consolidation.Decision
	c.withForecasts(func() {
		d = consolidation.Decide(consolidation.Input{
			World: c.surroundings(now), Planner: c.world.state, Candidates: c.candidates(), Memory: c.moves.memory, Config: c.cfg.Consolidation,
			Stale: stale, Pending: pending, Growing: c.growing(),
		})
	})
	c.deps.Metrics.decideSeconds.WithLabelValues("consolidation").Observe(time.Since(started).Seconds())
	c.moves.stays = d.Stays
	c.moves.planned = nil
	for i := range d.Moves {
		m := &d.Moves[i]
		if !applies(c.world.policies[m.Policy]) {
			c.moves.planned = append(c.moves.planned, *m)
			continue
		}
		if stale == "" {
			c.begin(ctx, m, now)
		}
	}
}

// growing are the policies that are making nodes for pods, and not for a move.
func (c *Controller) growing() []string {
	set := map[string]bool{}
	for _, k := range c.world.claims {
		if expected(k) && len(k.Spec.Replaces) == 0 {
			set[k.Spec.Policy] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// begin notes a move in the claims that leave, keeps pods off their nodes, and asks for what takes their place. What has been noted when
// something fails is found, and taken back, by the next round.
func (c *Controller) begin(ctx context.Context, m *disruption.Move, now time.Time) {
	policy := c.world.policies[m.Policy]
	var leaving []*v1alpha1.NodeClaim
	for _, node := range m.Remove {
		k := c.world.claims[c.world.claimOfNode[node]]
		if k == nil || k.DeletionTimestamp != nil || k.Status.Disruption != nil || k.Spec.Policy != m.Policy {
			return // not ours, or on its way out already
		}
		leaving = append(leaving, k)
	}
	if policy == nil || len(leaving) == 0 {
		return
	}
	if why := c.overBudget(policy, m, now); why != "" {
		c.deps.Logger.Info("a move waits for the budget", "policy", policy.Name, "remove", m.Remove, "why", why)
		return
	}
	if len(m.Create) == 0 && savesMoney(m.Reason) {
		if holds, why := c.holds(m.Remove); !holds {
			c.moves.memory.Failed(*m, why, c.cfg.Consolidation, now)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout+buyTimeout)
	defer cancel()
	var names []string
	for _, k := range leaving {
		noted, err := c.deps.Keeper.Disrupt(ctx, k, v1alpha1.ClaimDisruption{Reason: m.Reason, Message: m.Message, At: metav1.NewTime(now)})
		if err != nil {
			c.couldNot(err, "begin a move", k.Name)
			c.takeBack(ctx, names, "another node of the same move could not be taken away", now)
			return
		}
		c.world.setClaim(noted, now)
		names = append(names, k.Name)
	}
	c.settle()
	if why := c.crowded(ctx, policy, m, now); why != "" {
		c.takeBack(ctx, names, why, now)
		return
	}
	for _, node := range m.Remove {
		if err := c.deps.Drainer.Cordon(ctx, c.world.nodes[node], m.Reason); err != nil {
			c.couldNot(err, "keep pods off a node", node)
			c.takeBack(ctx, names, fmt.Sprintf("node %s could not be cordoned", node), now)
			return
		}
	}
	if len(m.Create) > 0 {
		made, err := c.buy(ctx, policy, m.Create, m.Message, names)
		if err != nil {
			c.deps.Logger.Info("the replacements of a move could not be bought", "policy", policy.Name, "remove", m.Remove, "err", err)
			c.takeBack(ctx, names, fmt.Sprintf("its replacements could not be bought: %v", err), now)
			return
		}
		c.tell.replaced(c, policy, m, made)
	}
	for _, name := range names {
		c.moves.running[name] = m
	}
	c.moves.memory.Began(*m, now)
	c.deps.Metrics.moves.WithLabelValues(string(m.Reason), "began").Inc()
	c.tell.leaving(c, policy, m)
	c.settle()
}

// overBudget says why no more nodes may be disrupted, empty when they may.
func (c *Controller) overBudget(policy *v1alpha1.NodePolicy, m *disruption.Move, now time.Time) string {
	candidates := c.candidates()
	nodes, disrupted := disruption.Count(policy.Name, candidates, c.surroundings(now))
	for i := range candidates {
		if n := &candidates[i]; n.Policy == policy.Name && !n.Expected && !n.Ready && slices.Contains(m.Remove, n.Name()) {
			disrupted-- // a node that takes no pods is counted among the disrupted already
		}
	}
	allowed, why, err := disruption.Allowed(policy, m.Reason, nodes, disrupted, now)
	switch {
	case err != nil:
		return err.Error()
	case allowed < len(m.Remove):
		return why
	}
	return ""
}

// takeBack undoes moves: the nodes take pods again, and what was bought for them and is not used is given back.
func (c *Controller) takeBack(ctx context.Context, claims []string, why string, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	for _, name := range claims {
		k := c.world.claims[name]
		if k == nil || k.DeletionTimestamp != nil || k.Status.Disruption == nil {
			continue
		}
		reason := k.Status.Disruption.Reason
		if node := c.world.nodes[c.world.nodeOfClaim[name]]; node != nil {
			if err := c.deps.Drainer.Uncordon(ctx, node); err != nil {
				c.couldNot(err, "have a node take pods again", node.Name)
				continue // it is tried again as long as the claim says that it leaves
			}
		}
		restored, err := c.deps.Keeper.Restore(ctx, k, why)
		if err != nil {
			c.couldNot(err, "take back a move", name)
			continue
		}
		c.world.setClaim(restored, now)
		c.giveUpReplacements(ctx, name)
		if m := c.moves.running[name]; m != nil && m.Reason != v1alpha1.DisruptDrifted && m.Reason != v1alpha1.DisruptUnhealthy {
			c.moves.memory.Failed(*m, why, c.cfg.Consolidation, now)
		}
		delete(c.moves.running, name)
		delete(c.moves.steps, name)
		delete(c.moves.tried, name)
		c.deps.Metrics.moves.WithLabelValues(string(reason), "taken back").Inc()
		c.tell.takenBack(c, restored, why)
	}
	c.settle()
}

// giveUpReplacements deletes what was bought for a claim that stays, unless pods run there by now.
func (c *Controller) giveUpReplacements(ctx context.Context, replaced string) {
	for _, name := range c.replacements(replaced) {
		k := c.world.claims[name]
		if view, ok := c.world.state.NodeView(c.world.nodeOfClaim[name]); ok && slices.ContainsFunc(view.Pods, func(p *corev1.Pod) bool { return !ownedByDaemonSet(p) }) {
			continue
		}
		if err := c.deps.Keeper.Delete(ctx, k); err != nil {
			c.couldNot(err, "give a replacement back", name)
		}
	}
}

// replacements are the claims that were bought for one.
func (c *Controller) replacements(of string) []string {
	var out []string
	for name, k := range c.world.claims {
		if k.DeletionTimestamp == nil && slices.Contains(k.Spec.Replaces, of) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// couldNot tells of a write that failed. A conflict means that the world has moved on, which the next round sees.
func (c *Controller) couldNot(err error, do, name string) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return
	}
	c.deps.Logger.Warn("cannot "+do, "name", name, "err", err)
}

// movesOutcome is the outcome of a move's record.
func movesOutcome(reason v1alpha1.DisruptionReason) decision.Outcome {
	switch reason {
	case v1alpha1.DisruptUnhealthy:
		return decision.Repaired
	case v1alpha1.DisruptDrifted:
		return decision.Renewed
	}
	return decision.Consolidated
}
