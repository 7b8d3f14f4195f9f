package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

func amounts(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func container(name string, pairs ...string) corev1.Container {
	return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: amounts(pairs...)}}
}

func sidecar(name string, pairs ...string) corev1.Container {
	c := container(name, pairs...)
	c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	return c
}

func TestWhatAPodRequests(t *testing.T) {
	allocated := func(name string, allocated, actual corev1.ResourceList) corev1.ContainerStatus {
		s := corev1.ContainerStatus{Name: name, AllocatedResources: allocated}
		if actual != nil {
			s.Resources = &corev1.ResourceRequirements{Requests: actual}
		}
		return s
	}
	infeasible := []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}}
	one := []corev1.Container{container("a", "cpu", "2", "memory", "1Gi")}
	tests := map[string]struct {
		spec   corev1.PodSpec
		status corev1.PodStatus
		want   corev1.ResourceList
	}{
		"one container": {spec: corev1.PodSpec{Containers: one}, want: amounts("cpu", "2", "memory", "1Gi")},
		"nothing":       {spec: corev1.PodSpec{Containers: []corev1.Container{container("a")}}, want: amounts()},
		"containers add up": {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "cpu", "100m"), container("b", "cpu", "200m", "example.com/gpu", "1")}},
			want: amounts("cpu", "300m", "example.com/gpu", "1")},
		"the largest init container, by resource": {spec: corev1.PodSpec{Containers: one,
			InitContainers: []corev1.Container{container("i", "cpu", "3"), container("j", "memory", "4Gi")}}, want: amounts("cpu", "3", "memory", "4Gi")},
		"sidecars stay": {spec: corev1.PodSpec{Containers: one,
			InitContainers: []corev1.Container{sidecar("s", "cpu", "1"), container("i", "cpu", "5"), sidecar("t", "cpu", "1")}},
			want: amounts("cpu", "6", "memory", "1Gi")},
		"init containers before a sidecar do not wait for it": {spec: corev1.PodSpec{Containers: one,
			InitContainers: []corev1.Container{container("i", "cpu", "3"), sidecar("s", "cpu", "1")}}, want: amounts("cpu", "3", "memory", "1Gi")},
		"overhead": {spec: corev1.PodSpec{Containers: one, Overhead: amounts("cpu", "250m")}, want: amounts("cpu", "2250m", "memory", "1Gi")},
		"the pod as a whole": {spec: corev1.PodSpec{Containers: one, Resources: &corev1.ResourceRequirements{Requests: amounts("cpu", "1")}, Overhead: amounts("cpu", "1")},
			want: amounts("cpu", "2", "memory", "1Gi")},
		"growing": {spec: corev1.PodSpec{NodeName: "n", Containers: one},
			status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{allocated("a", amounts("cpu", "1", "memory", "2Gi"), amounts("cpu", "1", "memory", "3Gi"))}},
			want:   amounts("cpu", "2", "memory", "3Gi")},
		"growing beyond the node": {spec: corev1.PodSpec{NodeName: "n", Containers: one},
			status: corev1.PodStatus{Conditions: infeasible, ContainerStatuses: []corev1.ContainerStatus{allocated("a", amounts("cpu", "1", "memory", "1Gi"), nil)}},
			want:   amounts("cpu", "1", "memory", "1Gi")},
		"waiting, its status is of no account": {spec: corev1.PodSpec{Containers: one},
			status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{allocated("a", amounts("cpu", "9"), nil)}},
			want:   amounts("cpu", "2", "memory", "1Gi")},
		"the pod as a whole, shrinking": {spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{container("a")}, Resources: &corev1.ResourceRequirements{Requests: amounts("cpu", "1")}},
			status: corev1.PodStatus{AllocatedResources: amounts("cpu", "2"), Resources: &corev1.ResourceRequirements{Requests: amounts("cpu", "3")}},
			want:   amounts("cpu", "3")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := podRequests(&corev1.Pod{Spec: tt.spec, Status: tt.status})
			assert.Len(t, got, len(tt.want))
			for name, want := range tt.want {
				q := got[name]
				assert.Zero(t, want.Cmp(q), "%s: %s is not %s", name, &q, &want)
			}
		})
	}
}

func BenchmarkPodRequests(b *testing.B) {
	plain := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{container("a", "cpu", "100m", "memory", "128Mi")}}}
	with := plain.DeepCopy()
	with.Spec.InitContainers = []corev1.Container{container("i", "cpu", "1"), sidecar("s", "cpu", "10m")}
	for name, pod := range map[string]*corev1.Pod{"one container": plain, "with a sidecar": with} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				podRequests(pod)
			}
		})
	}
}
