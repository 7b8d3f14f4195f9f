package nodes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/repair"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// versionsInterval is how often the control plane's versions are asked for.
const versionsInterval = 30 * time.Second

// versions are what the control plane runs.
type versions struct {
	asked  time.Time
	asking bool
	api    string
	// planes are by provider.
	planes map[string]upgrade.ControlPlane
	// raised are versions that providers were asked for, with the time.
	raised map[string]time.Time
}

// askVersions learns in the background what the control plane runs.
func (c *Controller) askVersions(ctx context.Context, now time.Time) {
	v := &c.moves.versions
	renews := false
	planes := map[string]provider.ControlPlaneUpgrader{}
	for _, p := range c.world.policies {
		if p.Spec.Upgrade == nil {
			continue
		}
		renews = true
		if up, ok := c.deps.Providers[p.Spec.Provider.Name].(provider.ControlPlaneUpgrader); ok && p.Spec.Upgrade.ControlPlane {
			planes[p.Spec.Provider.Name] = up
		}
	}
	if !renews || v.asking || now.Sub(v.asked) < versionsInterval {
		return
	}
	v.asked, v.asking = now, true
	term := ctx
	c.background.Go(func() {
		ctx, cancel := context.WithTimeout(term, time.Duration(c.cfg.ProviderTimeout))
		defer cancel()
		api := ""
		if info, err := c.deps.Events.Discovery().ServerVersion(); err == nil {
			api = info.GitVersion
		}
		found := map[string]upgrade.ControlPlane{}
		for name, up := range planes {
			var plane upgrade.ControlPlane
			var err error
			if plane.Wanted, plane.Running, err = up.ControlPlane(ctx); err != nil {
				plane = upgrade.ControlPlane{Unknown: err.Error()}
			}
			found[name] = plane
		}
		c.post(term, func() { v.api, v.planes, v.asking = api, found, false })
	})
}

// renew takes away nodes that differ from their policies: what takes a node's place comes first.
func (c *Controller) renew(ctx context.Context, now time.Time) {
	c.askVersions(ctx, now)
	var nodes []upgrade.Node
	for _, name := range slices.Sorted(maps.Keys(c.world.policies)) {
		policy := c.world.policies[name]
		if policy.DeletionTimestamp != nil || policy.Spec.Upgrade == nil && c.moves.upgrades[name] == nil {
			continue
		}
		if nodes == nil {
			nodes = c.upgradeNodes()
		}
		in := upgrade.Input{Now: now, Policy: policy, Nodes: nodes, APIServer: c.moves.versions.api, Pauses: c.pausesOf(name, now), Memory: c.moves.renewal}
		if plane, ok := c.moves.versions.planes[policy.Spec.Provider.Name]; ok {
			in.ControlPlane = &plane
		}
		started := time.Now()
		d := upgrade.Decide(in)
		c.deps.Metrics.decideSeconds.WithLabelValues("upgrade").Observe(time.Since(started).Seconds())
		c.moves.upgrades[name] = d.Status
		c.moves.drifted[name] = d.Stays
		if d.Status == nil && policy.Spec.Upgrade == nil {
			delete(c.moves.upgrades, name)
		}
		if d.ControlPlane != nil && applies(policy) {
			c.raise(ctx, policy, d.ControlPlane, now)
		}
		for i := range d.Moves {
			c.renewOne(ctx, policy, &d.Moves[i], now)
		}
	}
	for name := range c.moves.upgrades {
		if c.world.policies[name] == nil {
			delete(c.moves.upgrades, name)
			delete(c.moves.drifted, name)
		}
	}
	c.moves.renewal.Forget(slices.Collect(maps.Keys(c.world.policies)))
}

func (c *Controller) upgradeNodes() []upgrade.Node {
	var nodes []upgrade.Node
	for _, name := range slices.Sorted(maps.Keys(c.world.nodes)) {
		n := upgrade.Node{Node: c.world.nodes[name], Claim: c.world.claims[c.world.claimOfNode[name]]}
		if h := c.health.byNode[name]; h != nil && (h.State == repair.Unhealthy || h.State == repair.Repairing) {
			n.Unhealthy = cmp.Or(h.Message, h.Code)
		}
		nodes = append(nodes, n)
	}
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		if c.world.nodeOfClaim[name] == "" {
			nodes = append(nodes, upgrade.Node{Claim: c.world.claims[name]})
		}
	}
	return nodes
}

