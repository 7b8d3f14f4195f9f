package oracle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// unschedulable offers pods that have no place a node of each offer of which one more may be bought, and takes those away again. Of
// pods whose gang was left out it is not claimed that they fit nowhere.
func (r *trial) unschedulable(ctx context.Context, pods []cluster.Unschedulable) (verdict, error) {
	pods = slices.DeleteFunc(slices.Clone(pods), r.ofGangLeftOut)
	if len(pods) == 0 {
		return verdict{outcome: agrees}, nil
	}
	before, err := r.pods(ctx)
	if err != nil {
		return verdict{}, err
	}
	nodes, err := r.makeOffered(ctx, 1)
	if err != nil {
		return verdict{}, err
	}
	found, wanted, err := r.present(ctx, pods)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{outcome: agrees}
	for i, w := range wanted {
		if p := found[w]; p != nil && (p.Spec.NodeName != "" || p.Status.NominatedNodeName != "") {
			v.outcome = schedulable
			v.detail += fmt.Sprintf("  %s goes to %s%s, and was called unschedulable: %v\n", w, p.Spec.NodeName, p.Status.NominatedNodeName, pods[i].Reasons)
		}
	}
	if v.outcome != agrees {
		v.detail += describe(r.plan)
		onOffer := func(w types.NamespacedName) bool {
			return found[w] != nil && strings.Contains(found[w].Spec.NodeName, "-offer-")
		}
		switch {
		case evicted(before, found, wanted):
			v.outcome = byEviction
		case r.elsewhere(found) && !slices.ContainsFunc(wanted, onOffer):
			v.outcome = otherRoom
		case r.beyond(found, nodes):
			v.outcome = together
		case r.besideItsVolume(found, wanted):
			v.outcome = sharedVolume
		}
	}
	return v, r.removeNodes(ctx, nodes)
}

// gangless offers the pods of a gang that was left out as many nodes of each offer as it has pods, and looks how many are bound.
func (r *trial) gangless(ctx context.Context, pods []cluster.Unschedulable) (verdict, error) {
	pods = slices.DeleteFunc(slices.Clone(pods), func(u cluster.Unschedulable) bool { return !r.ofGangLeftOut(u) })
	if len(pods) == 0 {
		return verdict{outcome: agrees}, nil
	}
	before, err := r.pods(ctx)
	if err != nil {
		return verdict{}, err
	}
	nodes, err := r.makeOffered(ctx, len(pods))
	if err != nil {
		return verdict{}, err
	}
	_, wanted, err := r.present(ctx, pods)
	if err != nil {
		return verdict{}, err
	}
	found, err := r.settleAll(ctx, wanted, nil)
	if err != nil {
		return verdict{}, err
	}
	v, together := verdict{outcome: agrees}, 0
	for _, p := range found {
		if p.Labels[GangLabel] != "" && p.Spec.NodeName != "" {
			together++
			v.detail += fmt.Sprintf("  %s goes to %s\n", id(p), p.Spec.NodeName)
		}
	}
	switch {
	case together < r.c.Needs() || r.beyond(found, nodes):
		v.detail = ""
	case evicted(before, found, wanted):
		v.outcome = byEviction
	default:
		v.outcome = gangFits
		v.detail += describe(r.plan)
	}
	return v, r.removeNodes(ctx, nodes)
}

// ofGangLeftOut says whether the pod is of a gang of which none has a place.
func (r *trial) ofGangLeftOut(u cluster.Unschedulable) bool {
	if r.given[u.Pod.NamespacedName].Labels[GangLabel] == "" {
		return false
	}
	for name := range r.planned(r.plan, r.new) {
		if r.given[name].Labels[GangLabel] != "" {
			return false
		}
	}
	return true
}

