package nodes

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

func (w *world) applyNode(node *corev1.Node, deleted bool) change {
	if before := w.nodes[node.Name]; before != nil && before.Spec.ProviderID != "" && w.byProvider[before.Spec.ProviderID] == node.Name {
		delete(w.byProvider, before.Spec.ProviderID)
	}
	if before := w.nodes[node.Name]; before != nil && w.byLabel[before.Labels[v1alpha1.LabelNodeClaim]] == node.Name {
		delete(w.byLabel, before.Labels[v1alpha1.LabelNodeClaim])
	}
	w.dirtyNodes[node.Name] = true
	if claim := w.claimOfNode[node.Name]; claim != "" {
		w.dirtyClaims[claim] = true
	}
	if deleted {
		delete(w.nodes, node.Name)
		return plan | look
	}
	w.nodes[node.Name] = node
	if node.Spec.ProviderID != "" {
		w.byProvider[node.Spec.ProviderID] = node.Name
		if name := w.claimByID[node.Spec.ProviderID]; name != "" {
			w.dirtyClaims[name] = true
		}
	}
	if name := node.Labels[v1alpha1.LabelNodeClaim]; name != "" {
		w.byLabel[name] = node.Name
		w.dirtyClaims[name] = true
	}
	return plan | look
}

func (w *world) applyClaim(claim *v1alpha1.NodeClaim, deleted bool) change {
	w.dirtyClaims[claim.Name] = true
	if node := w.nodeOfClaim[claim.Name]; node != "" {
		w.dirtyNodes[node] = true
	}
	delete(w.bought, claim.Name)
	if deleted {
		delete(w.claims, claim.Name)
		delete(w.claimByID, claim.Status.ProviderID)
		return plan | look
	}
	if known := w.claims[claim.Name]; known != nil && known.UID == claim.UID && newer(known, claim) {
		return 0
	}
	w.claims[claim.Name] = claim
	if id := claim.Status.ProviderID; id != "" {
		w.claimByID[id] = claim.Name
	}
	return plan | look
}

// setClaim takes in what a write has answered, ahead of the watch.
func (w *world) setClaim(claim *v1alpha1.NodeClaim, now time.Time) {
	if claim == nil {
		return
	}
	_, seen := w.claims[claim.Name]
	w.applyClaim(claim, false)
	if !seen {
		w.bought[claim.Name] = now
	}
}

// boughtLife is how long a claim is believed to exist that no watch has shown yet.
const boughtLife = time.Minute

// forget drops claims that were made and whose end must have passed unseen, since no watch has shown them.
func (w *world) forgetGhosts(now time.Time) {
	for name, at := range w.bought {
		if now.Sub(at) > boughtLife {
			delete(w.bought, name)
			delete(w.claims, name)
			w.dirtyClaims[name] = true
		}
	}
}

// nodeFor finds the node of a claim: the one with its machine's id, the one that carries its name, or the one that it says.
func (w *world) nodeFor(c *v1alpha1.NodeClaim) *corev1.Node {
	for _, name := range []string{w.byProvider[c.Status.ProviderID], w.byLabel[c.Name], c.Status.NodeName} {
		if node := w.nodes[name]; node != nil && claim.Matches(c, node) {
			return node
		}
	}
	return nil
}

// settle tells the state what has become of nodes and claims since the last call, and returns the claims among them.
func (w *world) settle() (claims []string) {
	for len(w.dirtyClaims) > 0 {
		name := first(w.dirtyClaims)
		delete(w.dirtyClaims, name)
		w.settleClaim(name)
		claims = append(claims, name)
	}
	for len(w.dirtyNodes) > 0 {
		name := first(w.dirtyNodes)
		delete(w.dirtyNodes, name)
		w.settleNode(name)
	}
	return claims
}

func first(set map[string]bool) string {
	for name := range set {
		return name
	}
	return ""
}

// settleClaim matches a claim with its node, and lets the planner count on a claim that has none yet.
func (w *world) settleClaim(name string) {
	claim := w.claims[name]
	var node *corev1.Node
	if claim != nil {
		node = w.nodeFor(claim)
	}
	if before := w.nodeOfClaim[name]; before != "" && (node == nil || node.Name != before) {
		delete(w.nodeOfClaim, name)
		delete(w.claimOfNode, before)
		w.dirtyNodes[before] = true
	}
	if node != nil {
		w.nodeOfClaim[name], w.claimOfNode[node.Name] = node.Name, name
		w.dirtyNodes[node.Name] = true
	}
	if claim == nil || node != nil || !expected(claim) {
		if w.planned[name] {
			delete(w.planned, name)
			if w.nodes[name] == nil {
				w.state.DeleteNode(name)
			} else {
				w.dirtyNodes[name] = true
			}
		}
		return
	}
	w.planned[name] = true
	w.state.SetNode(w.expect(claim, nil))
}

// expected reports whether a claim will bring a node that takes pods.
func expected(claim *v1alpha1.NodeClaim) bool {
	if claim.DeletionTimestamp != nil || claim.Status.Disruption != nil {
		return false
	}
	switch claim.Status.Phase {
	case "", v1alpha1.ClaimPending, v1alpha1.ClaimLaunched, v1alpha1.ClaimRegistered:
		return true
	}
	return false
}

