package kube

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
)

// run runs a watcher until the test ends.
func run(t *testing.T, w *Watcher) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func TestWithoutANodeNothingIsWatched(t *testing.T) {
	w, err := New(DefaultConfig(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	run(t, w)
	require.False(t, w.Enabled())
	_, ok := w.PodByUID("u1")
	require.False(t, ok)
}

// TestKubeconfigThatIsMissingIsWaitedFor counts the attempts; that they succeed in
// the end is shown on a real API server below.
func TestKubeconfigThatIsMissingIsWaitedFor(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	config := DefaultConfig()
	config.Node, config.Kubeconfig = "n1", filepath.Join(t.TempDir(), "later")
	w, err := newWatcher(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), clock)
	require.NoError(t, err)
	run(t, w)
	for attempt := 1; attempt <= 3; attempt++ {
		require.Eventually(t, func() bool {
			return testutil.ToFloat64(w.errors) == float64(attempt) && clock.HasWaiters()
		}, 10*time.Second, time.Millisecond)
		clock.Step(retryInterval)
	}
	require.False(t, w.Synced())
}

// cluster connects to the API server named by YAGURA_TEST_KUBECONFIG.
func cluster(t *testing.T) (kubernetes.Interface, string) {
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
	config.ContentType = runtime.ContentTypeProtobuf
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	require.NoError(t, err)
	return client, path
}

// TestOnARealAPIServer follows pods of one node from a kubeconfig that appears
// while the watcher runs.
func TestOnARealAPIServer(t *testing.T) {
	client, path := cluster(t)
	ctx := context.Background()
	suffix := strconv.FormatInt(time.Now().UnixNano(), 36)
	pods := client.CoreV1().Pods("default")
	create := func(name, node string) *corev1.Pod {
		pod, err := pods.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "kube-test"}},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Image: "none"}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return pod
	}
	remove := func(name string) {
		now := int64(0)
		_ = pods.Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	// Nodes that nobody runs: pods on them stay as the test made them.
	here, there := "here-"+suffix, "there-"+suffix
	first := create("first-"+suffix, here)
	t.Cleanup(func() { remove(first.Name) })
	elsewhere := create("elsewhere-"+suffix, there)
	t.Cleanup(func() { remove(elsewhere.Name) })

	clock := clocktesting.NewFakeClock(time.Now())
	config := DefaultConfig()
	config.Node, config.Kubeconfig = here, filepath.Join(t.TempDir(), "kubeconfig")
	w, err := newWatcher(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), clock)
	require.NoError(t, err)
	run(t, w)
	require.Eventually(t, func() bool { return testutil.ToFloat64(w.errors) > 0 }, 10*time.Second, time.Millisecond)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config.Kubeconfig, content, 0o600))

	found := func(uid string) func() bool {
		return func() bool {
			clock.Step(time.Second)
			_, ok := w.PodByUID(uid)
			return ok
		}
	}
	require.Eventually(t, found(string(first.UID)), 20*time.Second, 10*time.Millisecond)
	require.True(t, w.Synced())
	_, ok := w.PodByUID(string(elsewhere.UID))
	require.False(t, ok, "pods of other nodes are not watched")

	second := create("second-"+suffix, here)
	t.Cleanup(func() { remove(second.Name) })
	require.Eventually(t, found(string(second.UID)), 20*time.Second, 10*time.Millisecond)

	second.Status.Phase = corev1.PodRunning
	second.Status.PodIP, second.Status.PodIPs = "10.9.8.7", []corev1.PodIP{{IP: "10.9.8.7"}}
	second.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", ContainerID: "containerd://abc" + suffix, Image: "none"}}
	_, err = pods.UpdateStatus(ctx, second, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pod, container, ok := w.ContainerByID("abc" + suffix)
		return ok && pod.Name == second.Name && container.Name == "app"
	}, 20*time.Second, 10*time.Millisecond)

	remove(second.Name)
	require.Eventually(t, func() bool {
		clock.Step(time.Duration(config.Retain))
		_, ok := w.PodByUID(string(second.UID))
		return !ok
	}, 20*time.Second, 10*time.Millisecond)
}