// makeOffered makes so many nodes of each offer of which one more may be bought.
func (r *trial) makeOffered(ctx context.Context, count int) ([]*corev1.Node, error) {
	var nodes []*corev1.Node
	for i := range r.c.Offers {
		if o := &r.c.Offers[i]; r.spent.Allows(r.c, o) {
			for range count {
				nodes = append(nodes, NodeOf(o, fmt.Sprintf("n%d-offer-%d-%d", r.c.Seed, i, r.serial)))
				r.serial++
			}
		}
	}
	_, err := r.makeNodes(ctx, r.c, nodes, r.c.Storage.Limit)
	return nodes, err
}

func (r *trial) removeNodes(ctx context.Context, nodes []*corev1.Node) error {
	return each(nodes, func(n *corev1.Node) error {
		if s := r.c.Slice(n.Labels[corev1.LabelInstanceTypeStable], n.Name); s != nil {
			if err := r.client.ResourceV1().ResourceSlices().Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
		return r.client.CoreV1().Nodes().Delete(ctx, n.Name, *metav1.NewDeleteOptions(0))
	})
}

// present makes the pods anew, since what they were told about other nodes is of no interest, and waits until they were looked at.
func (r *trial) present(ctx context.Context, pods []cluster.Unschedulable) (map[types.NamespacedName]*corev1.Pod, []types.NamespacedName, error) {
	var wanted []types.NamespacedName
	for _, u := range pods {
		wanted = append(wanted, u.Pod.NamespacedName)
	}
	if err := r.remake(ctx, wanted, nil); err != nil {
		return nil, nil, err
	}
	found, err := r.judged(ctx, wanted)
	return found, wanted, err
}

// beyond says whether the nodes on which there are pods could not all be bought.
func (r *trial) beyond(found map[types.NamespacedName]*corev1.Pod, nodes []*corev1.Node) bool {
	used := map[string]bool{}
	for _, p := range found {
		used[p.Spec.NodeName] = true
	}
	all := r.spent
	all.Offers = maps.Clone(r.spent.Offers)
	for i := range r.c.Offers {
		for _, n := range nodes {
			if used[n.Name] && strings.HasPrefix(n.Name, fmt.Sprintf("n%d-offer-%d-", r.c.Seed, i)) {
				all.Buy(&r.c.Offers[i], 1)
			}
		}
	}
	return all.Exceeds(r.c) != ""
}

// besideItsVolume says whether all that were bound are beside a pod that has the same volume mounted, where volumes are limited. The
// scheduler counts the volume once and the plan once for each pod, which shows where nothing further may be bought.
func (r *trial) besideItsVolume(found map[types.NamespacedName]*corev1.Pod, wanted []types.NamespacedName) bool {
	if r.c.Storage.Limit == 0 {
		return false
	}
	volume := func(p *corev1.Pod) string {
		for _, v := range p.Spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				return p.Namespace + "/" + v.PersistentVolumeClaim.ClaimName
			}
		}
		return ""
	}
	return !slices.ContainsFunc(wanted, func(w types.NamespacedName) bool {
		p := found[w]
		if p == nil || p.Spec.NodeName == "" {
			return false
		}
		for name, other := range found {
			if name != w && other.Spec.NodeName == p.Spec.NodeName && volume(p) != "" && volume(other) == volume(p) {
				return false
			}
		}
		return true
	})
}

// elsewhere says whether a pod is on another node than planned.
func (r *trial) elsewhere(found map[types.NamespacedName]*corev1.Pod) bool {
	for name, node := range r.planned(r.plan, r.new) {
		if p := found[name]; p != nil && p.Spec.NodeName != node {
			return true
		}
	}
	return false
}

// evicted says whether pods were evicted, or are about to be.
func evicted(before, after map[types.NamespacedName]*corev1.Pod, wanted []types.NamespacedName) bool {
	for name, p := range before {
		if p.Spec.NodeName != "" && after[name] == nil {
			return true
		}
	}
	return slices.ContainsFunc(wanted, func(w types.NamespacedName) bool { return after[w] != nil && after[w].Status.NominatedNodeName != "" })
}
