package workload

import (
	"encoding/json"
	"runtime"
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
		Spec: corev1.PodSpec{NodeName: "node", NodeSelector: map[string]string{"disk": "fast"}, Affinity: &corev1.Affinity{}, Tolerations: apiServerTolerations(),
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
				{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
				{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}}},
			PriorityClassName: "high", SchedulerName: "default-scheduler", ServiceAccountName: "default", DNSPolicy: corev1.DNSClusterFirst,
			Containers: []corev1.Container{{Name: "main", Image: "image", Env: []corev1.EnvVar{{Name: "E"}}, Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests},
				Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 81, HostPort: 81}}}},
			InitContainers: []corev1.Container{{Name: "sidecar", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, PodIP: "10.0.0.1",
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ImageID: "long", RestartCount: 1, LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", Message: "long", FinishedAt: start}}}}, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodResizePending, Reason: "Deferred", Message: "no room"}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start, Message: "m"}}},
	}
	apply := transformOf[*corev1.Pod]()
	got, err := apply(pod)
	require.NoError(t, err)
	assert.Equal(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web"}, DeletionTimestamp: &start,
			Annotations:     map[string]string{"yagura.dev/sized": "web", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
			OwnerReferences: []metav1.OwnerReference{{Name: "set", Controller: &yes}}},
		Spec: corev1.PodSpec{
			NodeName: "node", NodeSelector: map[string]string{"disk": "fast"}, Tolerations: apiServerTolerations(), PriorityClassName: "high", SchedulerName: "default-scheduler",
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
			Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests},
				Ports: []corev1.ContainerPort{{ContainerPort: 81, HostPort: 81}}}},
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

// apiServerTolerations are those that the API server adds.
func apiServerTolerations() []corev1.Toleration {
	seconds := int64(300)
	return []corev1.Toleration{
		{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
		{Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
	}
}

func transformOf[T any]() toolscache.TransformFunc {
	for object, options := range CachedObjects() {
		if _, ok := object.(T); ok {
			return options.Transform
		}
	}
	return nil
}

func TestCachedPodsThatWaitForANode(t *testing.T) {
	since := metav1.NewTime(time.Unix(1000, 0))
	gates := []corev1.PodSchedulingGate{{Name: "wait"}}
	spread := []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone}}
	tolerations := append(apiServerTolerations(), corev1.Toleration{Key: "gpu", Operator: corev1.TolerationOpExists})
	other := apiServerTolerations()
	*other[1].TolerationSeconds = 30
	for name, set := range map[string][]corev1.Toleration{"one more": tolerations, "other seconds": other} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				Spec: corev1.PodSpec{SchedulingGates: gates, TopologySpreadConstraints: spread, Tolerations: set, ResourceClaims: []corev1.PodResourceClaim{{Name: "gpu"}},
					Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Claims: []corev1.ResourceClaim{{Name: "gpu"}}}}}},
				Status: corev1.PodStatus{NominatedNodeName: "n", Conditions: []corev1.PodCondition{
					{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/5000 nodes are available: ...", LastTransitionTime: since}}},
			}
			got, err := transformOf[*corev1.Pod]()(pod)
			require.NoError(t, err)
			kept := got.(*corev1.Pod)
			assert.Equal(t, set, kept.Spec.Tolerations)
			assert.Equal(t, gates, kept.Spec.SchedulingGates)
			assert.Equal(t, spread, kept.Spec.TopologySpreadConstraints)
			assert.Equal(t, []corev1.PodResourceClaim{{Name: "gpu"}}, kept.Spec.ResourceClaims)
			assert.Equal(t, []corev1.ResourceClaim{{Name: "gpu"}}, kept.Spec.Containers[0].Resources.Claims)
			assert.Equal(t, "n", kept.Status.NominatedNodeName)
			assert.Equal(t, []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: since}}, kept.Status.Conditions)
		})
	}
}

func TestCachedNodesKeepHowTheyFare(t *testing.T) {
	since, heard := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))
	node := &corev1.Node{
		Spec: corev1.NodeSpec{ProviderID: "kwok://a", PodCIDR: "10.0.0.0/24", Taints: []corev1.Taint{{Key: "k"}}},
		Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{"long"}}}, NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.37.2", MachineID: "m"},
			Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3900m")},
			Conditions: []corev1.NodeCondition{{Type: "KernelDeadlock", Status: corev1.ConditionTrue, Reason: "Hung", Message: "task blocked", LastHeartbeatTime: heard, LastTransitionTime: since}}},
	}
	want := &corev1.Node{
		Spec: corev1.NodeSpec{ProviderID: "kwok://a", Taints: []corev1.Taint{{Key: "k"}}},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.37.2"}, Capacity: node.Status.Capacity, Allocatable: node.Status.Allocatable,
			Conditions: []corev1.NodeCondition{{Type: "KernelDeadlock", Status: corev1.ConditionTrue, Reason: "Hung", LastTransitionTime: since}}},
	}
	got, err := transformOf[*corev1.Node]()(node)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// BenchmarkCachedPod says how many bytes the cache keeps of a pod as Deployments make them.
func BenchmarkCachedPod(b *testing.B) {
	apply := transformOf[*corev1.Pod]()
	yes := true
	text, err := json.Marshal(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout-6c5d8b7f9d-x2x4z", Namespace: "shop", UID: "0b7e7d1e-0f5a-4a3c-9a57-2f4f6f0f7a11", ResourceVersion: "123456789",
			Labels:          map[string]string{"app.kubernetes.io/name": "checkout", "app.kubernetes.io/instance": "checkout", "pod-template-hash": "6c5d8b7f9d"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "checkout-6c5d8b7f9d", UID: "11111111-0f5a-4a3c-9a57-2f4f6f0f7a11", Controller: &yes}}},
		Spec: corev1.PodSpec{NodeName: "node-1234", NodeSelector: map[string]string{"kubernetes.io/os": "linux"}, Tolerations: apiServerTolerations(),
			ServiceAccountName: "checkout", SchedulerName: "default-scheduler", Priority: new(int32),
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "checkout"}}}},
			Volumes: []corev1.Volume{{Name: "kube-api-access-x2x4z", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}},
			Containers: []corev1.Container{{Name: "main", Image: "registry.example/checkout:1.2.3", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("512Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.2.3", Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true, ImageID: "registry.example/checkout@sha256:0123456789abcdef"}}},
	})
	require.NoError(b, err)
	const count = 20000
	for b.Loop() {
		pods := make([]*corev1.Pod, count)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range pods {
			pods[i] = &corev1.Pod{}
			require.NoError(b, json.Unmarshal(text, pods[i]))
			_, err := apply(pods[i])
			require.NoError(b, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/count, "bytes/pod")
		runtime.KeepAlive(pods)
	}
}

func TestCachedPodsKeepTheirGroupsAndDevices(t *testing.T) {
	groups := map[string]string{"scheduling.volcano.sh/group-name": "a", "scheduling.k8s.io/group-name": "b"}
	claims := []corev1.PodResourceClaimStatus{{Name: "gpu"}}
	extended := &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: "made"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"scheduling.volcano.sh/group-name": "a", "scheduling.k8s.io/group-name": "b", "other": "c"}},
		Status: corev1.PodStatus{ResourceClaimStatuses: claims, ExtendedResourceClaimStatus: extended}}
	_, err := transform(slimPod)(pod)
	require.NoError(t, err)
	assert.Equal(t, groups, pod.Annotations)
	assert.Equal(t, claims, pod.Status.ResourceClaimStatuses)
	assert.Equal(t, extended, pod.Status.ExtendedResourceClaimStatus)
}
