package cluster

import (
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
