package nodes

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// maxPendingShown is how many pods without a node a View names.
const maxPendingShown = 500

// phases of nodes that no claim of ours has made.
const (
	phaseReady    = string(v1alpha1.ClaimReady)
	phaseNotReady = "NotReady"
)

// fleetCount is what a policy owns.
type fleetCount struct {
	nodes, ready, unhealthy int
	cost                    float64
}

// snapshot makes the View, and counts the nodes of each policy on the way.
func (c *Controller) snapshot(now time.Time) (*View, map[string]*fleetCount) {
	v := &View{Time: now, PlanSeconds: c.round.seconds, Policies: []PolicyView{}, Nodes: []NodeView{}, Moves: []MoveView{}, Pending: []PodView{}}
	counts := map[string]*fleetCount{}
	for name := range c.world.policies {
		counts[name] = &fleetCount{unhealthy: c.health.last.Unhealthy[name]}
	}
	for _, name := range c.world.state.Nodes() {
		view, ok := c.world.state.NodeView(name)
		if !ok {
			continue
		}
		n := c.nodeView(&view)
		v.Nodes = append(v.Nodes, n)
		v.Cost += n.PricePerHour
		if k := counts[n.Policy]; k != nil && n.Claim != "" {
			k.nodes++
			k.cost += n.PricePerHour
			if n.Ready {
				k.ready++
			}
		}
	}
	c.showUnplanned(v, counts)
	known := false
	v.LowerBound, known = c.round.boundFor(v.Cost, len(v.Nodes))
	c.round.outdated = !known
	c.showForeign(v)
	for _, name := range slices.Sorted(maps.Keys(c.world.policies)) {
		p, k := c.world.policies[name], counts[name]
		shown := PolicyView{Name: name, Mode: string(cmp.Or(p.Spec.Mode, v1alpha1.Recommend)), Provider: p.Spec.Provider.Name, Nodes: k.nodes, Ready: k.ready, Unhealthy: k.unhealthy, Cost: k.cost}
		if t := c.tell.policies[name]; t != nil {
			shown.Outcome, shown.Reason = string(t.last.Outcome), t.last.Reason
		}
		if u := c.moves.upgrades[name]; u != nil {
			shown.Upgrade = &UpgradeView{Total: int(u.Total), Updated: int(u.Updated), Paused: u.Paused}
			if u.EstimatedCompletion != nil {
				shown.Upgrade.EstimatedCompletion = &u.EstimatedCompletion.Time
			}
		}
		v.Policies = append(v.Policies, shown)
	}
	c.showMoves(v)
	c.showPending(v)
	return v, counts
}

// showUnplanned adds claims that stand for no node that pods could run on: those that leave before they have a node.
func (c *Controller) showUnplanned(v *View, counts map[string]*fleetCount) {
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		if c.world.planned[name] || c.world.nodeOfClaim[name] != "" {
			continue
		}
		k := c.world.claims[name]
		n := NodeView{Name: name}
		c.claimView(&n, k)
		v.Nodes = append(v.Nodes, n)
		v.Cost += n.PricePerHour
		if count := counts[n.Policy]; count != nil {
			count.nodes++
			count.cost += n.PricePerHour
		}
	}
}

func (c *Controller) nodeView(view *cluster.NodeView) NodeView {
	node := view.Node.Node
	l := node.Labels
	n := NodeView{
		Name: node.Name, Policy: view.Policy, Offer: l[corev1.LabelInstanceTypeStable], Zone: l[corev1.LabelTopologyZone], CapacityType: l[labelCapacityType],
		PricePerHour: view.PricePerHour, Ready: !view.Expected && isReady(node), Created: node.CreationTimestamp.Time, Version: node.Status.NodeInfo.KubeletVersion,
		Requested: amounts(view.Requested), Allocatable: amounts(view.Allocatable), Phase: phaseNotReady,
		Why: "it was there before, and no policy made it",
	}
	if n.Ready {
		n.Phase = phaseReady
	}
	for _, pod := range view.Pods {
		if !ownedByDaemonSet(pod) {
			n.Pods++
		}
	}
	name := view.Claim
	if k := c.world.claims[name]; k != nil {
		c.claimView(&n, k)
	}
	if isForeign(view) {
		c.explainForeign(&n)
	}
	c.explain(&n)
	return n
}

