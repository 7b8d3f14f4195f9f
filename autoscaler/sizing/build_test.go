package sizing

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	mi = float64(1 << 20)
	gi = float64(1 << 30)
)

// list makes a resource list of pairs of names and quantities.
func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func needs(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

func named(name string, r corev1.ResourceRequirements) corev1.Container {
	return corev1.Container{Name: name, Resources: r}
}

func sidecar(name string, r corev1.ResourceRequirements) corev1.Container {
	always := corev1.ContainerRestartPolicyAlways
	return corev1.Container{Name: name, Resources: r, RestartPolicy: &always}
}

// web is the usual container: 500m and 1Gi requested, limits of twice that.
func web() corev1.Container {
	return named("web", needs(list("cpu", "500m", "memory", "1Gi"), list("cpu", "1", "memory", "2Gi")))
}

// scene builds inputs.
type scene struct{ in Input }

func newScene(containers ...corev1.Container) *scene {
	if len(containers) == 0 {
		containers = []corev1.Container{web()}
	}
	policy := &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply,
			TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			Vertical:  &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyInPlace}},
	}
	return &scene{in: Input{Now: now, Policy: policy, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: containers}},
		Readings: map[Key]Reading{}, Startups: map[string]Startup{}, Heaps: map[string]Heap{}, Brake: Brake{Open: true}, Memory: &Memory{}}}
}

// pods adds running pods made from the template.
func (s *scene) pods(n int, alter ...func(*corev1.Pod)) *scene {
	for range n {
		i := len(s.in.Pods)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("web-%d", i), UID: types.UID(fmt.Sprintf("uid-%d", i))},
			Spec: *s.in.Template.Spec.DeepCopy()}
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}}
		pod.Status.ContainerStatuses = statuses(pod.Spec.Containers)
		pod.Status.InitContainerStatuses = statuses(pod.Spec.InitContainers)
		for _, a := range alter {
			a(pod)
		}
		s.in.Pods = append(s.in.Pods, Pod{Object: pod, Role: DefaultRole})
	}
	s.in.Replicas = int32(len(s.in.Pods))
	return s
}

func statuses(containers []corev1.Container) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i := range containers {
		c := &containers[i]
		out = append(out, corev1.ContainerStatus{Name: c.Name, Ready: true, AllocatedResources: c.Resources.Requests.DeepCopy(), Resources: c.Resources.DeepCopy(),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-2 * time.Hour))}}})
	}
	return out
}

// fresh adds an estimate of full confidence.
func (s *scene) fresh(container string, r corev1.ResourceName, target float64, alter ...func(*Reading)) *scene {
	reading := Reading{State: decision.Fresh, Usage: target * 0.8,
		Estimate: vertical.Estimate{Target: target, Lower: target * 0.9, Upper: target * 1.2, Model: "Peak", Reason: "the peak was that", Confidence: 1, Samples: 1000}}
	for _, a := range alter {
		a(&reading)
	}
	s.in.Readings[Key{DefaultRole, container, r}] = reading
	return s
}

// rule sets the rule for a container.
func (s *scene) rule(r v1alpha1.ContainerVerticalPolicy) *scene {
	s.in.Policy.Spec.Vertical.Containers = append(s.in.Policy.Spec.Vertical.Containers, r)
	return s
}

func (s *scene) decide() Decision { return Decide(s.in) }

// find returns the record's size.
func find(d Decision, container string, r corev1.ResourceName) *decision.Size {
	for i := range d.Record.Sizes {
		if s := &d.Record.Sizes[i]; s.Container == container && s.Resource == string(r) && s.Role == "" {
			return s
		}
	}
	return nil
}

// codes are the codes of a size's verdicts by rule.
func codes(s *decision.Size) map[string]string {
	m := map[string]string{}
	for _, v := range s.Verdicts {
		m[v.Rule] = v.Code
	}
	return m
}
