package workload

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// CachedObjects says what the cache holds and what it leaves out: a pod is kept for its labels, sizes, readiness and for where it may
// run, and of a workload only its number of replicas, its selector and what decides about the sizes and places of its pods.
func CachedObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.WorkloadAutoscaler{}:           {Transform: transform(func(*v1alpha1.WorkloadAutoscaler) {})},
		&autoscalingv2.HorizontalPodAutoscaler{}: {Transform: transform(slimHPA)},
		&corev1.Pod{}:                            {Transform: transform(slimPod)},
		&appsv1.Deployment{}:                     {Transform: transform(slimDeployment)},
		&appsv1.StatefulSet{}:                    {Transform: transform(slimStatefulSet)},
		&appsv1.DaemonSet{}:                      {Transform: transform(slimDaemonSet)},
		&batchv1.Job{}:                           {Transform: transform(slimJob)},
		&batchv1.CronJob{}:                       {Transform: transform(slimCronJob)},
		&corev1.Node{}:                           {Transform: transform(slimNode)},
		&corev1.LimitRange{}:                     {Transform: transform(func(*corev1.LimitRange) {})},
		&corev1.ResourceQuota{}:                  {Transform: transform(func(*corev1.ResourceQuota) {})},
	}
}

// object is a pointer to a Kubernetes type.
type object[T any] interface {
	*T
	metav1.Object
}

func transform[T any, P object[T]](slim func(P)) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if o, ok := in.(P); ok {
			o.SetManagedFields(nil)
			o.SetAnnotations(keptAnnotations(o.GetAnnotations()))
			slim(o)
		}
		return in, nil
	}
}

const (
	// safeToEvict is the annotation by which cluster-autoscaler leaves a pod where it is, doNotDisrupt Karpenter's.
	safeToEvict  = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	doNotDisrupt = "karpenter.sh/do-not-disrupt"
	// volcanoGroup names a pod's group for Volcano, volcanoOldGroup is its older name.
	volcanoGroup    = "scheduling.volcano.sh/group-name"
	volcanoOldGroup = "scheduling.k8s.io/group-name"
)

// keptAnnotations are ours, and those of others that say what must not be done, or to whom first.
func keptAnnotations(all map[string]string) map[string]string {
	var kept map[string]string
	for name, value := range all {
		if strings.HasPrefix(name, v1alpha1.GroupName+"/") || name == safeToEvict || name == doNotDisrupt || name == corev1.MirrorPodAnnotationKey ||
			name == corev1.PodDeletionCost || name == volcanoGroup || name == volcanoOldGroup {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[name] = value
		}
	}
	return kept
}

func slimHPA(h *autoscalingv2.HorizontalPodAutoscaler) {
	h.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: h.Spec.ScaleTargetRef}
	h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
}

func slimPod(p *corev1.Pod) {
	spec := corev1.PodSpec{
		Containers: slimContainers(p.Spec.Containers), InitContainers: slimContainers(p.Spec.InitContainers), Resources: p.Spec.Resources,
		Overhead: p.Spec.Overhead, NodeName: p.Spec.NodeName, TerminationGracePeriodSeconds: p.Spec.TerminationGracePeriodSeconds, OS: p.Spec.OS,
	}
	keepPlacement(&p.Spec, &spec)
	p.Spec = spec
	status := corev1.PodStatus{
		Phase: p.Status.Phase, StartTime: p.Status.StartTime, QOSClass: p.Status.QOSClass, ObservedGeneration: p.Status.ObservedGeneration,
		ContainerStatuses: slimStatuses(p.Status.ContainerStatuses), InitContainerStatuses: slimStatuses(p.Status.InitContainerStatuses),
		AllocatedResources: p.Status.AllocatedResources, Resources: p.Status.Resources,
		NominatedNodeName: p.Status.NominatedNodeName, ResourceClaimStatuses: p.Status.ResourceClaimStatuses,
		ExtendedResourceClaimStatus: p.Status.ExtendedResourceClaimStatus,
	}
	for _, c := range p.Status.Conditions {
		switch c.Type {
		case corev1.PodReady:
			// What an unready pod waits for changes often and decides nothing.
			status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime})
		case corev1.PodScheduled:
			if c.Status != corev1.ConditionTrue { // else spec.nodeName says it
				status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime})
			}
		case corev1.PodResizePending, corev1.PodResizeInProgress:
			status.Conditions = append(status.Conditions, c)
		}
	}
	p.Status = status
	p.Finalizers = nil
	p.OwnerReferences = slimOwners(p.OwnerReferences)
}

// slimOwners keeps the controller.
func slimOwners(owners []metav1.OwnerReference) []metav1.OwnerReference {
	for i := range owners {
		if owners[i].Controller != nil && *owners[i].Controller {
			return owners[i : i+1 : i+1]
		}
	}
	return nil
}

func slimContainers(containers []corev1.Container) []corev1.Container {
	slim := make([]corev1.Container, len(containers))
	for i, c := range containers {
		slim[i] = corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, ResizePolicy: c.ResizePolicy,
			Resources: c.Resources, Ports: hostPorts(c.Ports)}
	}
	return slim
}