// settleNode tells the state of a node that there is, or is not any more.
func (w *world) settleNode(name string) {
	node := w.nodes[name]
	if node == nil {
		if !w.planned[name] {
			w.state.DeleteNode(name)
		}
		return
	}
	claim := w.claims[w.claimOfNode[name]]
	if claim == nil && w.planned[name] {
		// A node that has just come does not always say whose it is. The claim of that name is counted on as bought, and not the
		// bare node, or its pods would be bought for once more.
		return
	}
	if claim != nil && expected(claim) && node.DeletionTimestamp == nil {
		w.state.SetNode(w.expect(claim, node))
		return
	}
	n := cluster.Node{Node: node, Policy: node.Labels[v1alpha1.LabelNodePolicy], Leaving: node.DeletionTimestamp != nil}
	if claim != nil {
		n.Claim, n.Policy, n.PricePerHour = claim.Name, claim.Spec.Policy, claim.Spec.Offer.PricePerHour.AsApproximateFloat64()
		n.Leaving = n.Leaving || claim.DeletionTimestamp != nil || claim.Status.Disruption != nil
	} else if ours := node.Labels[v1alpha1.LabelNodeClaim]; ours != "" {
		// Its claim is gone, so its machine is: the node will follow.
		n.Leaving = true
	} else {
		n.PricePerHour = w.priceOf(node)
	}
	w.state.SetNode(n)
}

// priceOf is what is asked for a node like one that somebody else made, 0 when nobody sells those.
func (w *world) priceOf(node *corev1.Node) float64 {
	l := node.Labels
	kind := l[corev1.LabelInstanceTypeStable]
	if kind == "" {
		return 0
	}
	for id, o := range w.offers {
		if id.Name == kind && (id.Zone == "" || id.Zone == l[corev1.LabelTopologyZone]) && (id.CapacityType == "" || id.CapacityType == l[labelCapacityType]) {
			return o.PricePerHour
		}
	}
	return 0
}

// labelCapacityType is the label that tells spot from on-demand.
const labelCapacityType = "karpenter.sh/capacity-type"

// expect is the node that a claim will bring: as bought, without the taints that go away while it boots. The node, which is nil
// before it registers, says what is known already.
func (w *world) expect(claim *v1alpha1.NodeClaim, node *corev1.Node) cluster.Node {
	offer := w.offers[offerID(claim)]
	made := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: claim.Name, CreationTimestamp: claim.CreationTimestamp, Labels: map[string]string{}}}
	n := cluster.Node{Node: made, Claim: claim.Name, Policy: claim.Spec.Policy, PricePerHour: claim.Spec.Offer.PricePerHour.AsApproximateFloat64(), Expected: true}
	if offer != nil {
		maps.Copy(made.Labels, offer.Labels)
		n.AttachLimits, n.Slices = offer.AttachLimits, offer.Slices
	}
	set := func(label, value string) {
		if value != "" {
			made.Labels[label] = value
		}
	}
	set(corev1.LabelInstanceTypeStable, claim.Spec.Offer.Name)
	set(corev1.LabelTopologyZone, claim.Spec.Offer.Zone)
	set(labelCapacityType, claim.Spec.Offer.CapacityType)
	set(v1alpha1.LabelNodePolicy, claim.Spec.Policy)
	set(v1alpha1.LabelNodeClaim, claim.Name)
	set(corev1.LabelHostname, claim.Name)
	maps.Copy(made.Labels, claim.Spec.Labels)
	made.Spec.Taints = claim.Spec.Taints
	made.Status.Allocatable = claim.Spec.Offer.Allocatable
	if node != nil {
		made.Name, made.UID, made.ResourceVersion = node.Name, node.UID, node.ResourceVersion
		maps.Copy(made.Labels, node.Labels)
		made.Annotations, made.Spec.ProviderID, made.Spec.Unschedulable = node.Annotations, node.Spec.ProviderID, node.Spec.Unschedulable
		made.Spec.Taints = lasting(node.Spec.Taints, claim)
		if cpu := node.Status.Allocatable.Cpu(); cpu != nil && !cpu.IsZero() {
			made.Status.Allocatable = node.Status.Allocatable
		}
		made.Status.Conditions, made.Status.NodeInfo = node.Status.Conditions, node.Status.NodeInfo
	}
	return n
}

func offerID(claim *v1alpha1.NodeClaim) cluster.OfferID {
	o := &claim.Spec.Offer
	return cluster.OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType, Policy: claim.Spec.Policy}
}

// lasting leaves out the taints that go away while a node boots, and adds those of its claim that it has not got yet.
func lasting(taints []corev1.Taint, claim *v1alpha1.NodeClaim) []corev1.Taint {
	var kept []corev1.Taint
	for i := range taints {
		t := &taints[i]
		startup := slices.ContainsFunc(claim.Spec.StartupTaints, func(s corev1.Taint) bool { return s.MatchTaint(t) })
		if startup || t.Key == v1alpha1.TaintUnregistered || strings.HasPrefix(t.Key, "node.kubernetes.io/") || t.Key == taintUninitialized {
			continue
		}
		kept = append(kept, *t)
	}
	for i := range claim.Spec.Taints {
		t := &claim.Spec.Taints[i]
		if !slices.ContainsFunc(kept, func(k corev1.Taint) bool { return k.MatchTaint(t) }) {
			kept = append(kept, *t)
		}
	}
	return kept
}

// taintUninitialized is on a node until its cloud's controller has looked at it.
const taintUninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

// setOffers takes in what can be bought. Claims and nodes whose offer was not known before are planned with better from now on.
func (w *world) setOffers(offers []cluster.Offer) {
	known := len(w.offers)
	clear(w.offers)
	for i := range offers {
		w.offers[offers[i].ID()] = &offers[i]
	}
	if known == 0 {
		for name := range w.nodes {
			w.dirtyNodes[name] = true
		}
		for name := range w.planned {
			w.dirtyClaims[name] = true
		}
	}
}
