package otlp

import (
	"net/netip"

	"github.com/yagura-dev/yagura/collector/kube"
)

// Pods finds the pod of a sender; *kube.Watcher does.
type Pods interface {
	PodByUID(uid string) (kube.Pod, bool)
	PodByIP(ip netip.Addr) (kube.Pod, bool)
	ContainerByID(id string) (kube.Pod, kube.Container, bool)
}

// Resource attributes of OpenTelemetry's semantic conventions.
const (
	attrServiceName = "service.name"
	attrCluster     = "k8s.cluster.name"
	attrNamespace   = "k8s.namespace.name"
	attrPod         = "k8s.pod.name"
	attrPodUID      = "k8s.pod.uid"
	attrPodIP       = "k8s.pod.ip"
	attrContainer   = "k8s.container.name"
	attrNode        = "k8s.node.name"
	attrContainerID = "container.id"
)

// workloadAttributes are the attributes of a workload's name, by its kind.
var workloadAttributes = map[string]string{
	"Deployment":  "k8s.deployment.name",
	"StatefulSet": "k8s.statefulset.name",
	"DaemonSet":   "k8s.daemonset.name",
	"ReplicaSet":  "k8s.replicaset.name",
	"Job":         "k8s.job.name",
	"CronJob":     "k8s.cronjob.name",
}

// attributes returns what is known of a resource: from the pod that it names by
// UID, container ID or address, else from the pod that the request came from.
func (r *Receiver) attributes(known resource, peer netip.Addr) []attribute {
	list := []attribute{{attrCluster, r.cluster}}
	pod, container, ok := r.podOf(known, peer)
	if !ok {
		return list
	}
	list = append(list,
		attribute{attrNamespace, pod.Namespace}, attribute{attrPod, pod.Name},
		attribute{attrPodUID, pod.UID}, attribute{attrNode, pod.Node})
	if key := workloadAttributes[pod.Workload.Kind]; key != "" {
		list = append(list, attribute{key, pod.Workload.Name})
	}
	if container == "" && len(pod.Containers) == 1 {
		container = pod.Containers[0].Name
	}
	return append(list, attribute{attrContainer, container})
}

// podOf finds the pod of a resource, and its container when the resource tells.
func (r *Receiver) podOf(known resource, peer netip.Addr) (pod kube.Pod, container string, ok bool) {
	if r.pods == nil {
		return kube.Pod{}, "", false
	}
	if id := known[attrContainerID]; id != "" {
		if pod, c, ok := r.pods.ContainerByID(id); ok && agrees(known, pod) {
			return pod, c.Name, true
		}
	}
	if uid := known[attrPodUID]; uid != "" {
		pod, ok := r.pods.PodByUID(uid)
		return pod, "", ok && agrees(known, pod)
	}
	if text := known[attrPodIP]; text != "" {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return kube.Pod{}, "", false
		}
		pod, ok := r.pods.PodByIP(ip)
		return pod, "", ok && agrees(known, pod)
	}
	// Whoever sends for others, as a gateway does, names their pods; its own must
	// not be mixed with them.
	pod, ok = r.pods.PodByIP(peer)
	return pod, "", ok && agrees(known, pod)
}

// agrees says that a resource names no other pod than this one.
func agrees(known resource, pod kube.Pod) bool {
	for key, value := range map[string]string{attrNamespace: pod.Namespace, attrPod: pod.Name, attrPodUID: pod.UID} {
		if own, has := known[key]; has && own != value {
			return false
		}
	}
	return true
}
