package sizing

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// withDefaults returns a template with what the API server and the namespace's limit ranges put into pods that say nothing. The
// template itself is not changed.
func withDefaults(t *corev1.PodTemplateSpec, ranges []*corev1.LimitRange) *corev1.PodTemplateSpec {
	t = t.DeepCopy()
	for _, list := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range list {
			have := &list[i].Resources
			for name, q := range have.Limits {
				put(&have.Requests, name, q)
			}
			eachRange(ranges, corev1.LimitTypeContainer, func(item *corev1.LimitRangeItem) {
				for name, q := range item.Default {
					put(&have.Limits, name, q)
				}
				for name, q := range item.DefaultRequest {
					put(&have.Requests, name, q)
				}
			})
		}
	}
	return t
}

func put(list *corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	if _, ok := (*list)[name]; ok {
		return
	}
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = q
}

func eachRange(ranges []*corev1.LimitRange, kind corev1.LimitType, do func(*corev1.LimitRangeItem)) {
	for _, r := range ranges {
		for i := range r.Spec.Limits {
			if r.Spec.Limits[i].Type == kind {
				do(&r.Spec.Limits[i])
			}
		}
	}
}

// limitRange keeps a container within the namespace's limit ranges: a pod outside of them would not be admitted.
func limitRange(rule string, s *size) {
	r := s.resource()
	eachRange(s.in.Bounds.Ranges, corev1.LimitTypeContainer, func(item *corev1.LimitRangeItem) {
		if lowest := amount(item.Min, r); lowest > 0 && s.value < lowest {
			s.change(rule, "RangeMinimum", lowest, fmt.Sprintf("the namespace wants %s at least", text(r, lowest)))
		}
		if highest := amount(item.Max, r); highest > 0 {
			if s.value > highest {
				s.change(rule, "RangeMaximum", highest, fmt.Sprintf("the namespace allows %s at most%s", text(r, highest), s.wanted(highest)))
			}
			s.lowerCeiling(highest)
		}
		ratio := amountOf(item.MaxLimitRequestRatio, r)
		if ratio <= 0 || s.value == 0 {
			return
		}
		if s.of.policy.Limits == v1alpha1.LimitFixed && s.declaredLimit > s.value*ratio {
			s.change(rule, "RangeRatio", roundUp(r, s.declaredLimit/ratio),
				fmt.Sprintf("the namespace allows limits of %s times the request, and the limit is fixed", number(ratio)))
		}
		if s.ratio == 0 || ratio < s.ratio {
			s.ratio = ratio
		}
	})
	s.settle()
}

// amountOf is a number that is no amount of the resource, such as a ratio.
func amountOf(list corev1.ResourceList, r corev1.ResourceName) float64 {
	q, ok := list[r]
	if !ok {
		return 0
	}
	return q.AsApproximateFloat64()
}

func (s *size) lowerCeiling(v float64) {
	if s.ceiling == 0 || v < s.ceiling {
		s.ceiling = v
	}
}
