package consolidation_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// town is a cluster in the planner's own state.
type town struct {
	t     testing.TB
	state *cluster.State
	input consolidation.Input
	// unready and created differ from what holds for every other node: ready, and a day old.
	unready map[string]bool
	created map[string]time.Time
	pods    int
}

// newTown has one policy, general, that acts and has no budget below all of its nodes.
func newTown(t testing.TB) *town {
	c := &town{t: t, state: cluster.NewState(), unready: map[string]bool{}, created: map[string]time.Time{}}
	c.state.SetTime(noon.Add(-24 * time.Hour))
	c.input = consolidation.Input{Planner: c.state, Memory: consolidation.NewMemory(), Config: consolidation.DefaultConfig()}
	c.input.World.Now = noon
	c.policy("general", nil)
	return c
}

func (c *town) policy(name string, change func(*v1alpha1.NodePolicy)) {
	p := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.Mode = v1alpha1.Apply
	p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intOrPercent("100%")}}
	if change != nil {
		change(p)
	}
	kept := c.input.World.Policies[:0:0]
	for _, old := range c.input.World.Policies {
		if old.Name != name {
			kept = append(kept, old)
		}
	}
	c.input.World.Policies = append(kept, p)
}

// offer can be bought under the policy general: cores, and twice as many GiB.
func offer(name string, cores int64, price float64) cluster.Offer {
	return cluster.Offer{
		Name: name, Zone: "a", CapacityType: "on-demand", Policy: "general", PricePerHour: price, Available: true, Stock: -1,
		Labels:      nodeLabels(name, "a", "on-demand"),
		Allocatable: allocatable(cores),
	}
}

func nodeLabels(name, zone, capacity string) map[string]string {
	return map[string]string{
		corev1.LabelInstanceTypeStable: name, corev1.LabelTopologyZone: zone, "karpenter.sh/capacity-type": capacity,
		corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
	}
}

func allocatable(cores int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(cores, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(2*cores<<30, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(110, resource.DecimalSI),
	}
}

// node of an offer, for the policy general.
func (c *town) node(name string, o cluster.Offer, changes ...func(*cluster.Node)) {
	labels := map[string]string{corev1.LabelHostname: name}
	for k, v := range o.Labels {
		labels[k] = v
	}
	n := cluster.Node{
		Node:         &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{}}},
		PricePerHour: o.PricePerHour, Policy: o.Policy, Claim: name,
	}
	n.Node.Status.Allocatable = o.Allocatable
	n.Node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, change := range changes {
		change(&n)
	}
	c.state.SetNode(n)
}

// run puts pods that request milliCPU, and as much memory as fits beside it, on a node; an empty node leaves them pending.
func (c *town) run(node string, n int, milli int64, changes ...func(*corev1.Pod)) {
	for range n {
		c.pods++
		p := pod(fmt.Sprintf("web-%d", c.pods), milli)
		p.Spec.NodeName = node
		for _, change := range changes {
			change(p)
		}
		if err := c.state.Upsert(p); err != nil {
			c.t.Fatal(err)
		}
	}
}

func pod(name string, milli int64) *corev1.Pod {
	start := metav1.NewTime(noon.Add(-24 * time.Hour))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", UID: types.UID(name), Annotations: map[string]string{}, Labels: map[string]string{"app": "web"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", UID: "web", Controller: new(true)}},
	}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(milli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(milli<<20, resource.BinarySI),
	}}}}
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &start
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start}}
	return p
}

// decide looks at the town as it is, and holds every decision against what must hold for all of them.
func (c *town) decide() consolidation.Decision {
	c.t.Helper()
	c.input.Candidates = c.candidates()
	d := consolidation.Decide(c.input)
	if wrong := broken(c.input, d); wrong != "" {
		c.t.Fatal(wrong)
	}
	return d
}

