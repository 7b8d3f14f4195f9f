package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// variety is an offer as the planner sees it.
type variety struct {
	offer *Offer
	// policy is the offer's, without limits when there is none of that name.
	policy *Policy
	// node is what would be there. Its name and hostname are those of no node.
	node  *corev1.Node
	shape *shape
	// free is what is allocatable less what DaemonSets' pods take, daemons what they take.
	free, daemons vector
	// index is its place in the order of prices.
	index int
	// bounded is true when stock or limits may forbid it.
	bounded bool
	// capacity is what limits are charged with.
	capacity vector
}

// toCome is the name of nodes that are not there yet, which nobody can ask for.
const toCome = "(to come)"

// refreshOffers prepares offers again when they, DaemonSets or the labels that filters look at have changed.
func (s *State) refreshOffers() {
	s.reshape()
	if !s.offersStale {
		return
	}
	s.varieties = make([]*variety, 0, len(s.offers))
	policies := map[string]*Policy{}
	for i := range s.offers {
		o := &s.offers[i]
		v := &variety{offer: o, node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: toCome, Labels: maps.Clone(o.Labels)}, Spec: corev1.NodeSpec{Taints: o.Taints}}}
		if v.node.Labels == nil {
			v.node.Labels = map[string]string{}
		}
		v.node.Labels[corev1.LabelHostname] = toCome
		if v.policy = policies[o.Policy]; v.policy == nil {
			policy := s.policies[o.Policy]
			v.policy = &policy
			policies[o.Policy] = v.policy
		}
		v.bounded = o.Stock >= 0 || v.policy.Left != Limits{}
		v.shape = s.shapeOf(o.Labels, o.Taints, false)
		v.capacity = s.dims.vector(o.Allocatable)
		v.daemons, v.shape = s.daemonsOn(v.shape, v.node)
		v.free = v.capacity.clone().take(v.daemons, 1)
		s.varieties = append(s.varieties, v)
	}
	slices.SortStableFunc(s.varieties, func(a, b *variety) int {
		return cmp.Or(cmp.Compare(a.offer.PricePerHour, b.offer.PricePerHour), compareID(a.offer, b.offer))
	})
	for i, v := range s.varieties {
		v.index = i
	}
	s.stock = nil
	for _, t := range s.nodes {
		if t.daemons != nil {
			t.free = t.free.take(t.daemons, -1)
			t.daemons = nil
		}
		if t.view.Expected {
			t.daemons, t.shape = s.daemonsOn(s.shapeOf(t.node.Labels, t.node.Spec.Taints, t.node.Spec.Unschedulable), t.node)
			t.free = t.free.take(t.daemons, 1)
		}
	}
	s.offersStale, s.attachStale = false, true
	if s.shapesStale { // a DaemonSet looked at a label for the first time
		s.refreshOffers()
	}
}

// stock is varieties that differ in nothing but their price: they have equal room, pass the same filters and are in the same domains.
type stock struct {
	// varieties come by rising price.
	varieties []*variety
	// room numbers what they have room for, under expanders that treat them alike.
	room int
	rank int
}

// stocked groups the varieties.
func (s *State) stocked() []*stock {
	if s.stock != nil && !s.topology.widened {
		return s.stock
	}
	s.topology.widened = false
	rooms, byKey := map[string]int{}, map[string]*stock{}
	s.stock = make([]*stock, 0, len(s.varieties))
	keys := sortedKeys(s.topology.keys)
	var key []byte
	for _, v := range s.varieties {
		if !v.offer.Available {
			continue
		}
		rank, zone := 0, ""
		switch v.policy.Expander {
		case byPriority:
			rank = v.offer.Rank
		case balanced:
			zone = v.offer.Policy + "/" + v.offer.Zone
		}
		key = key[:0]
		for _, n := range v.free {
			key = strconv.AppendInt(append(key, ','), n, 36)
		}
		key = strconv.AppendInt(append(key, '/'), int64(v.offer.Weight), 10)
		key = strconv.AppendInt(append(key, '/'), int64(rank), 10)
		key = append(append(key, '/'), zone...)
		room, ok := rooms[string(key)]
		if !ok {
			room = len(rooms)
			rooms[string(key)] = room
		}
		key = strconv.AppendInt(append(key, '#'), int64(v.shape.id), 10)
		for _, k := range keys {
			key = strconv.AppendInt(append(key, '@'), int64(s.topology.domainIn(v.node.Labels, k)), 10)
		}
		g := byKey[string(key)]
		if g == nil {
			g = &stock{room: room, rank: rank}
			byKey[string(key)] = g
			s.stock = append(s.stock, g)
		}
		g.varieties = append(g.varieties, v)
	}
	return s.stock
}

func compareID(a, b *Offer) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.CapacityType, b.CapacityType),
		cmp.Compare(a.Group, b.Group), cmp.Compare(a.Policy, b.Policy))
}

// daemonTaints are those that the DaemonSet controller makes its pods tolerate.
var daemonTaints = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

// daemonsOn is what the DaemonSets' pods request on a node to come of the shape, and the shape with the host ports that they take.
func (s *State) daemonsOn(sh *shape, node *corev1.Node) (vector, *shape) {
	sum := make(vector, fixedDims)
	var ports []hostPort
	for _, d := range s.daemons {
		pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
		if !normal(pod) {
			pod = s.withRuntimeClass(pod)
		}
		pod.Spec.Tolerations = append(slices.Clone(pod.Spec.Tolerations), daemonTaints...)
		if s.filterOf(&pod.Spec).on(sh, node) != passes {
			continue
		}
		request := s.dims.vector(podRequests(pod))
		request[dimPods] = 1
		sum = sum.take(request, -1)
		ports = append(ports, hostPorts(&pod.Spec)...)
	}
	if len(ports) == 0 {
		return sum, sh
	}
	slices.SortFunc(ports, comparePorts)
	return sum, s.shapeOf(node.Labels, node.Spec.Taints, node.Spec.Unschedulable, slices.Compact(ports)...)
}
