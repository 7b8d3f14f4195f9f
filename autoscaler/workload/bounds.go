package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// nodesLife is how long what was found out about nodes is used again: they change seldom, and to look at all of them and all pods
// for each policy in each second would cost more than everything else.
const nodesLife = 15 * time.Second

// boundsReader says what the cluster allows pods to request. It is safe for concurrent use.
type boundsReader struct {
	cache client.Reader

	mu    sync.Mutex
	at    time.Time
	nodes []nodeRoom
}

// nodeRoom is what one node has for pods that are no daemons. Daemons in namespaces that this autoscaler does not watch are not known.
type nodeRoom struct {
	node *corev1.Node
	room corev1.ResourceList
}

// bounds returns what the cluster allows the pods of a template in a namespace. What it returns belongs to the cache.
func (b *boundsReader) bounds(ctx context.Context, namespace, kind string, template *corev1.PodTemplateSpec, now time.Time) (sizing.Bounds, error) {
	var bounds sizing.Bounds
	var ranges corev1.LimitRangeList
	if err := b.cache.List(ctx, &ranges, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return bounds, fmt.Errorf("list the limit ranges of %s: %w", namespace, err)
	}
	for i := range ranges.Items {
		bounds.Ranges = append(bounds.Ranges, &ranges.Items[i])
	}
	var quotas corev1.ResourceQuotaList
	if err := b.cache.List(ctx, &quotas, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return bounds, fmt.Errorf("list the resource quotas of %s: %w", namespace, err)
	}
	for i := range quotas.Items {
		bounds.Quotas = append(bounds.Quotas, &quotas.Items[i])
	}
	nodes, err := b.rooms(ctx, now)
	if err != nil {
		return bounds, err
	}
	fit := matching(nodes, template)
	if kind == "DaemonSet" {
		bounds.LargestNode, bounds.NodeName = smallest(fit, template)
	} else if best := largest(fit); best != nil {
		bounds.LargestNode, bounds.NodeName = best.room, best.node.Name
	}
	return bounds, nil
}

// rooms returns what each node has.
func (b *boundsReader) rooms(ctx context.Context, now time.Time) ([]nodeRoom, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nodes != nil && now.Sub(b.at) < nodesLife {
		return b.nodes, nil
	}
	var nodes corev1.NodeList
	if err := b.cache.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var pods corev1.PodList
	if err := b.cache.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	daemons := map[string]corev1.ResourceList{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		owner := metav1.GetControllerOfNoCopy(pod)
		if pod.Spec.NodeName == "" || owner == nil || owner.Kind != "DaemonSet" && owner.Kind != "Node" {
			continue
		}
		sum := daemons[pod.Spec.NodeName]
		if sum == nil {
			sum = corev1.ResourceList{}
			daemons[pod.Spec.NodeName] = sum
		}
		for name, quantity := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}) {
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
	}
	rooms := make([]nodeRoom, 0, len(nodes.Items))
	for i := range nodes.Items {
		room := nodes.Items[i].Status.Allocatable.DeepCopy()
		for name, quantity := range daemons[nodes.Items[i].Name] {
			if left, ok := room[name]; ok {
				left.Sub(quantity)
				room[name] = left
			}
		}
		rooms = append(rooms, nodeRoom{&nodes.Items[i], room})
	}
	b.at, b.nodes = now, rooms
	return rooms, nil
}

// matching are the nodes that the pods of a template may run on.
func matching(nodes []nodeRoom, template *corev1.PodTemplateSpec) []*nodeRoom {
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeSelector: template.Spec.NodeSelector, Affinity: template.Spec.Affinity}}
	required := nodeaffinity.GetRequiredNodeAffinity(pod)
	var fit []*nodeRoom
	for i := range nodes {
		n := &nodes[i]
		if matches, err := required.Match(n.node); err != nil || !matches {
			continue
		}
		_, tainted := schedulinghelper.FindMatchingUntoleratedTaint(klog.Background(), n.node.Spec.Taints, template.Spec.Tolerations, func(t *corev1.Taint) bool {
			// A taint that comes and goes says nothing about the size of the node.
			return t.Effect != corev1.TaintEffectPreferNoSchedule && t.Key != corev1.TaintNodeUnschedulable &&
				t.Key != corev1.TaintNodeNotReady && t.Key != corev1.TaintNodeUnreachable
		}, true)
		if !tainted {
			fit = append(fit, n)
		}
	}
	return fit
}

// largest returns the node with the most room, nil when there is none. Room is the sum of its shares of the largest CPU and the
// largest memory among them: a node that is best at both wins, and so does one that is nearly best at both over one that has much
// of one and little of the other.
func largest(nodes []*nodeRoom) *nodeRoom {
	var cpu, memory float64
	for _, n := range nodes {
		cpu = max(cpu, n.room.Cpu().AsApproximateFloat64())
		memory = max(memory, n.room.Memory().AsApproximateFloat64())
	}
	var best *nodeRoom
	var most float64
	for _, n := range nodes {
		share := n.room.Cpu().AsApproximateFloat64()/max(cpu, 1e-9) + n.room.Memory().AsApproximateFloat64()/max(memory, 1e-9)
		if best == nil || share > most {
			best, most = n, share
		}
	}
	return best
}

// smallest returns what a daemon may have, since it has to run on each of the nodes: the least that one of them has of each resource.
// What the daemon requests itself is not taken from it.
func smallest(nodes []*nodeRoom, template *corev1.PodTemplateSpec) (corev1.ResourceList, string) {
	own := resourcehelper.PodRequests(&corev1.Pod{Spec: template.Spec}, resourcehelper.PodResourcesOptions{})
	var least corev1.ResourceList
	name := ""
	for _, n := range nodes {
		room := n.room.DeepCopy()
		for resource, quantity := range own {
			if has, ok := room[resource]; ok {
				has.Add(quantity)
				room[resource] = has
			}
		}
		if least == nil {
			least, name = room, n.node.Name
			continue
		}
		if room.Memory().Cmp(*least.Memory()) < 0 {
			name = n.node.Name
		}
		for resource, quantity := range room {
			if has, ok := least[resource]; !ok || quantity.Cmp(has) < 0 {
				least[resource] = quantity
			}
		}
	}
	return least, name
}