// pausesOf are the answers to a policy's queries that stop its upgrades.
func (c *Controller) pausesOf(policy string, now time.Time) map[string]upgrade.Answer {
	pauses := map[string]upgrade.Answer{}
	stale := now.Sub(c.health.answered) > maxAnswerAge
	for id, answer := range c.health.pauses {
		if id.Policy != policy {
			continue
		}
		if stale {
			answer = upgrade.Answer{State: decision.Stale, Reason: fmt.Sprintf("the newest answer is older than %s", maxAnswerAge)}
		}
		pauses[id.Rule] = answer
	}
	return pauses
}

// renewOne begins the renewal of one node.
func (c *Controller) renewOne(ctx context.Context, policy *v1alpha1.NodePolicy, m *disruption.Move, now time.Time) {
	if !applies(policy) {
		c.moves.renewals = append(c.moves.renewals, *m)
		return
	}
	if c.refusal(m.Remove[0]) != "" && policy.Spec.Disruption.TerminationGracePeriod == nil {
		return
	}
	if why := c.inPlace(m); why != "" {
		c.tell.act(policy.Name, decision.Held, "NoReplacement", fmt.Sprintf("Held: node %s is due for renewal: %s", m.Remove[0], why))
		return
	}
	c.begin(ctx, m, now)
}

// inPlace decides what takes the place of a node that is renewed: one like it, so that its pods move once and not from one old node to
// the next; or, when that is not to be had, what its pods need.
func (c *Controller) inPlace(m *disruption.Move) string {
	view, ok := c.world.state.NodeView(m.Remove[0])
	if !ok {
		return "it is not known any more"
	}
	verdict := disruption.NewInspector(disruption.World{Replicas: c.world.ready}).Node(&view)
	if len(verdict.Evict) == 0 {
		return ""
	}
	k := c.world.claims[view.Claim]
	if k == nil {
		return "it has no claim"
	}
	if offer := c.world.offers[offerID(k)]; offer != nil && offer.Available {
		if _, avoided := c.deps.Keeper.Avoided(offer.ID(), c.deps.Clock.Now()); !avoided {
			n := cluster.NewNode{Offer: *offer, Requests: view.Requested, Reason: "in place of " + m.Remove[0] + ", which is of the same kind"}
			for _, pod := range verdict.Evict {
				ref := cluster.PodRef{}
				ref.Namespace, ref.Name = pod.Namespace, pod.Name
				n.Pods = append(n.Pods, ref)
			}
			m.Create = []cluster.NewNode{n}
			return ""
		}
	}
	outcome := c.world.state.Simulate(cluster.Removal{Nodes: m.Remove, Buy: true, MaxPrice: noPrice, MaxNew: 3})
	if !outcome.Feasible {
		return fmt.Sprintf("pod %s would have no place: %s", outcome.Blocking, outcome.Reason)
	}
	m.Create, m.Place = outcome.Create, outcome.Moves
	if c.mixed(m) {
		return "its pods would need a node of another policy"
	}
	return ""
}

// raise asks for another version of the control plane, once in a while.
func (c *Controller) raise(ctx context.Context, policy *v1alpha1.NodePolicy, step *upgrade.ControlPlaneStep, now time.Time) {
	name := policy.Spec.Provider.Name
	up, ok := c.deps.Providers[name].(provider.ControlPlaneUpgrader)
	key := name + " " + step.Version
	if !ok || now.Sub(c.moves.versions.raised[key]) < time.Minute {
		return
	}
	c.moves.versions.raised[key] = now
	c.tell.act(policy.Name, decision.Renewed, step.Code, step.Message, decision.NodeAction{Action: "UpgradeControlPlane", Code: step.Code, Reason: step.Message})
	c.events.add(regardingPolicy(policy), "Normal", "UpgradeControlPlane", step.Message)
	c.background.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(c.cfg.ProviderTimeout))
		defer cancel()
		if err := up.UpgradeControlPlane(ctx, step.Version); err != nil {
			c.deps.Logger.Warn("cannot upgrade the control plane", "policy", policy.Name, "version", step.Version, "err", err)
			c.events.add(regardingPolicy(policy), "Warning", "UpgradeControlPlaneFailed", err.Error())
		}
	})
}

// drifts reports whether an answer of renewal is about a node that is due for it: the rules that find out about that are behind it.
func drifts(s disruption.Stay) bool {
	if len(s.Verdicts) == 0 {
		return false
	}
	switch s.Verdicts[len(s.Verdicts)-1].Rule {
	case "state", "drift", "upgrade":
		return false
	}
	return true
}
