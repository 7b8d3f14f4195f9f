package nodes

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

const (
	// maxPodsTold is how many pods one action names, and how many pods without a node one record names.
	maxPodsTold = 50
	// maxActionsTold bounds a record.
	maxActionsTold = 200
)

// teller keeps what was decided since the last record of each policy.
type teller struct {
	policies map[string]*telling
	// stays are the codes that claims were told last.
	stays map[string]string
	// astray is what the last sweep left alone, by provider.
	astray map[string][]string
}

// telling is what one policy has to tell.
type telling struct {
	tracker decision.Tracker
	// outcome, code and reason are of the weightiest thing done since the last record.
	outcome decision.Outcome
	code    string
	reason  string
	actions []decision.NodeAction
	// last is what the status says: the last decision that was told.
	last      decision.Record
	changedAt time.Time
	writtenAt time.Time
}

func newTeller() teller {
	return teller{policies: map[string]*telling{}, stays: map[string]string{}}
}

func (t *teller) of(policy string) *telling {
	p := t.policies[policy]
	if p == nil {
		p = &telling{}
		t.policies[policy] = p
	}
	return p
}

// weights order outcomes: what was done outweighs what was not.
var weights = map[decision.Outcome]int{
	decision.Failed: 7, decision.Repaired: 6, decision.Provisioned: 5, decision.Renewed: 4, decision.Consolidated: 3, decision.Held: 2, decision.Recommended: 1,
}

// act notes something that was decided for a policy.
func (t *teller) act(policy string, outcome decision.Outcome, code, reason string, actions ...decision.NodeAction) {
	p := t.of(policy)
	if weights[outcome] > weights[p.outcome] {
		p.outcome, p.code, p.reason = outcome, code, reason
	}
	p.actions = append(p.actions, actions...)
}

// holdAll notes that nothing may be decided.
func (t *teller) holdAll(policies map[string]*v1alpha1.NodePolicy, why string) {
	for name := range policies {
		t.act(name, decision.Held, "Untrusted", "Held: "+why)
	}
}

// createActions are the purchases of a plan. Claims are in the order of the nodes, as far as they came to be.
func createActions(nodes []cluster.NewNode, claims []*v1alpha1.NodeClaim, code string) []decision.NodeAction {
	actions := make([]decision.NodeAction, 0, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		a := decision.NodeAction{Action: "Create", Offer: n.Offer.Name, Zone: n.Offer.Zone, CapacityType: n.Offer.CapacityType, PricePerHour: n.Offer.PricePerHour,
			PodCount: len(n.Pods), Code: code, Reason: n.Reason}
		if i < len(claims) {
			a.Claim = claims[i].Name
		}
		for j := range min(len(n.Pods), maxPodsTold) {
			a.Pods = append(a.Pods, n.Pods[j].String())
		}
		actions = append(actions, a)
	}
	return actions
}

// bought tells of nodes that were asked for because pods have no place.
func (t *teller) bought(c *Controller, policy *v1alpha1.NodePolicy, nodes []cluster.NewNode, claims []*v1alpha1.NodeClaim) {
	nodes = nodes[:min(len(nodes), len(claims))]
	pods, price := 0, 0.0
	for i := range nodes {
		pods += len(nodes[i].Pods)
		price += nodes[i].Offer.PricePerHour
	}
	reason := fmt.Sprintf("Asked for %s for %s, %.4g per hour: %s", count(len(nodes), "node"), count(pods, "pod"), price, summary(nodes))
	t.act(policy.Name, decision.Provisioned, "PodsPending", reason, createActions(nodes, claims, "PodsPending")...)
	c.events.add(regardingPolicy(policy), corev1.EventTypeNormal, string(decision.Provisioned), reason)
	for i := range nodes {
		for j := range min(len(nodes[i].Pods), maxPodsTold) {
			if pod := c.world.pending[nodes[i].Pods[j].NamespacedName]; pod != nil && nodes[i].Pods[j].Demand == "" {
				c.events.add(regardingPod(pod), corev1.EventTypeNormal, "NodeRequested", fmt.Sprintf("Node claim %s (%s in %s) was made for this pod", claims[i].Name, nodes[i].Offer.Name, cmp.Or(nodes[i].Offer.Zone, "any zone")))
			}
		}
	}
}

