package nodes

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

const (
	// carriedOut is how long a workload's replicas may lag behind what was decided for it before the decision does not count:
	// somebody has set other replicas since.
	carriedOut = 10 * time.Second
	// maxUnborn is how long pods may be counted on that nobody makes: a quota or a webhook may be in the way.
	maxUnborn = time.Minute
)

// demandBook is the demand that the planner was told of.
type demandBook struct {
	told  string
	list  []cluster.Demand
	since map[string]time.Time // since when a workload has wanted pods that are not there
}

// setDemand tells the planner of pods that do not exist yet. It reports whether they are others than before.
func (c *Controller) setDemand(now time.Time) bool {
	demand := append(c.world.decided(&c.round.demand, now), c.world.headroom()...)
	var key strings.Builder
	for _, set := range [][]cluster.Demand{demand, c.lookAhead(now)} {
		for i := range set {
			d := &set[i]
			fmt.Fprintf(&key, "%s %d %s;", d.Name, d.Count, requestsKey(d.Pod))
		}
	}
	if key.String() == c.round.demand.told {
		return false
	}
	c.round.demand.told, c.round.demand.list = key.String(), demand
	c.world.state.SetDemand(demand)
	return true
}

func requestsKey(pod *corev1.Pod) string {
	r := pod.Spec.Containers[0].Resources.Requests
	return r.Cpu().String() + "/" + r.Memory().String() + "/" + pod.ResourceVersion
}

// decided are the pods that autoscalers have asked for and that do not exist yet: replicas beyond those that are there.
func (w *world) decided(book *demandBook, now time.Time) []cluster.Demand {
	if book.since == nil {
		book.since = map[string]time.Time{}
	}
	children := w.makers()
	wanting := map[string]bool{}
	var demand []cluster.Demand
	for key, policy := range w.scaled {
		name := demandName(key, policy)
		t := w.targetOf(key, policy)
		if t == nil || policy.Spec.Mode != v1alpha1.Apply || policy.Spec.Horizontal == nil || overruled(policy, t, now) {
			continue
		}
		missing := int(policy.Status.DesiredReplicas) - w.podsOf(t, children)
		if missing <= 0 {
			continue
		}
		wanting[name] = true
		if _, ok := book.since[name]; !ok {
			book.since[name] = now
		}
		if book.unborn(name, now) {
			continue
		}
		demand = append(demand, cluster.Demand{Name: name, Pod: podOf(key.Namespace, policy.Spec.TargetRef.Name, t), Count: missing, Kind: cluster.Decided})
	}
	for name := range book.since {
		if !wanting[name] {
			delete(book.since, name)
		}
	}
	slices.SortFunc(demand, func(a, b cluster.Demand) int { return cmp.Compare(a.Name, b.Name) })
	return demand
}

// unborn reports whether nobody has made a workload's pods for so long that they are not counted on any more.
func (b *demandBook) unborn(name string, now time.Time) bool {
	since, wants := b.since[name]
	return wants && now.Sub(since) > maxUnborn
}

// demandName is how a workload is called in reasons.
func demandName(key types.NamespacedName, policy *v1alpha1.WorkloadAutoscaler) string {
	return key.Namespace + "/" + policy.Spec.TargetRef.Name
}

// targetOf is the target of a WorkloadAutoscaler, nil when it makes no pods that are known here.
func (w *world) targetOf(key types.NamespacedName, policy *v1alpha1.WorkloadAutoscaler) *target {
	return w.targets[targetKey{policy.Spec.TargetRef.Kind, types.NamespacedName{Namespace: key.Namespace, Name: policy.Spec.TargetRef.Name}}]
}

// overruled reports whether somebody has set fewer replicas since they were decided.
func overruled(policy *v1alpha1.WorkloadAutoscaler, t *target, now time.Time) bool {
	return t.replicas < policy.Status.DesiredReplicas &&
		(policy.Status.LastScaleTime == nil || now.Sub(policy.Status.LastScaleTime.Time) > carriedOut)
}

// makers are the owners of pods by whom they were made in turn, such as ReplicaSets by their Deployment.
func (w *world) makers() map[types.UID][]types.UID {
	children := map[types.UID][]types.UID{}
	for _, o := range w.owners {
		if o.parent != "" && w.podsOfOwner[o.uid] > 0 {
			children[o.parent] = append(children[o.parent], o.uid)
		}
	}
	return children
}

// podsOf is how many pods of a target there are.
func (w *world) podsOf(t *target, children map[types.UID][]types.UID) int {
	there := w.podsOfOwner[t.uid]
	for _, child := range children[t.uid] {
		there += w.podsOfOwner[child]
	}
	return there
}

