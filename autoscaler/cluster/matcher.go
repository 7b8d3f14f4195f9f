package cluster

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
)

// matcher is what pods an affinity term or a spread constraint is about. All of its parts must match.
type matcher []matchPart

type matchPart struct {
	namespaces sets.Set[string]
	// others selects further namespaces by their labels, nil for none.
	others labels.Selector
	pods   labels.Selector
}

func (m matcher) matches(s *State, c *class) bool {
	for i := range m {
		p := &m[i]
		ns := c.sample.Namespace
		if !p.namespaces.Has(ns) && (p.others == nil || !p.others.Matches(s.namespaceLabels(ns))) {
			return false
		}
		if !p.pods.Matches(labels.Set(c.sample.Labels)) {
			return false
		}
	}
	return true
}

// namespaceLabels are a namespace's; one that is not known has at least its name, as every namespace does.
func (s *State) namespaceLabels(name string) labels.Set {
	if l, ok := s.namespaces[name]; ok {
		return l
	}
	return labels.Set{corev1.LabelMetadataName: name}
}

// selectorWith is the selector with the pod's own values for keys added, as the API server does it for pods that it stores. A
// selector that cannot be parsed matches nothing.
func (st *State) selectorWith(s *metav1.LabelSelector, pod *corev1.Pod, in, notIn []string) labels.Selector {
	if len(in)+len(notIn) == 0 {
		return st.selector(s)
	}
	if s != nil {
		s = s.DeepCopy()
		add := func(keys []string, op metav1.LabelSelectorOperator) {
			for _, k := range keys {
				if v, ok := pod.Labels[k]; ok {
					s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{v}})
				}
			}
		}
		add(in, metav1.LabelSelectorOpIn)
		add(notIn, metav1.LabelSelectorOpNotIn)
	}
	return parsed(s)
}

// selectorsMax bounds the selectors that are kept.
const selectorsMax = 1 << 14

// selector is the selector parsed: a workload's classes share one.
func (st *State) selector(s *metav1.LabelSelector) labels.Selector {
	st.enc.reset()
	st.enc.selector(s)
	if out, ok := st.selectors[string(st.enc.buf)]; ok {
		return out
	}
	if st.selectors == nil || len(st.selectors) >= selectorsMax {
		st.selectors = map[string]labels.Selector{}
	}
	out := parsed(s)
	st.selectors[string(st.enc.buf)] = out
	return out
}

func parsed(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// partOf is an affinity term of the pod.
func (st *State) partOf(t *corev1.PodAffinityTerm, pod *corev1.Pod) matchPart {
	p := matchPart{namespaces: sets.New(t.Namespaces...), pods: st.selectorWith(t.LabelSelector, pod, t.MatchLabelKeys, t.MismatchLabelKeys)}
	if t.NamespaceSelector != nil {
		others, err := metav1.LabelSelectorAsSelector(t.NamespaceSelector)
		if err != nil {
			others = labels.Nothing()
		}
		p.others = others
	} else if len(t.Namespaces) == 0 {
		p.namespaces.Insert(pod.Namespace)
	}
	return p
}

// encodePart writes a term so that equal terms of different pods share a tally.
func (e *encoder) part(p *matchPart) {
	e.strs(sets.List(p.namespaces))
	if p.others != nil {
		e.tag('o')
		e.str(p.others.String())
	}
	e.tag('.')
	e.str(p.pods.String())
	e.yes(p.pods.Empty())
}
