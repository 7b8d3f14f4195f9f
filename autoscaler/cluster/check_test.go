package cluster

import (
	"cmp"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// checkedNode is a node as the checker sees it: nothing but objects.
type checkedNode struct {
	node *corev1.Node
	pods []*corev1.Pod
}

// check holds a plan against the rules of scheduling, worked out from the objects alone: in the end no node is overcommitted, and
// every placed pod's demands on its node and on where others are hold with all pods in place, whatever the order was.
func check(t *testing.T, s *State, plan Plan) {
	t.Helper()
	nodes, placedPods := lay(t, s, plan)
	index := countDomains(nodes)
	for p, n := range placedPods {
		checkTopology(t, p, n, nodes, index)
	}
}

// checkInTurn is check for plans that hold in the order of turns: all nodes are there, and pods come to the nodes planned for them
// once they may.
func checkInTurn(t *testing.T, s *State, plan Plan) {
	t.Helper()
	nodes, placedPods := lay(t, s, plan)
	var waiting []*corev1.Pod
	for _, n := range nodes {
		n.pods = slices.DeleteFunc(n.pods, func(p *corev1.Pod) bool {
			if placedPods[p] != nil {
				waiting = append(waiting, p)
				return true
			}
			return false
		})
	}
	slices.SortFunc(waiting, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(s.pods[key(b)].class.priority, s.pods[key(a)].class.priority),
			cmp.Compare(s.pods[key(a)].class.turn(), s.pods[key(b)].class.turn()), cmp.Compare(a.Name, b.Name))
	})
	for progress := true; progress; {
		progress = false
		for i, p := range waiting {
			if n := placedPods[p]; may(p, n, nodes) {
				n.pods = append(n.pods, p)
				waiting = slices.Delete(waiting, i, i+1)
				progress = true
				break
			}
		}
	}
	for _, p := range waiting {
		t.Errorf("%s never gets to %s", p.Name, placedPods[p].node.Name)
	}
}

// may is the scheduler's word on topology for a pod and a node as things are.
func may(p *corev1.Pod, n *checkedNode, nodes []*checkedNode) bool {
	match := func(sel *metav1.LabelSelector, q *corev1.Pod) bool {
		selector, err := metav1.LabelSelectorAsSelector(sel)
		return err == nil && p.Namespace == q.Namespace && selector.Matches(labels.Set(q.Labels))
	}
	count := func(sel *metav1.LabelSelector, key string) (map[string]int, int) {
		out, total := map[string]int{}, 0
		for _, o := range nodes {
			for _, q := range o.pods {
				if d, ok := o.node.Labels[key]; ok && match(sel, q) {
					out[d]++
					total++
				}
			}
		}
		return out, total
	}
	for _, c := range p.Spec.TopologySpreadConstraints {
		counts, least := map[string]int{}, -1
		for _, o := range nodes {
			if ok, _ := nodeaffinity.GetRequiredNodeAffinity(p).Match(o.node); !ok {
				continue
			}
			counts[o.node.Labels[c.TopologyKey]] += 0
			for _, q := range o.pods {
				if match(c.LabelSelector, q) {
					counts[o.node.Labels[c.TopologyKey]]++
				}
			}
		}
		for _, k := range counts {
			if least < 0 || k < least {
				least = k
			}
		}
		self := 0
		if match(c.LabelSelector, p) {
			self = 1
		}
		if counts[n.node.Labels[c.TopologyKey]]+self-least > int(c.MaxSkew) {
			return false
		}
	}
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
		for _, term := range a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			counts, total := count(term.LabelSelector, term.TopologyKey)
			if counts[n.node.Labels[term.TopologyKey]] == 0 && (total > 0 || !match(term.LabelSelector, p)) {
				return false
			}
		}
	}
	apart := func(p, q *corev1.Pod, n, o *checkedNode) bool {
		if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				selector, _ := metav1.LabelSelectorAsSelector(term.LabelSelector)
				if p.Namespace == q.Namespace && selector.Matches(labels.Set(q.Labels)) && n.node.Labels[term.TopologyKey] == o.node.Labels[term.TopologyKey] {
					return true
				}
			}
		}
		return false
	}
	for _, o := range nodes {
		for _, q := range o.pods {
			if apart(p, q, n, o) || apart(q, p, o, n) {
				return false
			}
		}
	}
	return true
}

// lay puts the plan's pods on nodes and checks what does not depend on where others are.
func lay(t *testing.T, s *State, plan Plan) ([]*checkedNode, map[*corev1.Pod]*checkedNode) {
	t.Helper()
	var nodes []*checkedNode
	byName := map[string]*checkedNode{}
	for _, name := range s.Nodes() {
		view, _ := s.NodeView(name)
		n := &checkedNode{node: view.Node.Node, pods: append([]*corev1.Pod(nil), view.Pods...)}
		nodes = append(nodes, n)
		byName[name] = n
	}
	placedPods := map[*corev1.Pod]*checkedNode{}
	seen := map[PodRef]int{}
	put := func(ref PodRef, n *checkedNode) {
		p := s.pods[ref.NamespacedName].pod
		if seen[ref]++; seen[ref] > 1 {
			t.Fatalf("%v is planned twice", ref)
		}
		n.pods = append(n.pods, p)
		placedPods[p] = n
	}
	for _, c := range plan.Create {
		n := &checkedNode{node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelHostname: numbered("new", len(nodes))}},
			Spec: corev1.NodeSpec{Taints: c.Offer.Taints}, Status: corev1.NodeStatus{Allocatable: c.Offer.Allocatable}}}
		for k, v := range c.Offer.Labels {
			n.node.Labels[k] = v
		}
		n.node.Name = n.node.Labels[corev1.LabelHostname]
		nodes = append(nodes, n)
		for _, ref := range c.Pods {
			put(ref, n)
		}
		if len(c.Pods) == 0 {
			t.Errorf("%s is bought for nothing", c.Offer.Name)
		}
	}
	for _, pl := range plan.Placed {
		put(pl.Pod, byName[pl.Node])
	}
	for _, u := range plan.Unschedulable {
		if seen[u.Pod] > 0 || len(u.Reasons) == 0 {
			t.Errorf("%v: placed %d times, reasons %v", u.Pod, seen[u.Pod], u.Reasons)
		}
	}
	for _, n := range nodes {
		checkNode(t, n, placedPods)
	}
	return nodes, placedPods
}

