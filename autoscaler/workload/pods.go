package workload

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podIndex finds the pods of targets within one round of evaluations. Each namespace is listed once; within it, pods are found by a label
// that the selector wants, so that a namespace with a thousand policies does not compare every pod with every selector.
// It is safe for concurrent use.
type podIndex struct {
	cache client.Reader

	mu         sync.Mutex
	namespaces map[string]*namespacePods
}

func newPodIndex(cache client.Reader) *podIndex {
	return &podIndex{cache: cache, namespaces: map[string]*namespacePods{}}
}

type namespacePods struct {
	once sync.Once
	err  error
	all  []*corev1.Pod

	mu sync.Mutex
	// byLabel holds the pods by the values of the labels that were asked for.
	byLabel map[string]map[string][]*corev1.Pod
}

// matching returns the pods that a selector matches. They belong to the cache and must not be changed.
func (x *podIndex) matching(ctx context.Context, namespace string, selector labels.Selector) ([]*corev1.Pod, error) {
	x.mu.Lock()
	n := x.namespaces[namespace]
	if n == nil {
		n = &namespacePods{byLabel: map[string]map[string][]*corev1.Pod{}}
		x.namespaces[namespace] = n
	}
	x.mu.Unlock()
	n.once.Do(func() { n.list(ctx, x.cache, namespace) })
	if n.err != nil {
		return nil, n.err
	}
	var pods []*corev1.Pod
	for _, pod := range n.candidates(selector) {
		if selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

func (n *namespacePods) list(ctx context.Context, cache client.Reader, namespace string) {
	var list corev1.PodList
	if err := cache.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		n.err = fmt.Errorf("list the pods of %s: %w", namespace, err)
		return
	}
	n.all = make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		n.all[i] = &list.Items[i]
	}
}

// candidates returns the pods that have one label that the selector wants, or all when it wants none in particular.
func (n *namespacePods) candidates(selector labels.Selector) []*corev1.Pod {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return nil
	}
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if values := r.Values().UnsortedList(); len(values) == 1 {
				return n.labeled(r.Key())[values[0]]
			}
		}
	}
	return n.all
}

func (n *namespacePods) labeled(key string) map[string][]*corev1.Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	values, ok := n.byLabel[key]
	if !ok {
		values = map[string][]*corev1.Pod{}
		for _, pod := range n.all {
			if value, ok := pod.Labels[key]; ok {
				values[value] = append(values[value], pod)
			}
		}
		n.byLabel[key] = values
	}
	return values
}
