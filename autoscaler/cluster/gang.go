package cluster

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What says that a pod belongs to a gang, apart from spec.schedulingGroup: labels of the coscheduling plugin, its older one
// included, and annotations of Volcano, which also carries an older name.
const (
	coschedulingLabel    = "scheduling.x-k8s.io/pod-group"
	coschedulingOldLabel = "pod-group.scheduling.sigs.k8s.io"
	volcanoAnnotation    = "scheduling.volcano.sh/group-name"
	volcanoOldAnnotation = "scheduling.k8s.io/group-name"
)

// The API groups of the kinds that are all called PodGroup.
const (
	kubernetesGroup   = "scheduling.k8s.io"
	coschedulingGroup = "scheduling.x-k8s.io"
	volcanoGroup      = "scheduling.volcano.sh"
)

// gangID names a PodGroup: pods that run together, or not at all. It is comparable; the zero value is no gang.
//
// Pods that Kueue admits as a group are none of these: its scheduling gate holds them until there is quota, and then each stands alone.
type gangID struct {
	api, namespace, name string
}

func (g gangID) String() string { return g.namespace + "/" + g.name }

// gangOf is the gang that the pod says it belongs to.
func gangOf(pod *corev1.Pod) gangID {
	if g := pod.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		return gangID{api: kubernetesGroup, namespace: pod.Namespace, name: *g.PodGroupName}
	}
	for _, label := range []string{coschedulingLabel, coschedulingOldLabel} {
		if name := pod.Labels[label]; name != "" {
			return gangID{api: coschedulingGroup, namespace: pod.Namespace, name: name}
		}
	}
	for _, annotation := range []string{volcanoAnnotation, volcanoOldAnnotation} {
		if name := pod.Annotations[annotation]; name != "" {
			return gangID{api: volcanoGroup, namespace: pod.Namespace, name: name}
		}
	}
	return gangID{}
}

// gangs are the PodGroups that there are, with how many pods each needs: one for groups whose pods stand alone.
type gangs map[gangID]int

// upsert takes in a PodGroup: of Kubernetes (v1beta1, v1alpha3), or of coscheduling or Volcano as unstructured objects. It answers
// whether it was one.
func (g gangs) upsert(obj any) bool {
	id, needs, ok := podGroup(obj)
	if ok {
		g[id] = needs
	}
	return ok
}

// remove forgets a PodGroup, and answers whether it was one.
func (g gangs) remove(obj any) bool {
	id, _, ok := podGroup(obj)
	if ok {
		delete(g, id)
	}
	return ok
}

func podGroup(obj any) (id gangID, needs int, ok bool) {
	switch o := obj.(type) {
	case *schedulingv1beta1.PodGroup:
		id, needs = gangID{api: kubernetesGroup, namespace: o.Namespace, name: o.Name}, 1
		if gang := o.Spec.SchedulingPolicy.Gang; gang != nil {
			needs = int(gang.MinCount)
		}
	case *schedulingv1alpha3.PodGroup:
		id, needs = gangID{api: kubernetesGroup, namespace: o.Namespace, name: o.Name}, 1
		if gang := o.Spec.SchedulingPolicy.Gang; gang != nil {
			needs = int(gang.MinCount)
		}
	case *unstructured.Unstructured:
		return looseGroup(o)
	default:
		return gangID{}, 0, false
	}
	return id, max(needs, 1), true
}

func looseGroup(o *unstructured.Unstructured) (id gangID, needs int, ok bool) {
	kind := o.GroupVersionKind()
	if kind.Kind != "PodGroup" {
		return gangID{}, 0, false
	}
	var path []string
	switch kind.Group {
	case kubernetesGroup:
		path = []string{"spec", "schedulingPolicy", "gang", "minCount"}
	case coschedulingGroup, volcanoGroup:
		path = []string{"spec", "minMember"}
	default:
		return gangID{}, 0, false
	}
	id = gangID{api: kind.Group, namespace: o.GetNamespace(), name: o.GetName()}
	// A number is an int64 from an API server and a float64 from a file; anything else is a group that asks for nothing.
	switch n, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...); n := n.(type) {
	case int64:
		needs = int(n)
	case float64:
		needs = int(n)
	}
	return id, max(needs, 1), true
}

// needs is how many pods the gang runs with at the least. Without its PodGroup a pod of Kubernetes' own or of Volcano waits (false,
// with a reason); one that the coscheduling plugin would see to goes alone, as the plugin lets it.
func (g gangs) needs(id gangID) (int, string) {
	if id == (gangID{}) {
		return 1, ""
	}
	if n, ok := g[id]; ok {
		return n, ""
	}
	if id.api == coschedulingGroup {
		return 1, ""
	}
	return 0, fmt.Sprintf("its pod group %s does not exist", id)
}

// incomplete is the gangs of which fewer pods than they need have a place, in the plan or already, with a sentence for each.
func (p *planning) incomplete(batches []*batch) map[gangID]string {
	var have map[gangID]int
	var planned map[gangID]bool
	for _, b := range batches {
		if b.class.claims == nil || b.class.claims.gang == (gangID{}) {
			continue
		}
		if have == nil {
			have, planned = map[gangID]int{}, map[gangID]bool{}
		}
		have[b.class.claims.gang] += b.placed
		planned[b.class.claims.gang] = planned[b.class.claims.gang] || b.placed > 0
	}
	if have == nil {
		return nil
	}
	for c := range p.s.references.all {
		if _, ok := have[c.claims.gang]; ok {
			have[c.claims.gang] += c.bound()
		}
	}
	out := map[gangID]string{}
	for id, n := range have {
		if needs, _ := p.s.gangs.needs(id); planned[id] && n < needs {
			out[id] = fmt.Sprintf("gang %s needs %d pods to run together, and there is a place for %d", id, needs, n)
		}
	}
	return out
}

// giveUp chooses the gang to leave out: of those that are incomplete the one of the lowest priority, for what it took may complete
// another.
func giveUp(short map[gangID]string, batches []*batch) gangID {
	for _, b := range slices.Backward(batches) {
		if k := b.class.claims; k != nil {
			if _, ok := short[k.gang]; ok {
				return k.gang
			}
		}
	}
	return gangID{}
}
