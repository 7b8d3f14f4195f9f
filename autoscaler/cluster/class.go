package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// class is pods that the scheduler cannot tell apart: equal in all that decides where they may go and what they take there.
// Planning goes by class and count.
type class struct {
	key string
	// sample is one of the pods, with what its RuntimeClass adds.
	sample   *corev1.Pod
	request  vector
	filter   *filter
	priority int32
	ports    []hostPort
	relation relations
	// claims is nil for pods that refer to nothing else.
	claims *claims

	// gone is true once the class has no pods and is forgotten.
	gone    bool
	members int
	pending []*member
	// unsorted is true when pending is out of order.
	unsorted bool
	// sites counts the bound pods by node.
	sites map[*site]int
}

// member is one pod of a class.
type member struct {
	pod   *corev1.Pod
	class *class
	// site is nil while the pod is pending or its node is not known.
	site *site
	// slot is the pod's place in its site's or class's list.
	slot int
	// parked is the name of the node that is not known yet.
	parked string
}

// classOf finds or makes the pod's class.
func (s *State) classOf(pod *corev1.Pod) *class {
	if !normal(pod) {
		pod = s.withRuntimeClass(pod)
	}
	s.enc.reset()
	s.enc.pod(pod)
	if c, ok := s.classes[string(s.enc.buf)]; ok {
		return c
	}
	c := &class{key: string(s.enc.buf), sample: pod, priority: s.priorities.of(pod), sites: map[*site]int{}}
	c.request = s.dims.vector(podRequests(pod))
	c.request[dimPods] = 1
	c.filter = s.filterOf(&pod.Spec)
	c.ports = hostPorts(&pod.Spec)
	s.classes[c.key] = c
	s.relate(c)
	s.claim(c)
	return c
}

func normal(pod *corev1.Pod) bool { return pod.Spec.RuntimeClassName == nil }

// withRuntimeClass does what admission does for pods that were created: those of a Demand come from templates.
func (s *State) withRuntimeClass(pod *corev1.Pod) *corev1.Pod {
	rc := s.runtimeClasses[*pod.Spec.RuntimeClassName]
	if rc == nil {
		return pod
	}
	out := *pod
	if out.Spec.Overhead == nil && rc.Overhead != nil {
		out.Spec.Overhead = rc.Overhead.PodFixed
	}
	if rc.Scheduling == nil {
		return &out
	}
	if len(rc.Scheduling.NodeSelector) > 0 {
		merged := map[string]string{}
		for k, v := range out.Spec.NodeSelector {
			merged[k] = v
		}
		for k, v := range rc.Scheduling.NodeSelector {
			merged[k] = v
		}
		out.Spec.NodeSelector = merged
	}
	out.Spec.Tolerations = slices.Clone(out.Spec.Tolerations)
	for _, t := range rc.Scheduling.Tolerations {
		if !slices.ContainsFunc(out.Spec.Tolerations, func(o corev1.Toleration) bool { return o.MatchToleration(&t) }) {
			out.Spec.Tolerations = append(out.Spec.Tolerations, t)
		}
	}
	return &out
}

// wait puts the pod among the pending ones.
func (c *class) wait(m *member) {
	m.slot = len(c.pending)
	if m.slot > 0 && compareAge(c.pending[m.slot-1], m) > 0 {
		c.unsorted = true
	}
	c.pending = append(c.pending, m)
}

func (c *class) unwait(m *member) {
	last := len(c.pending) - 1
	if m.slot != last {
		c.unsorted = true
		c.pending[m.slot] = c.pending[last]
		c.pending[m.slot].slot = m.slot
	}
	c.pending[last] = nil
	c.pending = c.pending[:last]
}

// queue is the pending pods, the oldest first.
func (c *class) queue() []*member {
	if c.unsorted {
		sortByAge(c.pending)
		for i, m := range c.pending {
			m.slot = i
		}
		c.unsorted = false
	}
	return c.pending
}

// aged is a pod with what tells most pods of a class apart, beside each other in memory: sorting tens of thousands looks at little else.
type aged struct {
	created time.Time
	// name is the first bytes of the name after those that all names begin with.
	name uint64
	*member
}

// sortByAge sorts by compareAge.
func sortByAge(pods []*member) {
	if len(pods) < 2 {
		return
	}
	// A class is of one namespace.
	first, shared := pods[0].pod.Name, len(pods[0].pod.Name)
	for _, m := range pods {
		name := m.pod.Name
		shared = min(shared, len(name))
		for name[:shared] != first[:shared] {
			shared--
		}
	}
	keyed := make([]aged, len(pods))
	for i, m := range pods {
		var head [8]byte
		copy(head[:], m.pod.Name[shared:])
		keyed[i] = aged{m.pod.CreationTimestamp.Time, binary.BigEndian.Uint64(head[:]), m}
	}
	slices.SortFunc(keyed, func(a, b aged) int {
		if d := a.created.Compare(b.created); d != 0 {
			return d
		}
		if a.name != b.name {
			return cmp.Compare(a.name, b.name)
		}
		return compareAge(a.member, b.member)
	})
	for i := range keyed {
		pods[i] = keyed[i].member
	}
}

func compareAge(a, b *member) int {
	if d := a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time); d != 0 {
		return d
	}
	return cmp.Or(cmp.Compare(a.pod.Namespace, b.pod.Namespace), cmp.Compare(a.pod.Name, b.pod.Name))
}
