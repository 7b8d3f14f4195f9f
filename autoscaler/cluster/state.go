package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/cluster/device"
	"github.com/yagura-dev/yagura/autoscaler/cluster/volume"
)

// State is what is known of a cluster, kept so that a plan costs what has changed: pods by class, nodes with what is free on them,
// offers by shape. It implements Planner. It is not safe for concurrent use.
type State struct {
	now  time.Time
	dims *dimensions
	enc  encoder

	pods    map[types.NamespacedName]*member
	classes map[string]*class
	nodes   map[string]*site
	// names and ordered list the nodes by name, nil until they are asked for.
	names   []string
	ordered []*site
	// parked are pods whose node is not known (yet), by its name.
	parked map[string]map[*member]bool

	filters map[string]*filter
	// selectors are those of affinity terms and spread constraints, parsed.
	selectors map[string]labels.Selector
	// keys are the labels that filters look at.
	keys        map[string]bool
	shapes      map[string]*shape
	nextShape   int
	shapesStale bool

	offers    []Offer
	varieties []*variety
	// stock groups the varieties that are the same but for their price.
	stock       []*stock
	offersStale bool
	policies    map[string]Policy
	demand      []Demand
	// demandClasses are the classes of demand, nil until they are asked for.
	demandClasses []*class
	daemons       map[types.NamespacedName]*appsv1.DaemonSet

	runtimeClasses map[string]*nodev1.RuntimeClass
	priorities     *priorities
	gangs          gangs

	volumes    *volume.Catalog
	devices    *device.Catalog
	references references
	// attached are the dimensions that count attached volumes, by driver. attachStale is true when all nodes and offers are to be
	// counted anew.
	attached    map[string]int
	attachStale bool

	namespaces map[string]labels.Set

	// generation counts changes of pods and nodes.
	generation uint64
	nextSite   int32
	topology   topology
	// settled is where pending pods will go on the nodes there are; simulations start from there. It is kept for one generation.
	settled settlement
}

var _ Planner = (*State)(nil)

// NewState is a state without anything in it.
func NewState() *State {
	return &State{
		topology: topology{epoch: 1},
		dims:     newDimensions(), pods: map[types.NamespacedName]*member{}, classes: map[string]*class{}, nodes: map[string]*site{},
		parked: map[string]map[*member]bool{}, filters: map[string]*filter{}, keys: map[string]bool{}, shapes: map[string]*shape{},
		policies: map[string]Policy{}, daemons: map[types.NamespacedName]*appsv1.DaemonSet{}, runtimeClasses: map[string]*nodev1.RuntimeClass{},
		priorities: newPriorities(), gangs: gangs{},
		volumes: volume.NewCatalog(), devices: device.NewCatalog(), references: newReferences(), attached: map[string]int{}, namespaces: map[string]labels.Set{},
	}
}

// ErrUnknownKind is what Upsert answers for an object that planning does not look at.
var ErrUnknownKind = errors.New("planning does not look at objects of this kind")