func checkNode(t *testing.T, n *checkedNode, planned map[*corev1.Pod]*checkedNode) {
	t.Helper()
	sum := map[corev1.ResourceName]int64{}
	fresh := false
	for _, p := range n.pods {
		for name, q := range podRequests(p) {
			sum[name] += q.MilliValue()
		}
		if _, ok := planned[p]; !ok {
			continue
		}
		fresh = true
		if ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n.node); !ok || err != nil {
			t.Errorf("%s is not selected by %s", n.node.Name, p.Name)
		}
		for i := range n.node.Spec.Taints {
			taint := &n.node.Spec.Taints[i]
			tolerated := taint.Effect == corev1.TaintEffectPreferNoSchedule
			for _, tol := range p.Spec.Tolerations {
				tolerated = tolerated || (tol.Key == "" || tol.Key == taint.Key) && (tol.Effect == "" || tol.Effect == taint.Effect) &&
					(tol.Operator == corev1.TolerationOpExists || tol.Value == taint.Value)
			}
			if !tolerated {
				t.Errorf("%s does not tolerate %s of %s", p.Name, taint.Key, n.node.Name)
			}
		}
	}
	if !fresh {
		return
	}
	for name, used := range sum {
		if have := n.node.Status.Allocatable[name]; used > have.MilliValue() {
			t.Errorf("%s: %d of %s used, %d there", n.node.Name, used, name, have.MilliValue())
		}
	}
	if have := n.node.Status.Allocatable.Pods().Value(); int64(len(n.pods)) > have {
		t.Errorf("%s: %d pods, %d allowed", n.node.Name, len(n.pods), have)
	}
	ports := map[int32]int{}
	for _, p := range n.pods {
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				if port.HostPort > 0 {
					if ports[port.HostPort]++; ports[port.HostPort] > 1 {
						t.Errorf("%s: host port %d is taken twice", n.node.Name, port.HostPort)
					}
				}
			}
		}
	}
}

// domainCounts counts pods with a label by domain, for each topology key.
type domainCounts map[string]map[string]map[string]int

func countDomains(nodes []*checkedNode) domainCounts {
	out := domainCounts{}
	for _, n := range nodes {
		for key, value := range n.node.Labels {
			if key != corev1.LabelHostname && key != corev1.LabelTopologyZone {
				continue
			}
			for _, p := range n.pods {
				for k, v := range p.Labels {
					pair := p.Namespace + "/" + k + "=" + v
					if out[key] == nil {
						out[key] = map[string]map[string]int{}
					}
					if out[key][pair] == nil {
						out[key][pair] = map[string]int{}
					}
					out[key][pair][value]++
				}
			}
		}
	}
	return out
}

// checkTopology works for selectors of one label, the only ones that the tests' pods have.
func checkTopology(t *testing.T, p *corev1.Pod, n *checkedNode, nodes []*checkedNode, index domainCounts) {
	t.Helper()
	one := func(sel *metav1.LabelSelector, key string) (count map[string]int, self int) {
		for k, v := range sel.MatchLabels {
			if labels.Set(p.Labels).Get(k) == v {
				self = 1
			}
			return index[key][p.Namespace+"/"+k+"="+v], self
		}
		return nil, 0
	}
	for _, c := range p.Spec.TopologySpreadConstraints {
		count, _ := one(c.LabelSelector, c.TopologyKey)
		least := -1
		for _, other := range nodes {
			if ok, _ := nodeaffinity.GetRequiredNodeAffinity(p).Match(other.node); !ok {
				continue
			}
			if d, ok := other.node.Labels[c.TopologyKey]; ok && (least < 0 || count[d] < least) {
				least = count[d]
			}
		}
		if skew := count[n.node.Labels[c.TopologyKey]] - least; skew > int(c.MaxSkew) {
			t.Errorf("%s: skew of %d over %s, %v", p.Name, skew, c.TopologyKey, count)
		}
	}
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
		for _, term := range a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			count, self := one(term.LabelSelector, term.TopologyKey)
			total := 0
			for _, k := range count {
				total += k
			}
			if d := count[n.node.Labels[term.TopologyKey]]; d-self < 1 && !(self == 1 && total == 1) {
				t.Errorf("%s is not near %v", p.Name, term.LabelSelector.MatchLabels)
			}
		}
	}
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if count, self := one(term.LabelSelector, term.TopologyKey); count[n.node.Labels[term.TopologyKey]]-self > 0 {
				t.Errorf("%s is not apart from %v in %s", p.Name, term.LabelSelector.MatchLabels, n.node.Labels[term.TopologyKey])
			}
		}
	}
}