// summary counts nodes by offer, as "3 m5.large in a, 1 c5.large in b".
func summary(nodes []cluster.NewNode) string {
	type group struct {
		what string
		n    int
	}
	var groups []group
	for i := range nodes {
		what := nodes[i].Offer.Name
		if z := nodes[i].Offer.Zone; z != "" {
			what += " in " + z
		}
		if k := nodes[i].Offer.CapacityType; k != "" {
			what += " (" + k + ")"
		}
		if at := slices.IndexFunc(groups, func(g group) bool { return g.what == what }); at >= 0 {
			groups[at].n++
		} else {
			groups = append(groups, group{what, 1})
		}
	}
	slices.SortStableFunc(groups, func(a, b group) int { return b.n - a.n })
	text := ""
	for i, g := range groups {
		switch {
		case i == 5:
			return text + fmt.Sprintf(" and %d more kinds", len(groups)-i)
		case i > 0:
			text += ", "
		}
		text += fmt.Sprintf("%d %s", g.n, g.what)
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// replaced tells of nodes that were asked for to take the place of others.
func (t *teller) replaced(c *Controller, policy *v1alpha1.NodePolicy, m *disruption.Move, claims []*v1alpha1.NodeClaim) {
	t.act(policy.Name, movesOutcome(m.Reason), m.Code, m.Message, createActions(m.Create[:min(len(m.Create), len(claims))], claims, m.Code)...)
	for _, k := range claims {
		c.events.add(regardingClaim(k), corev1.EventTypeNormal, "Replacing", m.Message)
	}
}

// leaving tells of nodes that begin to be taken away.
func (t *teller) leaving(c *Controller, policy *v1alpha1.NodePolicy, m *disruption.Move) {
	outcome := movesOutcome(m.Reason)
	for _, node := range m.Remove {
		a := decision.NodeAction{Action: "Cordon", Node: node, Claim: c.world.claimOfNode[node], Code: m.Code, Reason: m.Message}
		if view, ok := c.world.state.NodeView(node); ok {
			a.PricePerHour = view.PricePerHour
			for _, pod := range view.Pods {
				if ownedByDaemonSet(pod) {
					continue
				}
				if a.PodCount++; len(a.Pods) < maxPodsTold {
					a.Pods = append(a.Pods, pod.Namespace+"/"+pod.Name)
				}
			}
		}
		t.act(policy.Name, outcome, m.Code, m.Message, a)
		c.events.add(regardingNode(node), corev1.EventTypeNormal, "NodeLeaving", m.Message)
	}
	c.events.add(regardingPolicy(policy), corev1.EventTypeNormal, string(outcome), m.Message)
}

// takenBack tells of a move that was undone.
func (t *teller) takenBack(c *Controller, k *v1alpha1.NodeClaim, why string) {
	t.act(k.Spec.Policy, decision.Held, "TakenBack", "Node "+cmp.Or(k.Status.NodeName, k.Name)+" stays after all: "+why,
		decision.NodeAction{Action: "Uncordon", Node: k.Status.NodeName, Claim: k.Name, Code: "TakenBack", Reason: why})
	c.events.add(regardingClaim(k), corev1.EventTypeNormal, "NodeKept", why)
	if k.Status.NodeName != "" {
		c.events.add(regardingNode(k.Status.NodeName), corev1.EventTypeNormal, "NodeKept", why)
	}
}

// ended tells of a node that is given back.
func (t *teller) ended(c *Controller, k *v1alpha1.NodeClaim, message string) {
	outcome, code := decision.Consolidated, "Drained"
	if k.Status.Disruption != nil {
		outcome = movesOutcome(k.Status.Disruption.Reason)
		message = k.Status.Disruption.Message
	}
	t.act(k.Spec.Policy, outcome, code, message, decision.NodeAction{Action: "Delete", Node: k.Status.NodeName, Claim: k.Name, Offer: k.Spec.Offer.Name, Zone: k.Spec.Offer.Zone,
		CapacityType: k.Spec.Offer.CapacityType, PricePerHour: k.Spec.Offer.PricePerHour.AsApproximateFloat64(), Code: code, Reason: message})
	c.events.add(regardingClaim(k), corev1.EventTypeNormal, "NodeGivenBack", message)
}

// repaired tells of a step on a sick node.
func (t *teller) repaired(c *Controller, policy *v1alpha1.NodePolicy, a *repair.Action) {
	t.act(policy.Name, decision.Repaired, a.Code, a.Message, decision.NodeAction{Action: string(a.Step), Node: a.Node, Claim: a.Claim, Zone: a.Zone, Code: a.Code, Reason: a.Message})
	c.events.add(regardingPolicy(policy), corev1.EventTypeWarning, string(decision.Repaired), a.Message)
	c.events.add(regardingNode(a.Node), corev1.EventTypeWarning, string(a.Step), a.Message)
}

// recommendRepair tells what would be done about a sick node.
func (t *teller) recommendRepair(policy *v1alpha1.NodePolicy, a *repair.Action) {
	if observes(policy) {
		return
	}
	t.act(policy.Name, decision.Recommended, a.Code, a.Message, decision.NodeAction{Action: string(a.Step), Node: a.Node, Claim: a.Claim, Zone: a.Zone, Code: a.Code, Reason: a.Message})
}

// record puts together what is told of a policy now.
func (c *Controller) record(policy *v1alpha1.NodePolicy, fleet *fleetCount, now time.Time) decision.Record {
	p := c.tell.of(policy.Name)
	bound, _ := c.round.boundFor(c.round.plan.Cost.After, len(c.world.nodes))
	r := decision.Record{
		Name: policy.Name, Mode: string(cmp.Or(policy.Spec.Mode, v1alpha1.Recommend)), Time: now, Direction: decision.Nodes,
		Target:  decision.Target{APIVersion: v1alpha1.GroupVersion().String(), Kind: "NodePolicy", Name: policy.Name},
		Outcome: cmp.Or(p.outcome, decision.Unchanged), Code: cmp.Or(p.code, "Fits"), Reason: p.reason, NodeActions: p.actions,
		CurrentReplicas: int32(fleet.nodes), ReadyReplicas: int32(fleet.ready), DesiredReplicas: int32(fleet.nodes), RecommendedReplicas: int32(fleet.nodes),
		Objectives: []decision.Objective{}, Verdicts: []decision.Verdict{},
		NodeCost: &decision.NodeCost{Before: c.round.plan.Cost.Before, After: c.round.plan.Cost.After, LowerBound: bound},
	}
	p.outcome, p.code, p.reason, p.actions = "", "", "", nil
	if len(r.NodeActions) > maxActionsTold {
		r.NodeActions = r.NodeActions[:maxActionsTold]
	}
	r.WithoutNode, r.WithoutNodeCount = c.withoutNode()
	if r.Outcome == decision.Unchanged {
		c.unchanged(policy, &r)
	}
	return r
}

// unchanged says why nothing was done.
func (c *Controller) unchanged(policy *v1alpha1.NodePolicy, r *decision.Record) {
	page := c.book.pages[policy.Name]
	switch {
	case observes(policy):
		r.Outcome, r.Code, r.Reason = decision.Observed, "Observe", "The policy's mode is Observe: nothing is planned"
	case len(c.health.stopped(policy.Name)) > 0:
		r.Outcome, r.Code, r.Reason = decision.Held, "RepairStopped", "Held: "+c.health.stopped(policy.Name)[0].Message
	case len(c.tell.astray[policy.Spec.Provider.Name]) > 0:
		r.Outcome, r.Code, r.Reason = decision.Held, "Astray", "Held: "+astrayText(c.tell.astray[policy.Spec.Provider.Name])
	case page != nil && page.err != nil:
		r.Outcome, r.Code, r.Reason = decision.Failed, "Provider", fmt.Sprintf("Failed to learn what provider %s sells: %v", policy.Spec.Provider.Name, page.err)
	case len(c.round.recommended[policy.Name]) > 0:
		nodes := c.round.recommended[policy.Name]
		r.Outcome, r.Code = decision.Recommended, "PodsPending"
		r.Reason = fmt.Sprintf("Recommended: %s: %s", count(len(nodes), "node"), summary(nodes))
		r.NodeActions = createActions(nodes[:min(len(nodes), maxActionsTold)], nil, "PodsPending")
		r.DesiredReplicas += int32(len(nodes))
		r.RecommendedReplicas = r.DesiredReplicas
	case len(c.movesPlanned(policy.Name)) > 0:
		m := c.movesPlanned(policy.Name)[0]
		r.Outcome, r.Code, r.Reason = decision.Recommended, m.Code, "Recommended: "+m.Message
		for _, node := range m.Remove {
			r.NodeActions = append(r.NodeActions, decision.NodeAction{Action: "Delete", Node: node, Claim: c.world.claimOfNode[node], Code: m.Code, Reason: m.Message})
		}
	case r.WithoutNodeCount > 0:
		r.Outcome, r.Code = decision.Held, "NoOffer"
		r.Reason = fmt.Sprintf("Held: no node may be bought for %s; %s: %s", count(r.WithoutNodeCount, "pod"), r.WithoutNode[0].Pod, first1(r.WithoutNode[0].Reasons))
	default:
		r.Reason = "Every pod has a place, and no node can be spared"
		if stays := c.world.claims; len(stays) == 0 {
			r.Reason = "Every pod has a place without a node of this policy"
		}
	}
}

func first1(s []string) string {
	if len(s) == 0 {
		return "no reason is known"
	}
	return s[0]
}

func (c *Controller) movesPlanned(policy string) []disruption.Move {
	var out []disruption.Move
	for _, m := range slices.Concat(c.moves.renewals, c.moves.planned) {
		if m.Policy == policy && recommends(c.world.policies[policy]) {
			out = append(out, m)
		}
	}
	return out
}

func (h *healthKeeper) stopped(policy string) []repair.Stop {
	var out []repair.Stop
	for _, s := range h.last.Stopped {
		if s.Policy == policy {
			out = append(out, s)
		}
	}
	return out
}

// withoutNode are the pods for which no node may be bought.
func (c *Controller) withoutNode() ([]decision.PodWithoutNode, int) {
	var out []decision.PodWithoutNode
	n := 0
	for i := range c.round.plan.Unschedulable {
		u := &c.round.plan.Unschedulable[i]
		if u.Pod.Demand != "" || c.world.pending[u.Pod.NamespacedName] == nil {
			continue
		}
		if n++; len(out) < maxPodsTold {
			out = append(out, decision.PodWithoutNode{Pod: u.Pod.String(), Reasons: texts(u.Reasons)})
		}
	}
	return out, n
}

func texts(reasons []cluster.Reason) []string {
	out := make([]string, len(reasons))
	for i, r := range reasons {
		out[i] = r.Message
	}
	return out
}

// publish tells of a decision when it is news, and once a minute otherwise.
func (c *Controller) publish(ctx context.Context, policy *v1alpha1.NodePolicy, r decision.Record) {
	p := c.tell.of(policy.Name)
	novelty := p.tracker.Observe(&r)
	if novelty.Different {
		p.changedAt = r.Time
		c.deps.Logger.Info("decision", "policy", policy.Name, "about", string(decision.Nodes), "result", r.Outcome, "code", r.Code, "because", r.Reason)
		if r.Outcome == decision.Held && novelty.EnteredHold {
			c.events.add(regardingPolicy(policy), corev1.EventTypeNormal, "Held", r.Reason)
		}
	}
	p.last = r
	if novelty.Recorded {
		c.deps.Metrics.records.Inc()
		if c.deps.Journal != nil {
			c.deps.Journal.Record(ctx, r, novelty.Different)
		}
	}
}
