package nodes

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

// A simulation says that pods have room, and not where the scheduler puts them: what it chooses for one pod may have been the room for
// another. To save money pods are therefore evicted in turns, and the rest is simulated again once all of a turn run somewhere. Of one
// turn are the pods of one workload: whichever of their places each of them takes, the others find theirs.

// maxFlight is how long the successor of an evicted pod is waited for that nobody makes.
const maxFlight = time.Minute

// flight is a pod that is evicted: its owner, and how many pods that had before.
type flight struct {
	pod, owner types.UID
	active     int
	at         time.Time
}

// takesPods reports whether pods can go to a node now.
func (c *Controller) takesPods(name string) bool {
	view, ok := c.world.state.NodeView(name)
	node := c.world.nodes[name]
	return ok && !view.Expected && !view.Leaving && isReady(node) && !node.Spec.Unschedulable
}

// holds reports whether all pods of nodes that a move takes away have a place now, beside those of all other nodes that leave.
func (c *Controller) holds(nodes []string) (holds bool, why string) {
	var others []string
	for _, name := range c.world.state.Nodes() {
		if view, ok := c.world.state.NodeView(name); ok && view.Leaving && !view.Expected && !slices.Contains(nodes, name) {
			others = append(others, name)
		}
	}
	c.world.foresee(func() { holds, why = consolidation.Check(c.world.state, nodes, others, c.takesPods) })
	return holds, why
}

// turn says which pods may be evicted now to save money: none while those of the last turn have not arrived, or when what is left has no
// room any more. The drain that was begun last is taken back then.
func (c *Controller) turn(ctx context.Context, leaving []*v1alpha1.NodeClaim, now time.Time) map[types.NamespacedName]bool {
	none := map[types.NamespacedName]bool{} // nil would mean all
	var nodes []string
	var last *v1alpha1.NodeClaim
	for _, k := range leaving {
		k = c.world.claims[k.Name]
		if k == nil || !saves(k) || k.DeletionTimestamp != nil {
			continue
		}
		if c.moves.draining[k.Name] {
			return none
		}
		nodes = append(nodes, c.world.nodeOfClaim[k.Name])
		if last == nil || last.Status.Disruption.At.Before(&k.Status.Disruption.At) {
			last = k
		}
	}
	if len(nodes) == 0 || !c.arrived(now) {
		return none
	}
	if holds, why := c.holds(nodes); !holds {
		c.takeBack(ctx, []string{last.Name}, why, now)
		return none
	}
	groups := c.workloadsOn(nodes)
	if len(groups) == 0 {
		return none
	}
	c.moves.round++
	c.moves.turned = map[types.NamespacedName]flight{}
	turn := map[types.NamespacedName]bool{}
	for _, pod := range groups[c.moves.round%len(groups)] {
		key, owner := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, controllerUID(pod)
		turn[key] = true
		c.moves.turned[key] = flight{pod: pod.UID, owner: owner, active: c.world.podsOfOwner[owner], at: now}
	}
	return turn
}

// arrived forgets evicted pods whose successors run somewhere, and reports whether that is so for all.
func (c *Controller) arrived(now time.Time) bool {
	waiting := map[types.UID]bool{}
	for key := range c.world.pending {
		waiting[c.world.pods[key].owner] = true
	}
	for key, f := range c.moves.flights {
		here := c.world.pods[key]
		left := here.uid != f.pod || !here.active // and the watch has shown it
		if !waiting[f.owner] && (left && c.world.podsOfOwner[f.owner] >= f.active || now.Sub(f.at) > maxFlight) {
			delete(c.moves.flights, key)
		}
	}
	return len(c.moves.flights) == 0
}

// awaitSuccessors notes which pods were evicted of those whose turn it was.
func (c *Controller) awaitSuccessors(progress *drain.Progress) {
	for _, p := range progress.Pods {
		if f, ok := c.moves.turned[p.Pod]; ok && p.Code == "Evicted" {
			c.moves.flights[p.Pod] = f
		}
	}
}

// workloadsOn are the pods that have to leave nodes, by workload. A pod that is not like its siblings to the scheduler, or goes where
// they are not, is one of its own.
func (c *Controller) workloadsOn(nodes []string) [][]*corev1.Pod {
	by := map[string][]*corev1.Pod{}
	for _, name := range nodes {
		view, ok := c.world.state.NodeView(name)
		if !ok {
			continue
		}
		for _, pod := range view.Pods {
			if pod.DeletionTimestamp != nil || disruption.Stationary(pod) {
				continue
			}
			key := string(controllerUID(pod))
			if key == "" || !interchangeable(pod) {
				key = pod.Namespace + "/" + pod.Name
			}
			by[key] = append(by[key], pod)
		}
	}
	groups := make([][]*corev1.Pod, 0, len(by))
	for _, pods := range by {
		groups = append(groups, pods)
	}
	slices.SortFunc(groups, func(a, b []*corev1.Pod) int {
		return cmp.Or(cmp.Compare(a[0].Namespace, b[0].Namespace), cmp.Compare(a[0].Name, b[0].Name))
	})
	return groups
}

// interchangeable reports whether a pod fits wherever another one of its workload would, and takes nothing away that binds others.
func interchangeable(pod *corev1.Pod) bool {
	s := &pod.Spec
	if len(s.TopologySpreadConstraints) > 0 || len(s.ResourceClaims) > 0 || s.Affinity != nil && (s.Affinity.PodAffinity != nil || s.Affinity.PodAntiAffinity != nil) {
		return false
	}
	return !slices.ContainsFunc(s.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil })
}

// noteReplacements tells consolidation of nodes that have become ready in place of others: they are left alone for a while.
func (c *Controller) noteReplacements() {
	for name := range c.moves.taken {
		if c.world.claims[name] == nil {
			delete(c.moves.taken, name)
		}
	}
	for name, k := range c.world.claims {
		if len(k.Spec.Replaces) == 0 || k.Status.Phase != v1alpha1.ClaimReady || c.moves.taken[name] || c.world.nodeOfClaim[name] == "" {
			continue
		}
		c.moves.taken[name] = true
		if ready := meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			c.moves.memory.Bought(c.world.nodeOfClaim[name], ready.LastTransitionTime.Time)
		}
	}
}