// slimStatuses keeps what tells of resizes and kills.
func slimStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	slim := make([]corev1.ContainerStatus, len(statuses))
	for i, s := range statuses {
		slim[i] = corev1.ContainerStatus{Name: s.Name, Ready: s.Ready, Started: s.Started, RestartCount: s.RestartCount,
			AllocatedResources: s.AllocatedResources, Resources: s.Resources}
		if s.State.Running != nil {
			slim[i].State.Running = s.State.Running
		}
		if end := s.State.Terminated; end != nil {
			slim[i].State.Terminated = slimEnd(end)
		}
		if end := s.LastTerminationState.Terminated; end != nil {
			slim[i].LastTerminationState.Terminated = slimEnd(end)
		}
	}
	return slim
}

func slimEnd(end *corev1.ContainerStateTerminated) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: end.ExitCode, Reason: end.Reason, StartedAt: end.StartedAt, FinishedAt: end.FinishedAt}
}

func slimDeployment(d *appsv1.Deployment) {
	d.Spec = appsv1.DeploymentSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Strategy: d.Spec.Strategy, Template: slimTemplate(&d.Spec.Template)}
	d.Status = appsv1.DeploymentStatus{Replicas: d.Status.Replicas, UpdatedReplicas: d.Status.UpdatedReplicas,
		AvailableReplicas: d.Status.AvailableReplicas, ObservedGeneration: d.Status.ObservedGeneration}
}

func slimStatefulSet(s *appsv1.StatefulSet) {
	s.Spec = appsv1.StatefulSetSpec{Replicas: s.Spec.Replicas, Selector: s.Spec.Selector, UpdateStrategy: s.Spec.UpdateStrategy, Template: slimTemplate(&s.Spec.Template),
		VolumeClaimTemplates: claimNames(s.Spec.VolumeClaimTemplates)}
	s.Status = appsv1.StatefulSetStatus{Replicas: s.Status.Replicas, ReadyReplicas: s.Status.ReadyReplicas}
}

// claimNames keeps of templates which of a pod's volumes are made from them.
func claimNames(templates []corev1.PersistentVolumeClaim) []corev1.PersistentVolumeClaim {
	var names []corev1.PersistentVolumeClaim
	for i := range templates {
		names = append(names, corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: templates[i].Name}})
	}
	return names
}

func slimDaemonSet(d *appsv1.DaemonSet) {
	d.Spec = appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: slimTemplate(&d.Spec.Template)}
	d.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: d.Status.DesiredNumberScheduled}
}

func slimJob(j *batchv1.Job) {
	j.Spec = batchv1.JobSpec{Selector: j.Spec.Selector, Parallelism: j.Spec.Parallelism, Template: slimTemplate(&j.Spec.Template)}
	j.Status = batchv1.JobStatus{}
	j.OwnerReferences = slimOwners(j.OwnerReferences)
}

func slimCronJob(c *batchv1.CronJob) {
	job := batchv1.JobSpec{Parallelism: c.Spec.JobTemplate.Spec.Parallelism, Template: slimTemplate(&c.Spec.JobTemplate.Spec.Template)}
	c.Spec = batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: job}}
	c.Status = batchv1.CronJobStatus{}
}

// slimTemplate keeps what sizes depend on: the containers' resources, the flags and variables by which a runtime is told, where pods
// may go, and what the scopes of quotas ask about.
func slimTemplate(t *corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	spec := corev1.PodSpec{
		Containers: templateContainers(t.Spec.Containers), InitContainers: templateContainers(t.Spec.InitContainers), Resources: t.Spec.Resources,
		Overhead: t.Spec.Overhead, RestartPolicy: t.Spec.RestartPolicy, OS: t.Spec.OS, ActiveDeadlineSeconds: t.Spec.ActiveDeadlineSeconds,
	}
	keepPlacement(&t.Spec, &spec)
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: t.Labels, Annotations: keptAnnotations(t.Annotations)}, Spec: spec}
}

func templateContainers(containers []corev1.Container) []corev1.Container {
	slim := make([]corev1.Container, len(containers))
	for i, c := range containers {
		slim[i] = corev1.Container{Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, RestartPolicy: c.RestartPolicy,
			ResizePolicy: c.ResizePolicy, Resources: c.Resources, Env: c.Env, EnvFrom: c.EnvFrom, Ports: hostPorts(c.Ports)}
	}
	return slim
}

// slimNode keeps what pods could have there, and how the node fares. When a condition was reported last is left out: it changes every
// few minutes and decides nothing, since a node that is silent is told by its Lease.
func slimNode(n *corev1.Node) {
	n.Spec = corev1.NodeSpec{Unschedulable: n.Spec.Unschedulable, Taints: n.Spec.Taints, ProviderID: n.Spec.ProviderID}
	status := corev1.NodeStatus{
		Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable, DeclaredFeatures: n.Status.DeclaredFeatures,
		NodeInfo: corev1.NodeSystemInfo{KubeletVersion: n.Status.NodeInfo.KubeletVersion, OSImage: n.Status.NodeInfo.OSImage},
	}
	for _, c := range n.Status.Conditions {
		status.Conditions = append(status.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime})
	}
	n.Status = status
}
