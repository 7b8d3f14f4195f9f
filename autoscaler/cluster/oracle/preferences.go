package oracle

import (
	corev1 "k8s.io/api/core/v1"
)

// prefer draws wishes, which the scheduler weighs and which must never keep a pod from a node.
func (g *generator) prefer(p *corev1.Pod) {
	weight := int32(1 + g.IntN(100))
	if g.with("preferred node affinity", 4) {
		a := affinity(p)
		if a.NodeAffinity == nil {
			a.NodeAffinity = &corev1.NodeAffinity{}
		}
		term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{g.expression()}}
		a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{{Weight: weight, Preference: term}}
	}
	if g.with("preferred pod affinity", 4) {
		a := affinity(p)
		if a.PodAffinity == nil {
			a.PodAffinity = &corev1.PodAffinity{}
		}
		a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: weight, PodAffinityTerm: g.term(p)}}
	}
	if g.with("ScheduleAnyway", 4) {
		c := corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: g.topologyKey(), WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: g.selector(p)}
		for _, other := range p.Spec.TopologySpreadConstraints {
			if other.TopologyKey == c.TopologyKey {
				return
			}
		}
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
	}
}

// WithoutPreferences is the pod without what it merely wishes.
func WithoutPreferences(pod *corev1.Pod) *corev1.Pod {
	p := pod.DeepCopy()
	if a := p.Spec.Affinity; a != nil {
		if a.NodeAffinity != nil {
			a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
		if a.PodAffinity != nil {
			a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
		if a.PodAntiAffinity != nil {
			a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
	}
	var required []corev1.TopologySpreadConstraint
	for _, c := range p.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			required = append(required, c)
		}
	}
	p.Spec.TopologySpreadConstraints = required
	return p
}
