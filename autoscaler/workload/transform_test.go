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
	requests := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "long"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "x"}}, DeletionTimestamp: &start},
		Spec: corev1.PodSpec{NodeName: "node", Volumes: []corev1.Volume{{Name: "v"}},
			Containers:     []corev1.Container{{Name: "main", Image: "image", Env: []corev1.EnvVar{{Name: "E"}}, Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}},
			InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start, Message: "m"}}},
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
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web"}, DeletionTimestamp: &start},
		Spec: corev1.PodSpec{
			Containers:     []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: requests}}},
			InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start}}},
	}, got)

	tombstone := toolscache.DeletedFinalStateUnknown{Key: "shop/web-1"}
	got, err = apply(tombstone)
	require.NoError(t, err)
	assert.Equal(t, tombstone, got)
}