func (c *town) candidates() (all []disruption.Candidate) {
	for _, name := range c.state.Nodes() {
		view, _ := c.state.NodeView(name)
		created := noon.Add(-24 * time.Hour)
		if at, ok := c.created[name]; ok {
			created = at
		}
		all = append(all, disruption.Candidate{NodeView: view, Ready: !c.unready[name], Created: created})
	}
	return all
}

// broken says which promise a decision breaks, empty when it keeps all of them.
func broken(in consolidation.Input, d consolidation.Decision) string {
	seen := map[string]bool{}
	for i := range in.Candidates {
		name := in.Candidates[i].Name()
		s, ok := d.Stays[name]
		if !ok || s.Node != name || s.Code == "" || s.Message == "" || len(s.Verdicts) == 0 {
			return fmt.Sprintf("no answer for the node %q: %+v", name, s)
		}
		for j, v := range s.Verdicts {
			if v.Rule == "" || v.Code == "" || v.Message == "" || v.Stays && j != len(s.Verdicts)-1 {
				return fmt.Sprintf("the node %s has the verdict %d of %d: %+v", name, j, len(s.Verdicts), v)
			}
		}
		seen[name] = true
	}
	if len(d.Stays) != len(seen) {
		return fmt.Sprintf("%d answers for %d nodes", len(d.Stays), len(seen))
	}
	byName := map[string]*disruption.Candidate{}
	for i := range in.Candidates {
		byName[in.Candidates[i].Name()] = &in.Candidates[i]
	}
	moving := map[string]bool{}
	planned := map[string]map[v1alpha1.DisruptionReason]int{}
	for _, m := range d.Moves {
		if planned[m.Policy] == nil {
			planned[m.Policy] = map[v1alpha1.DisruptionReason]int{}
		}
		planned[m.Policy][m.Reason] += len(m.Remove)
		if len(m.Remove) == 0 || m.Code == "" || m.Message == "" {
			return fmt.Sprintf("a move without nodes or reason: %+v", m)
		}
		for _, name := range m.Remove {
			c := byName[name]
			if moving[name] || c == nil || c.Policy != m.Policy || c.Leaving || c.Expected || !c.Ready {
				return fmt.Sprintf("the node %s must not be moved: %+v", name, m)
			}
			moving[name] = true
			if stays := d.Stays[name].Verdicts; stays[len(stays)-1].Stays {
				return fmt.Sprintf("the node %s moves and stays", name)
			}
		}
		if m.Saving <= 0 || m.Saving < m.Cost {
			return fmt.Sprintf("the move saves %.4f for %.4f", m.Saving, m.Cost)
		}
		for _, p := range m.Create {
			for _, name := range m.Remove {
				l := byName[name].NodeView.Node.Node.Labels
				if l[corev1.LabelInstanceTypeStable] == p.Offer.Name && l["karpenter.sh/capacity-type"] == p.Offer.CapacityType {
					return fmt.Sprintf("like for like: %s for %s", p.Offer.Name, name)
				}
			}
		}
	}
	acts := map[string]bool{}
	for _, p := range in.World.Policies {
		acts[p.Name] = p.Spec.Mode == v1alpha1.Apply
	}
	for _, m := range d.Moves {
		for _, p := range m.Place {
			// What another policy merely recommends to take away stays.
			if c := byName[p.Node]; moving[p.Node] && (c.Policy == m.Policy || acts[c.Policy]) {
				return fmt.Sprintf("%s is to go to %s, which goes", p.Pod, p.Node)
			}
			if c := byName[p.Node]; c != nil && (!c.Ready || c.Leaving || c.Expected) {
				return fmt.Sprintf("%s is to go to %s, which takes no pods", p.Pod, p.Node)
			}
		}
	}
	for _, p := range in.World.Policies {
		nodes, disrupted := disruption.Count(p.Name, in.Candidates, in.World)
		for reason, n := range planned[p.Name] {
			allowed, _, _ := disruption.Allowed(p, reason, nodes, disrupted, in.World.Now)
			if n > allowed {
				return fmt.Sprintf("%d nodes of %s planned for %s, %d allowed", n, p.Name, reason, allowed)
			}
		}
	}
	return ""
}