// claimView says what a claim knows of its node.
func (c *Controller) claimView(n *NodeView, k *v1alpha1.NodeClaim) {
	n.Claim, n.Policy, n.Offer, n.Zone, n.CapacityType = k.Name, k.Spec.Policy, k.Spec.Offer.Name, k.Spec.Offer.Zone, k.Spec.Offer.CapacityType
	n.PricePerHour, n.Phase = k.Spec.Offer.PricePerHour.AsApproximateFloat64(), string(cmp.Or(k.Status.Phase, v1alpha1.ClaimPending))
	n.Why = cmp.Or(k.Spec.Reason, "it was bought under policy "+k.Spec.Policy)
	if n.Created.IsZero() {
		n.Created = k.CreationTimestamp.Time
	}
	switch {
	case k.DeletionTimestamp != nil:
		n.Stay = StayView{Code: "Leaving", Message: "it is being given back: " + k.Status.Message}
	case k.Status.Disruption != nil:
		n.Stay = StayView{Code: string(k.Status.Disruption.Reason), Message: k.Status.Disruption.Message}
	case expected(k):
		n.Stay = StayView{Code: "Booting", Message: cmp.Or(k.Status.Message, "it is being made")}
	}
}

// explain says why a node stays: its health first, then what consolidation said last.
func (c *Controller) explain(n *NodeView) {
	if n.Stay.Code != "" {
		return
	}
	if h := c.health.byNode[n.Name]; h != nil && h.State != repair.Healthy && h.State != repair.Unjudged && h.State != repair.Booting {
		n.Stay = StayView{Code: h.Code, Message: h.Message, Verdicts: verdicts(h.Verdicts)}
		return
	}
	if s, ok := c.moves.drifted[n.Policy][n.Name]; ok && s.Code != "" && c.moves.upgrades[n.Policy] != nil && drifts(s) {
		n.Stay = StayView{Code: s.Code, Message: s.Message, Verdicts: verdicts(s.Verdicts)}
		return
	}
	s, ok := c.moves.stays[n.Name]
	if !ok && n.Claim != "" {
		s, ok = c.moves.stays[n.Claim]
	}
	if ok {
		n.Stay = StayView{Code: s.Code, Message: s.Message, Verdicts: verdicts(s.Verdicts)}
		return
	}
	n.Stay = StayView{Code: "NotAsked", Message: "it was not looked at yet"}
}

func verdicts(in []disruption.Verdict) []VerdictView {
	out := make([]VerdictView, len(in))
	for i, v := range in {
		out[i] = VerdictView{Rule: v.Rule, Stays: v.Stays, Code: v.Code, Message: v.Message}
	}
	return out
}

func amounts(r corev1.ResourceList) Resources {
	return Resources{CPU: float64(r.Cpu().MilliValue()) / 1000, Memory: float64(r.Memory().Value())}
}

// showMoves lists moves that are under way, then those that are recommended.
func (c *Controller) showMoves(v *View) {
	shown := map[*disruption.Move]int{}
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		k := c.world.claims[name]
		if k.Status.Disruption == nil && k.DeletionTimestamp == nil {
			continue
		}
		node := cmp.Or(c.world.nodeOfClaim[name], name)
		m := c.moves.running[name]
		if at, ok := shown[m]; ok && m != nil {
			v.Moves[at].Remove = append(v.Moves[at].Remove, node)
			continue
		}
		move := MoveView{Policy: k.Spec.Policy, Remove: []string{node}, Create: c.replacements(name), Step: cmp.Or(c.moves.steps[name], stepWaiting), Message: k.Status.Message}
		if k.Status.Disruption != nil {
			move.Reason = string(k.Status.Disruption.Reason)
		}
		if view, ok := c.world.state.NodeView(node); ok {
			for _, pod := range view.Pods {
				if !ownedByDaemonSet(pod) {
					move.Pods++
				}
			}
		}
		if m != nil {
			move.Saving = m.Saving
			shown[m] = len(v.Moves)
		}
		if move.Create == nil {
			move.Create = []string{}
		}
		v.Moves = append(v.Moves, move)
	}
	for _, m := range slices.Concat(c.moves.planned, c.moves.renewals) {
		move := MoveView{Policy: m.Policy, Reason: string(m.Reason), Remove: m.Remove, Create: []string{}, Pods: len(m.Place), Saving: m.Saving, Step: "Recommended", Message: m.Message}
		for j := range m.Create {
			move.Create = append(move.Create, m.Create[j].Offer.Name)
		}
		v.Moves = append(v.Moves, move)
	}
}

// showPending lists pods without a node, in the order of their names.
func (c *Controller) showPending(v *View) {
	v.PendingCount = len(c.world.pending)
	if v.PendingCount == 0 {
		return
	}
	reasons := map[string][]string{}
	for i := range c.round.plan.Unschedulable {
		u := &c.round.plan.Unschedulable[i]
		reasons[u.Pod.NamespacedName.String()] = texts(u.Reasons)
	}
	for key := range c.world.pending {
		if len(v.Pending) == maxPendingShown {
			break
		}
		v.Pending = append(v.Pending, PodView{Namespace: key.Namespace, Name: key.Name, Node: c.round.places[key], Reasons: reasons[key.String()]})
	}
	slices.SortFunc(v.Pending, func(a, b PodView) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
