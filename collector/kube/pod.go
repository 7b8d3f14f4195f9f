package kube

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod is what the collector keeps of a pod. Its maps and slices are shared with
// the index and must not be changed.
type Pod struct {
	// UID is the pod's metadata.uid.
	UID string
	// Namespace and Name identify the pod.
	Namespace, Name string
	// Node is the pod's spec.nodeName.
	Node string
	// Labels are the pod's labels.
	Labels map[string]string
	// Workload is what owns the pod.
	Workload Workload
	// Containers are the pod's containers, init and ephemeral ones included.
	Containers []Container

	// runtimeUID is the UID under which the kubelet runs a static pod: cgroups
	// and log folders carry it instead of the UID of the mirror object.
	runtimeUID string
	// ips are the pod's own addresses; none for a pod on the host's network or
	// one that has ended, whose address may already be another pod's.
	ips []netip.Addr
}

// Container is one container of a pod.
type Container struct {
	// Name is the container's name in the pod.
	Name string
	// ID is the runtime's ID without its scheme; empty before the first start.
	ID string
	// Image is the image as the pod's status names it.
	Image string
	// Restarts is how often the container was restarted.
	Restarts int32
	// Started is when the current run began; zero when it is not running.
	Started time.Time

	// previousID is the ID of the run before, whose last lines and counters may
	// still be on their way.
	previousID string
}

// Workload is the controller that a pod belongs to, after resolving ReplicaSets
// to Deployments and Jobs to CronJobs. It is zero for a bare pod.
type Workload struct {
	Kind, Name string
}

// Container returns the container of the given name.
func (p Pod) Container(name string) (Container, bool) {
	for _, c := range p.Containers {
		if c.Name == name {
			return c, true
		}
	}
	return Container{}, false
}

// Annotations by which the kubelet marks the mirror object of a static pod.
const (
	annotationConfigHash   = "kubernetes.io/config.hash"
	annotationConfigMirror = "kubernetes.io/config.mirror"
)

// newPod takes what is needed out of a pod object.
func newPod(object *corev1.Pod) *Pod {
	pod := &Pod{
		UID:       string(object.UID),
		Namespace: object.Namespace,
		Name:      object.Name,
		Node:      object.Spec.NodeName,
		Labels:    maps.Clone(object.Labels),
		Workload:  workloadOf(object),
	}
	if _, mirrored := object.Annotations[annotationConfigMirror]; mirrored {
		pod.runtimeUID = object.Annotations[annotationConfigHash]
	}
	for _, statuses := range [][]corev1.ContainerStatus{
		object.Status.InitContainerStatuses, object.Status.ContainerStatuses, object.Status.EphemeralContainerStatuses,
	} {
		for i := range statuses {
			pod.Containers = append(pod.Containers, newContainer(&statuses[i]))
		}
	}
	ended := object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed
	if !object.Spec.HostNetwork && !ended {
		for _, ip := range object.Status.PodIPs {
			if addr, err := netip.ParseAddr(ip.IP); err == nil {
				pod.ips = append(pod.ips, addr.Unmap())
			}
		}
	}
	return pod
}

func newContainer(status *corev1.ContainerStatus) Container {
	c := Container{
		Name:     status.Name,
		ID:       bareID(status.ContainerID),
		Image:    status.Image,
		Restarts: status.RestartCount,
	}
	if running := status.State.Running; running != nil {
		c.Started = running.StartedAt.Time
	}
	if last := status.LastTerminationState.Terminated; last != nil {
		c.previousID = bareID(last.ContainerID)
	}
	return c
}

// bareID strips the runtime's scheme: "containerd://abc" is "abc".
func bareID(id string) string {
	if _, bare, found := strings.Cut(id, "://"); found {
		return bare
	}
	return id
}

// workloadOf names the workload that owns a pod.
//
// A Deployment names its ReplicaSets "<deployment>-<hash>" and puts the same hash
// on their pods as the label pod-template-hash; a CronJob names its Jobs
// "<cronjob>-<minute>". Both rules are checked on both ends, so a ReplicaSet or
// Job that somebody named by hand stays what it is.
func workloadOf(object *corev1.Pod) Workload {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return Workload{}
	}
	switch owner.Kind {
	case "ReplicaSet":
		hash := object.Labels["pod-template-hash"]
		if name, found := strings.CutSuffix(owner.Name, "-"+hash); found && hash != "" && name != "" {
			return Workload{Kind: "Deployment", Name: name}
		}
	case "Job":
		if name, found := cronJobOf(owner.Name, object.CreationTimestamp.Time); found {
			return Workload{Kind: "CronJob", Name: name}
		}
	}
	return Workload{Kind: owner.Kind, Name: owner.Name}
}

// How far the creation of a pod may lie from the scheduled minute in its Job's
// name: a moment before it when clocks differ, and days after it when a Job is
// retried or was caught up late.
const (
	cronJobEarly = 5 * time.Minute
	cronJobLate  = 7 * 24 * time.Hour
)

// cronJobOf returns the CronJob of a Job: the CronJob controller ends a Job's
// name with its scheduled time in minutes since the Unix epoch.
func cronJobOf(job string, created time.Time) (string, bool) {
	dash := strings.LastIndexByte(job, '-')
	if dash <= 0 {
		return "", false
	}
	minutes, err := strconv.ParseInt(job[dash+1:], 10, 64)
	if err != nil || minutes > 1<<40 {
		return "", false
	}
	scheduled := time.Unix(minutes*60, 0)
	if created.Before(scheduled.Add(-cronJobEarly)) || created.After(scheduled.Add(cronJobLate)) {
		return "", false
	}
	return job[:dash], true
}
