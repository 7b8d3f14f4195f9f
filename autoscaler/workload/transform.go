package workload

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// CachedObjects says what the cache holds and what it leaves out: a pod is kept for its labels, requests and readiness, which
// is a small part of it, and of a workload only its number of replicas and its selector.
func CachedObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.WorkloadAutoscaler{}:           {Transform: transform(func(*v1alpha1.WorkloadAutoscaler) {})},
		&autoscalingv2.HorizontalPodAutoscaler{}: {Transform: transform(slimHPA)},
		&corev1.Pod{}:                            {Transform: transform(slimPod)},
		&appsv1.Deployment{}:                     {Transform: transform(slimDeployment)},
		&appsv1.StatefulSet{}:                    {Transform: transform(slimStatefulSet)},
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
			o.SetAnnotations(nil)
			slim(o)
		}
		return in, nil
	}
}

func slimHPA(h *autoscalingv2.HorizontalPodAutoscaler) {
	h.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: h.Spec.ScaleTargetRef}
	h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
}

func slimPod(p *corev1.Pod) {
	p.Spec = corev1.PodSpec{
		Containers: slimContainers(p.Spec.Containers), InitContainers: slimContainers(p.Spec.InitContainers), Resources: p.Spec.Resources,
	}
	status := corev1.PodStatus{Phase: p.Status.Phase, StartTime: p.Status.StartTime}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
		}
	}
	p.Status = status
	p.OwnerReferences, p.Finalizers = nil, nil
}

func slimContainers(containers []corev1.Container) []corev1.Container {
	slim := make([]corev1.Container, len(containers))
	for i, c := range containers {
		slim[i] = corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, Resources: corev1.ResourceRequirements{Requests: c.Resources.Requests}}
	}
	return slim
}

func slimDeployment(d *appsv1.Deployment) {
	d.Spec = appsv1.DeploymentSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector}
	d.Status = appsv1.DeploymentStatus{Replicas: d.Status.Replicas}
}

func slimStatefulSet(s *appsv1.StatefulSet) {
	s.Spec = appsv1.StatefulSetSpec{Replicas: s.Spec.Replicas, Selector: s.Spec.Selector}
	s.Status = appsv1.StatefulSetStatus{Replicas: s.Status.Replicas}
}