// podOf is a pod as a workload's controller would make it. Volumes whose claims are made together with the pod are left out: until then
// nothing can be said of them.
func podOf(namespace, name string, t *target) *corev1.Pod {
	template := t.template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec}
	pod.Spec.NodeName = ""
	pod.Spec.Volumes = slices.DeleteFunc(slices.Clone(pod.Spec.Volumes), func(v corev1.Volume) bool {
		return v.Ephemeral != nil || slices.Contains(t.made, v.Name)
	})
	for _, containers := range []*[]corev1.Container{&pod.Spec.Containers, &pod.Spec.InitContainers} {
		*containers = slices.Clone(*containers)
		for i := range *containers {
			withDefaults(&(*containers)[i])
		}
	}
	return pod
}

// withDefaults sets requests from limits, as the API server does.
func withDefaults(c *corev1.Container) {
	for name, limit := range c.Resources.Limits {
		if _, ok := c.Resources.Requests[name]; !ok {
			requests := corev1.ResourceList{}
			for k, v := range c.Resources.Requests {
				requests[k] = v
			}
			requests[name] = limit
			c.Resources.Requests = requests
		}
	}
}

// headroom is the room that policies keep free.
func (w *world) headroom() []cluster.Demand {
	var demand []cluster.Demand
	for name, policy := range w.policies {
		if policy.Spec.Mode != v1alpha1.Apply || policy.DeletionTimestamp != nil {
			continue
		}
		for i := range policy.Spec.Headroom {
			h := &policy.Spec.Headroom[i]
			requests, count := h.Requests, 0
			switch {
			case h.Pods != nil:
				count = int(*h.Pods)
				if len(requests) == 0 {
					requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("2Gi")}
				}
			case h.Percent != nil:
				requests, count = w.share(name, h)
			}
			if count == 0 {
				continue
			}
			demand = append(demand, cluster.Demand{Name: name + "/" + h.Name, Count: count, Kind: cluster.Headroom, Pod: roomFor(policy, h, requests)})
		}
	}
	slices.SortFunc(demand, func(a, b cluster.Demand) int { return cmp.Compare(a.Name, b.Name) })
	return demand
}

// roomFor is a pod that fits where the policy's pods fit.
func roomFor(policy *v1alpha1.NodePolicy, h *v1alpha1.Headroom, requests corev1.ResourceList) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "", Name: "headroom-" + h.Name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{v1alpha1.LabelNodePolicy: policy.Name}, PriorityClassName: h.PriorityClassName,
			Containers: []corev1.Container{{Name: "room", Resources: corev1.ResourceRequirements{Requests: requests}}},
		},
	}
	for _, t := range policy.Spec.Template.Taints {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value, Effect: t.Effect})
	}
	return pod
}

// share is a percentage of what pods request on the nodes of a policy, in pieces no larger than the largest of them. It is rounded up
// to tenths of a core and to 64 MiB, so that it does not change with every pod.
func (w *world) share(policy string, h *v1alpha1.Headroom) (corev1.ResourceList, int) {
	var cpu, memory, largestCPU, largestMemory int64
	for node := range w.nodes {
		view, ok := w.state.NodeView(node)
		if !ok || view.Policy != policy || view.Leaving {
			continue
		}
		for _, pod := range view.Pods {
			if ownedByDaemonSet(pod) || h.PriorityClassName != "" && pod.Spec.PriorityClassName != h.PriorityClassName {
				continue
			}
			var podCPU, podMemory int64
			for i := range pod.Spec.Containers {
				r := pod.Spec.Containers[i].Resources.Requests
				podCPU, podMemory = podCPU+r.Cpu().MilliValue(), podMemory+r.Memory().Value()
			}
			cpu, memory = cpu+podCPU, memory+podMemory
			largestCPU, largestMemory = max(largestCPU, podCPU), max(largestMemory, podMemory)
		}
	}
	part := float64(*h.Percent) / 100
	const cpuStep, memoryStep = 100, 64 << 20
	needCPU := int64(math.Ceil(float64(cpu)*part/cpuStep)) * cpuStep
	needMemory := int64(math.Ceil(float64(memory)*part/memoryStep)) * memoryStep
	if needCPU == 0 && needMemory == 0 {
		return nil, 0
	}
	pieces := int64(1)
	if largestCPU > 0 {
		pieces = max(pieces, (needCPU+largestCPU-1)/largestCPU)
	}
	if largestMemory > 0 {
		pieces = max(pieces, (needMemory+largestMemory-1)/largestMemory)
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity((needCPU+pieces-1)/pieces, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((needMemory+pieces-1)/pieces, resource.BinarySI),
	}, int(pieces)
}

func ownedByDaemonSet(pod *corev1.Pod) bool {
	c := metav1.GetControllerOfNoCopy(pod)
	return c != nil && c.Kind == "DaemonSet"
}
