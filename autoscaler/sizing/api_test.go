package sizing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiServer connects to the API server named by YAGURA_TEST_KUBECONFIG.
func apiServer(t *testing.T) kubernetes.Interface {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	config.QPS, config.Burst = 200, 200
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	require.NoError(t, err)
	return client
}

// TestAnAPIServerAcceptsWhatIsDecided creates pods as random scenes have them and asks the API server, in dry runs, to resize them and
// to create them as decided.
func TestAnAPIServerAcceptsWhatIsDecided(t *testing.T) {
	client := apiServer(t)
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sizing-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.CoreV1().Namespaces().Delete(t.Context(), namespace.Name, metav1.DeleteOptions{})
	})
	pods := client.CoreV1().Pods(namespace.Name)
	resizes, creations := 0, 0
	for seed := range uint64(400) {
		in := randomInput(rand.New(rand.NewPCG(seed, seed*7919)))
		d := Decide(in)
		for i, step := range d.Steps {
			if !step.InPlace || i > 0 {
				continue
			}
			pod, err := pods.Create(t.Context(), asCreated(step.Pod, seed), metav1.CreateOptions{})
			require.NoError(t, err, "seed %d: the pod as the scene has it", seed)
			_, err = pods.Patch(t.Context(), pod.Name, types.StrategicMergePatchType, resizePatch(t, pod, step), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "resize")
			if assert.NoError(t, err, "seed %d: %s", seed, step.Reason) {
				resizes++
			}
			require.NoError(t, pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}))
		}
		policy := in.Policy.DeepCopy()
		policy.Status.Vertical = verticalStatus(d)
		pod := asCreated(&corev1.Pod{Spec: *in.Template.Spec.DeepCopy()}, seed)
		created := ForPod(policy, "", pod, in.Bounds.Ranges)
		if created.Empty() {
			continue
		}
		created.Apply(&pod.Spec)
		_, err := pods.Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if assert.NoError(t, err, "seed %d: creation", seed) {
			creations++
		}
	}
	assert.Greater(t, resizes, 30)
	assert.Greater(t, creations, 30)
	t.Logf("%d resizes and %d creations were accepted", resizes, creations)
}

// asCreated is a pod as somebody creates it.
func asCreated(from *corev1.Pod, seed uint64) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("scene-%d", seed)}, Spec: *from.Spec.DeepCopy()}
	// It is to stay as it is: nothing runs it.
	pod.Spec.SchedulerName = "nobody"
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			list[i].Image = "registry.example/image"
		}
	}
	return pod
}

// resizePatch is the patch of the resize subresource for a step.
func resizePatch(t *testing.T, pod *corev1.Pod, step Step) []byte {
	t.Helper()
	type container struct {
		Name      string                      `json:"name"`
		Resources corev1.ResourceRequirements `json:"resources"`
	}
	var spec struct {
		Containers     []container                  `json:"containers,omitempty"`
		InitContainers []container                  `json:"initContainers,omitempty"`
		Resources      *corev1.ResourceRequirements `json:"resources,omitempty"`
	}
	// In the order of the pod: the API server reorders a list as a patch has it, and refuses that.
	for i := range pod.Spec.InitContainers {
		if to, ok := step.Containers[pod.Spec.InitContainers[i].Name]; ok {
			spec.InitContainers = append(spec.InitContainers, container{pod.Spec.InitContainers[i].Name, to})
		}
	}
	for i := range pod.Spec.Containers {
		if to, ok := step.Containers[pod.Spec.Containers[i].Name]; ok {
			spec.Containers = append(spec.Containers, container{pod.Spec.Containers[i].Name, to})
		}
	}
	spec.Resources = step.PodResources
	patch, err := json.Marshal(map[string]any{"spec": spec})
	require.NoError(t, err)
	return patch
}
