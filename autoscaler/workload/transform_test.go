package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

func TestCachedPodsKeepWhatDecisionsNeed(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	start := metav1.NewTime(time.Unix(1000, 0))
	yes := true
	requests := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web"},
			Annotations:   map[string]string{"a": "long", "yagura.dev/sized": "web", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "x"}}, DeletionTimestamp: &start,
			OwnerReferences: []metav1.OwnerReference{{Name: "other"}, {Name: "set", Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: "node", Volumes: []corev1.Volume{{Name: "v"}},
			Containers:     []corev1.Container{{Name: "main", Image: "image", Env: []corev1.EnvVar{{Name: "E"}}, Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}},
			InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, PodIP: "10.0.0.1",
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ImageID: "long", RestartCount: 1, LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", Message: "long", FinishedAt: start}}}}, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled}, {Type: corev1.PodResizePending, Reason: "Deferred", Message: "no room"}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start, Message: "m"}}},
	}
	var apply toolscache.TransformFunc
	for object, options := range CachedObjects() {
		if _, ok := object.(*corev1.Pod); ok {
			apply = options.Transform
		}
	}
	got, err := apply(pod)
	require.NoError(t, err)
	assert.Equal(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web"}, DeletionTimestamp: &start,
			Annotations:     map[string]string{"yagura.dev/sized": "web", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
			OwnerReferences: []metav1.OwnerReference{{Name: "set", Controller: &yes}}},
		Spec: corev1.PodSpec{
			NodeName:       "node",
			Containers:     []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}},
			InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", RestartCount: 1, LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: start}}}},
			InitContainerStatuses: []corev1.ContainerStatus{},
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodResizePending, Reason: "Deferred", Message: "no room"},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start}}},
	}, got)

	tombstone := toolscache.DeletedFinalStateUnknown{Key: "shop/web-1"}
	got, err = apply(tombstone)
	require.NoError(t, err)
	assert.Equal(t, tombstone, got)
}
