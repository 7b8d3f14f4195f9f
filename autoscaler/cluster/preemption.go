package cluster

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// expendableBelow is the priority below which pods run where there happens to be room: nothing is bought for them, and others may be
// planned in their place. It is cluster-autoscaler's convention, so that pods that hold room free (by convention at -10) still count.
const expendableBelow = -10

// priorities are the PriorityClasses that there are.
type priorities struct {
	classes map[string]*schedulingv1.PriorityClass
	// fallback is the class of pods that name none, nil when there is none such.
	fallback *schedulingv1.PriorityClass
}

func newPriorities() *priorities {
	return &priorities{classes: map[string]*schedulingv1.PriorityClass{}}
}

func (p *priorities) upsert(c *schedulingv1.PriorityClass) {
	p.classes[c.Name] = c
	p.elect()
}

func (p *priorities) remove(name string) {
	delete(p.classes, name)
	p.elect()
}

// elect finds the class for pods that name none. Were there several by mistake, the API server would take the lowest.
func (p *priorities) elect() {
	p.fallback = nil
	for _, c := range p.classes {
		if !c.GlobalDefault {
			continue
		}
		if f := p.fallback; f == nil || c.Value < f.Value || c.Value == f.Value && c.Name < f.Name {
			p.fallback = c
		}
	}
}

// builtin are the classes that every API server has, for pods planned with no cluster at hand.
var builtin = map[string]int32{"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

// classOf is the class that admission would read for the pod, nil when there is none.
func (p *priorities) classOf(pod *corev1.Pod) *schedulingv1.PriorityClass {
	if name := pod.Spec.PriorityClassName; name != "" {
		return p.classes[name]
	}
	return p.fallback
}

// of is the pod's priority: its own once admission has set it, and otherwise what its class says.
func (p *priorities) of(pod *corev1.Pod) int32 {
	if pod.Spec.Priority != nil {
		return *pod.Spec.Priority
	}
	if c := p.classOf(pod); c != nil {
		return c.Value
	}
	return builtin[pod.Spec.PriorityClassName]
}

// preempts is false for a pod that waits for room whatever its priority.
func (p *priorities) preempts(pod *corev1.Pod) bool {
	policy := pod.Spec.PreemptionPolicy
	if policy == nil && pod.Spec.Priority == nil {
		if c := p.classOf(pod); c != nil {
			policy = c.PreemptionPolicy
		}
	}
	return policy == nil || *policy != corev1.PreemptNever
}

// expendable is true for pods that exist and are of a priority for which nothing is bought.
func expendable(b *batch) bool { return b.demand == nil && b.priority < expendableBelow }

// overExpendable puts pods where there is room once expendable ones are gone: the scheduler evicts those by itself. Whatever else it
// might evict is left to it: until it has nominated a node, a pod is planned for as if it could not.
func (p *planning) overExpendable(b *batch) {
	c := b.class
	if _, held := p.held(b); held || expendable(b) || b.demand != nil || c.singly() || !p.s.priorities.preempts(c.sample) {
		return
	}
	for _, t := range p.withExpendable() {
		if b.left() == 0 {
			return
		}
		if t.closed || c.filter.on(t.shape, t.node) != passes {
			continue
		}
		for b.left() > 0 && p.evictFor(t, b) {
		}
	}
}

// withExpendable are the nodes that have expendable pods, in the order of their names.
func (p *planning) withExpendable() []*site {
	if p.expendable == nil {
		p.expendable = []*site{}
		for _, c := range p.s.classes {
			if c.priority >= expendableBelow {
				continue
			}
			for t := range c.sites {
				p.expendable = append(p.expendable, t)
			}
		}
		slices.SortFunc(p.expendable, func(a, b *site) int { return strings.Compare(a.name, b.name) })
		p.expendable = slices.Compact(p.expendable)
	}
	return p.expendable
}

// evictFor takes expendable pods off the site until there is room for one of the batch, and puts it there; it takes none off when
// that is not enough.
func (p *planning) evictFor(t *site, b *batch) bool {
	mark := len(p.log)
	for p.room(t, b.class) == 0 || !p.allows(t, b.class) {
		victim := p.lowest(t)
		if victim == nil {
			p.rewind(mark)
			return false
		}
		st := step{site: t, class: victim, n: -1}
		t.occupy(victim, -1)
		p.relate(st, -1)
		p.log = append(p.log, st)
	}
	p.put(t, b, 1)
	p.log[len(p.log)-1].preempts = true
	return true
}

// lowest is the class of the expendable pods of the lowest priority that the plan has left on the site, nil when there are none.
func (p *planning) lowest(t *site) *class {
	var out *class
	for c, n := range t.counts {
		if c.priority >= expendableBelow {
			continue
		}
		for i := range p.log {
			if st := &p.log[i]; st.site == t && st.class == c && st.batch == nil {
				n += st.n
			}
		}
		if n > 0 && (out == nil || c.priority < out.priority || c.priority == out.priority && c.key < out.key) {
			out = c
		}
	}
	return out
}
