package balance

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/horizontal"
)

// reference is what 100% of an objective means, in thousandths per pod.
type reference struct {
	milli int64
	// declared is what the manifest requested when it was set, 0 where it requested nothing.
	declared int64
}

// Codes of moves.
const (
	CodeBegun    = "Begun"
	CodeManifest = "Manifest"
	CodeGrown    = "Grown"
	CodeShrunk   = "Shrunk"
)

// Move is a reference that changed, From being 0 for a new one. Both are in thousandths per pod.
type Move struct {
	Objective string
	From, To  int64
	Code      string
	Reason    string
}

// settle makes sure that each objective on utilization has a reference while the policy's pods are or may be resized. The first one is
// what the manifest declares; without a request there, what the pods have in the mean. The status brings references across
// restarts. A manifest that declares something else than when the reference was set begins it anew.
func (m *Memory) settle(in *Input) []Move {
	if !applies(in.Policy) && !m.any() && len(statusReferences(in.Policy)) == 0 {
		// Nobody resizes the pods: a percentage of what they request means what it means to Kubernetes.
		return nil
	}
	if m.references == nil {
		m.restore(in.Policy)
	}
	var moves []Move
	wanted := map[string]bool{}
	for o := range utilizations(in.Policy) {
		wanted[o.Name] = true
		declared := declaredFor(in.Template, o)
		have, known := m.references[o.Name]
		switch {
		case known && (declared == 0 || have.declared == 0 || declared == have.declared):
			// A declaration that was not known when the status was written is the one that counts from now on.
			m.references[o.Name] = reference{have.milli, cmp.Or(have.declared, declared)}
		case declared > 0:
			move := Move{Objective: o.Name, From: have.milli, To: declared, Code: CodeBegun}
			move.Reason = fmt.Sprintf("100%% of %s is the %s per pod that the manifest declares", o.Name, amount(o, declared))
			if known {
				move.Code = CodeManifest
				move.Reason = fmt.Sprintf("the manifest declares %s per pod instead of %s", amount(o, declared), amount(o, have.declared))
			}
			m.references[o.Name] = reference{declared, declared}
			moves = append(moves, move)
		default:
			mean, ok := meanRequest(in.Pods, o)
			if !ok {
				// Horizontal says what is missing.
				continue
			}
			m.references[o.Name] = reference{milli: mean}
			moves = append(moves, Move{Objective: o.Name, To: mean, Code: CodeBegun,
				Reason: fmt.Sprintf("100%% of %s is the %s that pods request in the mean", o.Name, amount(o, mean))})
		}
	}
	for name := range m.references {
		if !wanted[name] {
			delete(m.references, name)
		}
	}
	return moves
}

// applies reports whether a policy resizes pods, now or when they are created.
func applies(p *v1alpha1.WorkloadAutoscaler) bool {
	v := p.Spec.Vertical
	return v != nil && p.Spec.Mode == v1alpha1.Apply && v.Apply != v1alpha1.ApplyOff
}

func (m *Memory) any() bool { return len(m.references) > 0 }

func (m *Memory) restore(p *v1alpha1.WorkloadAutoscaler) {
	m.references = map[string]reference{}
	for _, r := range statusReferences(p) {
		restored := reference{milli: r.Request.MilliValue()}
		if r.Declared != nil {
			restored.declared = r.Declared.MilliValue()
		}
		if restored.milli > 0 {
			m.references[r.Objective] = restored
		}
	}
}

func statusReferences(p *v1alpha1.WorkloadAutoscaler) []v1alpha1.UtilizationReference {
	if p.Status.Vertical == nil {
		return nil
	}
	return p.Status.Vertical.References
}

// utilizations yields the objectives that are percentages of requests.
func utilizations(p *v1alpha1.WorkloadAutoscaler) func(yield func(*v1alpha1.Objective) bool) {
	return func(yield func(*v1alpha1.Objective) bool) {
		if p.Spec.Horizontal == nil {
			return
		}
		for i := range p.Spec.Horizontal.Objectives {
			if o := &p.Spec.Horizontal.Objectives[i]; o.Resource != nil && o.Resource.Utilization != nil && !yield(o) {
				return
			}
		}
	}
}

// declaredFor is what the manifest requests for an objective, in thousandths per pod; 0 when some container requests nothing.
func declaredFor(template *corev1.PodTemplateSpec, o *v1alpha1.Objective) int64 {
	if template == nil {
		return 0
	}
	pod := &corev1.Pod{Spec: template.Spec}
	requests, err := horizontal.Requests([]*corev1.Pod{pod}, o.Resource.Container, corev1.ResourceName(o.Resource.Name))
	if err != nil {
		return 0
	}
	return requests[pod.Name]
}

// shares is what each container has of a reference, as the manifest divides it; nil where that is not known.
func shares(template *corev1.PodTemplateSpec, o *v1alpha1.Objective, r reference) map[string]float64 {
	if template == nil || r.declared == 0 {
		return nil
	}
	parts := map[string]float64{}
	for _, list := range [][]corev1.Container{template.Spec.Containers, template.Spec.InitContainers} {
		for i := range list {
			request := list[i].Resources.Requests[corev1.ResourceName(o.Resource.Name)]
			counts := o.Resource.Container == "" || o.Resource.Container == list[i].Name
			if milli := request.MilliValue(); counts && milli > 0 {
				parts[list[i].Name] = float64(r.milli) / 1000 * float64(milli) / float64(r.declared)
			}
		}
	}
	return parts
}

func meanRequest(pods []*corev1.Pod, o *v1alpha1.Objective) (int64, bool) {
	requests, err := horizontal.Requests(pods, o.Resource.Container, corev1.ResourceName(o.Resource.Name))
	if err != nil || len(requests) == 0 {
		return 0, false
	}
	var sum int64
	for _, milli := range requests {
		sum += milli
	}
	return sum / int64(len(requests)), sum > 0
}

// values are the references as horizontal.Input takes them.
func (m *Memory) values() map[string]int64 {
	if !m.any() {
		return nil
	}
	values := make(map[string]int64, len(m.references))
	for name, r := range m.references {
		values[name] = r.milli
	}
	return values
}

// status is the references as the policy's status keeps them, by name.
func (m *Memory) status(p *v1alpha1.WorkloadAutoscaler) []v1alpha1.UtilizationReference {
	var list []v1alpha1.UtilizationReference
	for o := range utilizations(p) {
		r, ok := m.references[o.Name]
		if !ok {
			continue
		}
		item := v1alpha1.UtilizationReference{Objective: o.Name, Request: quantity(o, r.milli)}
		if r.declared > 0 {
			declared := quantity(o, r.declared)
			item.Declared = &declared
		}
		list = append(list, item)
	}
	slices.SortFunc(list, func(a, b v1alpha1.UtilizationReference) int { return cmp.Compare(a.Objective, b.Objective) })
	return list
}

func quantity(o *v1alpha1.Objective, milli int64) resource.Quantity {
	if o.Resource.Name == v1alpha1.CPU {
		return *resource.NewMilliQuantity(milli, resource.DecimalSI)
	}
	return *resource.NewQuantity(milli/1000, resource.BinarySI)
}

// amount writes thousandths of an objective's resource for people.
func amount(o *v1alpha1.Objective, milli int64) string {
	q := quantity(o, milli)
	return q.String()
}