// Upsert adds an object or replaces it. The object must not be changed afterwards.
func (s *State) Upsert(obj any) error {
	s.generation++
	switch o := obj.(type) {
	case *corev1.Pod:
		s.upsertPod(o)
	case *appsv1.DaemonSet:
		s.daemons[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
		s.offersStale = true
	case *nodev1.RuntimeClass:
		s.runtimeClasses[o.Name] = o
		s.forgetDemand()
	case *schedulingv1.PriorityClass:
		s.forgetDemand()
		s.priorities.upsert(o)
	case *corev1.Namespace:
		if !maps.Equal(s.namespaces[o.Name], o.Labels) {
			s.namespaces[o.Name] = o.Labels
			s.topology.forget()
		}
	default:
		if !s.refer(obj) {
			return fmt.Errorf("%w: %T", ErrUnknownKind, obj)
		}
	}
	return nil
}

// Delete takes an object out. One that is not there is left at that.
func (s *State) Delete(obj any) {
	s.generation++
	switch o := obj.(type) {
	case *corev1.Pod:
		s.removePod(types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
	case *appsv1.DaemonSet:
		delete(s.daemons, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		s.offersStale = true
	case *nodev1.RuntimeClass:
		delete(s.runtimeClasses, o.Name)
	case *schedulingv1.PriorityClass:
		s.forgetDemand()
		s.priorities.remove(o.Name)
	case *corev1.Namespace:
		delete(s.namespaces, o.Name)
		s.topology.forget()
	default:
		s.unrefer(obj)
	}
}

func (s *State) upsertPod(pod *corev1.Pod) {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	if ended(pod) {
		s.removePod(key)
		return
	}
	c := s.classOf(pod)
	m, ok := s.pods[key]
	if ok && m.class == c && m.node() == pod.Spec.NodeName {
		m.pod = pod
		if m.site != nil {
			m.site.sorted = false
		}
		return
	}
	if ok {
		s.detach(m)
		if m.class != c {
			s.leave(m.class)
			c.members++
		}
		m.pod, m.class = pod, c
	} else {
		m = &member{pod: pod, class: c}
		s.pods[key] = m
		c.members++
	}
	s.attach(m, pod.Spec.NodeName)
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (m *member) node() string {
	if m.site != nil {
		return m.site.name
	}
	return m.parked
}

func (s *State) attach(m *member, node string) {
	if node == "" {
		m.class.wait(m)
		return
	}
	if t := s.nodes[node]; t != nil {
		t.bound(m, s)
		return
	}
	m.parked = node
	if s.parked[node] == nil {
		s.parked[node] = map[*member]bool{}
	}
	s.parked[node][m] = true
}

func (s *State) detach(m *member) {
	switch {
	case m.site != nil:
		m.site.unbound(m, s)
	case m.parked != "":
		delete(s.parked[m.parked], m)
		if len(s.parked[m.parked]) == 0 {
			delete(s.parked, m.parked)
		}
		m.parked = ""
	default:
		m.class.unwait(m)
	}
}

func (s *State) removePod(key types.NamespacedName) {
	m, ok := s.pods[key]
	if !ok {
		return
	}
	s.detach(m)
	delete(s.pods, key)
	s.leave(m.class)
}

// leave drops a class without pods: what is kept is bounded by what there is.
func (s *State) leave(c *class) {
	if c.members--; c.members == 0 {
		delete(s.classes, c.key)
		s.topology.drop(c)
		s.references.drop(c)
	}
}

// Bind puts a pod on a node as the scheduler would, for simulations. It does nothing for a pod that is not known.
func (s *State) Bind(pod types.NamespacedName, node string) {
	m, ok := s.pods[pod]
	if !ok || m.node() == node {
		return
	}
	s.generation++
	s.detach(m)
	bound := m.pod.DeepCopy()
	bound.Spec.NodeName = node
	m.pod = bound
	s.attach(m, node)
}

// SetNode adds a node or replaces it. One without a Node object is ignored.
func (s *State) SetNode(n Node) {
	if n.Node == nil {
		return
	}
	s.generation++
	t := s.nodes[n.Node.Name]
	if t == nil || !samePlace(t.node, n.Node) {
		s.topology.moved()
	}
	if t == nil {
		t = &site{index: s.nextSite, name: n.Node.Name, counts: map[*class]int{}}
		s.nextSite++
		s.nodes[t.name] = t
		s.names, s.ordered = nil, nil
	}
	t.view.Node, t.node, t.closed = n, n.Node, n.Leaving
	t.domains = nil
	t.shape = s.shapeOf(n.Node.Labels, n.Node.Spec.Taints, n.Node.Spec.Unschedulable)
	t.view.Allocatable = n.Node.Status.Allocatable
	t.free = s.dims.vector(n.Node.Status.Allocatable)
	for c, k := range t.counts {
		t.free = t.free.take(c.request, k)
	}
	t.daemons = nil
	if n.Expected {
		s.offersStale = true // its DaemonSets' pods are counted with those of offers
	}
	for m := range s.parked[t.name] {
		t.bound(m, s)
	}
	delete(s.parked, t.name)
	t.changed(s)
}

// samePlace says whether two versions of a node are the same to topologies.
func samePlace(a, b *corev1.Node) bool {
	return maps.Equal(a.Labels, b.Labels) && slices.Equal(a.Spec.Taints, b.Spec.Taints) && a.Spec.Unschedulable == b.Spec.Unschedulable
}

// DeleteNode takes a node out. Pods that are still bound to it wait until they are deleted or the node comes back.
func (s *State) DeleteNode(name string) {
	t := s.nodes[name]
	if t == nil {
		return
	}
	s.generation++
	for len(t.members) > 0 {
		m := t.members[len(t.members)-1]
		t.unbound(m, s)
		m.parked = name
		if s.parked[name] == nil {
			s.parked[name] = map[*member]bool{}
		}
		s.parked[name][m] = true
	}
	delete(s.nodes, name)
	s.names, s.ordered = nil, nil
	s.topology.moved()
}

// SetOffers replaces what can be bought.
func (s *State) SetOffers(offers []Offer) {
	s.offers, s.offersStale = slices.Clone(offers), true
}

// SetPolicies replaces the policies that offers name. An offer whose policy is not there is not limited.
func (s *State) SetPolicies(policies []Policy) {
	s.policies = make(map[string]Policy, len(policies))
	for _, p := range policies {
		s.policies[p.Name] = p
	}
	s.offersStale = true
}

// SetDemand replaces the pods that do not exist yet.
func (s *State) SetDemand(demand []Demand) {
	s.forgetDemand()
	s.demand = slices.Clone(demand)
	s.generation++
}

// SetTime tells the time, for LastPodChange.
func (s *State) SetTime(now time.Time) { s.now = now }

// Nodes implements Planner.
func (s *State) Nodes() []string {
	if s.names == nil {
		s.names = slices.Sorted(maps.Keys(s.nodes))
	}
	return slices.Clone(s.names)
}

// NodeView implements Planner.
func (s *State) NodeView(name string) (NodeView, bool) {
	t := s.nodes[name]
	if t == nil {
		return NodeView{}, false
	}
	view := t.view
	view.Pods = t.pods()
	sum := make(vector, fixedDims)
	for c, n := range t.counts {
		sum = sum.take(c.request, -n)
	}
	view.Requested = s.dims.list(sum)
	return view, true
}
