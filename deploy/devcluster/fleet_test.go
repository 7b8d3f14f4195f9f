package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/cluster"
)

// patience bounds a run that fails; a loaded machine may need a good part of it.
const patience = 2 * time.Minute

// needBinaries skips a test, loudly, when Kubernetes has not been built; where
// tests gate a change it must have been.
func needBinaries(t *testing.T) {
	t.Helper()
	builder, err := newBuilder()
	require.NoError(t, err)
	if builder.Ready() {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s has no binaries: run devcluster build first", builder.Bin())
	}
	t.Skipf("SKIPPED: %s has no binaries; run devcluster build to test with a real control plane", builder.Bin())
}

// testCluster runs commands on the cluster of one folder.
type testCluster struct {
	t   *testing.T
	dir string
}

// newTestCluster returns a cluster that is reset when the test ends.
func newTestCluster(t *testing.T) testCluster {
	c := testCluster{t: t, dir: t.TempDir() + "/cluster"}
	t.Cleanup(func() { c.run("reset") })
	return c
}

func (c testCluster) run(args ...string) string {
	c.t.Helper()
	stdout, stderr, err := devcluster(append(args, "--dir", c.dir)...)
	require.NoError(c.t, err, "devcluster %v\n%s", args, stderr)
	return stdout
}

func (c testCluster) status() cluster.Status {
	c.t.Helper()
	var status cluster.Status
	require.NoError(c.t, json.Unmarshal([]byte(c.run("status", "--output", "json")), &status))
	return status
}

func (c testCluster) client() kubernetes.Interface {
	c.t.Helper()
	path := bytes.TrimSpace([]byte(c.run("kubeconfig")))
	config, err := clientcmd.BuildConfigFromFlags("", string(path))
	require.NoError(c.t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(c.t, err)
	c.t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return client
}

// nodeNames returns the nodes that the API server knows.
func (c testCluster) nodeNames() []string {
	c.t.Helper()
	names := []string{}
	for _, node := range c.status().Nodes {
		names = append(names, node.Name)
	}
	return names
}

// scrapeTargets returns the URLs in the file_sd file by node.
func (c testCluster) scrapeTargets() map[string]string {
	c.t.Helper()
	data, err := os.ReadFile(c.status().ScrapeTargets)
	require.NoError(c.t, err)
	var groups []struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	require.NoError(c.t, json.Unmarshal(data, &groups))
	targets := map[string]string{}
	for _, group := range groups {
		u := url.URL{Scheme: group.Labels["__scheme__"], Host: group.Targets[0], Path: group.Labels["__metrics_path__"]}
		targets[group.Labels["node"]] = u.String()
	}
	return targets
}

func startDeployment(t *testing.T, client kubernetes.Interface, name string, replicas int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := client.AppsV1().Deployments("default").Create(context.Background(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
					"kwok.x-k8s.io/usage-cpu": "250m", "kwok.x-k8s.io/usage-memory": "64Mi",
				}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/" + name}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	waitReplicas(t, client, name, replicas)
}

func waitReplicas(t *testing.T, client kubernetes.Interface, name string, replicas int32) {
	t.Helper()
	require.Eventually(t, func() bool {
		deployment, err := client.AppsV1().Deployments("default").Get(context.Background(), name, metav1.GetOptions{})
		return err == nil && deployment.Status.AvailableReplicas == replicas
	}, patience, 100*time.Millisecond, "deployment %s has no %d available replicas", name, replicas)
}

// sample returns one metric of one pod, or false.
func sample(url, metric, pod string) (float64, bool) {
	response, err := http.Get(url)
	if err != nil {
		return 0, false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, false
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil || families[metric] == nil {
		return 0, false
	}
	for _, m := range families[metric].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "pod" && label.GetValue() == pod {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestFleet(t *testing.T) {
	needBinaries(t)
	ctx := context.Background()
	c := newTestCluster(t)
	c.run("up", "--nodes", "2")
	status := c.status()
	require.Equal(t, cluster.Running, status.Phase)
	require.Equal(t, []string{"fake-0", "fake-1"}, c.nodeNames())
	for _, node := range status.Nodes {
		require.True(t, node.Ready && node.Simulated, node.Name)
	}
	client := c.client()
	startDeployment(t, client, "web", 3)

	t.Run("simulated usage can be scraped", func(t *testing.T) {
		pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		targets := c.scrapeTargets()
		require.Len(t, targets, 2)
		for _, pod := range pods.Items {
			target := targets[pod.Spec.NodeName]
			var first float64
			require.Eventually(t, func() bool {
				memory, found := sample(target, "container_memory_working_set_bytes", pod.Name)
				first, _ = sample(target, "container_cpu_usage_seconds_total", pod.Name)
				return found && memory == 64<<20
			}, patience, 100*time.Millisecond, "%s has no memory of %s", target, pod.Name)
			require.Eventually(t, func() bool {
				later, found := sample(target, "container_cpu_usage_seconds_total", pod.Name)
				return found && later > first
			}, patience, 100*time.Millisecond, "%s: the CPU counter of %s stands still", target, pod.Name)
			started, found := sample(target, "container_start_time_seconds", pod.Name)
			require.True(t, found)
			require.InDelta(t, float64(pod.CreationTimestamp.Unix()), started, 5)
		}
	})

	t.Run("nodes are added and removed", func(t *testing.T) {
		c.run("node", "add", "extra")
		require.Contains(t, c.scrapeTargets(), "extra")
		_, _, err := devcluster("node", "add", "extra", "--dir", c.dir)
		require.ErrorContains(t, err, "it exists")
		_, _, err = devcluster("node", "add", "Not_A_Name", "--dir", c.dir)
		require.ErrorContains(t, err, "Not_A_Name")
		c.run("node", "remove", "extra")
		require.Equal(t, []string{"fake-0", "fake-1"}, c.nodeNames())
		require.NotContains(t, c.scrapeTargets(), "extra")
		c.run("up", "--nodes", "4")
		require.Len(t, c.nodeNames(), 4)
		require.Len(t, c.scrapeTargets(), 4)
		c.run("up", "--nodes", "2")
		require.Equal(t, []string{"fake-0", "fake-1"}, c.nodeNames())
		waitReplicas(t, client, "web", 3)
	})

	t.Run("a powered-off node is switched on again", func(t *testing.T) {
		c.run("node", "poweroff", "fake-1")
		for _, node := range c.status().Nodes {
			require.Equal(t, node.Name == "fake-1", node.PoweredOff, node.Name)
		}
		c.run("up") // Does not wait for it.
		c.run("node", "poweron", "fake-1")
		require.False(t, c.status().Nodes[1].PoweredOff)
	})

	t.Run("up on a running cluster changes nothing", func(t *testing.T) {
		before := c.status().Processes
		c.run("up")
		require.Equal(t, before, c.status().Processes)
		_, _, err := devcluster("up", "--mode", "node", "--dir", c.dir)
		require.ErrorContains(t, err, "holds a cluster in fleet mode")
	})

	t.Run("data survive a stop", func(t *testing.T) {
		server := c.status().Server
		c.run("down")
		require.Equal(t, cluster.Stopped, c.status().Phase)
		c.run("up")
		require.Equal(t, server, c.status().Server, "clients keep their address")
		require.Len(t, c.nodeNames(), 2)
		waitReplicas(t, c.client(), "web", 3)
	})

	t.Run("acknowledged writes survive a kill", func(t *testing.T) {
		client := c.client()
		_, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "precious"}}, metav1.CreateOptions{})
		require.NoError(t, err)
		for _, process := range c.status().Processes {
			require.True(t, process.Running, process.Name) // Process 0 would be this test.
			require.NoError(t, syscall.Kill(process.PID, syscall.SIGKILL))
		}
		require.Eventually(t, func() bool { return c.status().Phase == cluster.Stopped }, patience, 50*time.Millisecond)
		c.run("up")
		_, err = c.client().CoreV1().ConfigMaps("default").Get(ctx, "precious", metav1.GetOptions{})
		require.NoError(t, err)
	})

	t.Run("what has died is started again", func(t *testing.T) {
		var scheduler cluster.ProcessStatus
		for _, process := range c.status().Processes {
			if process.Name == "kube-scheduler" {
				scheduler = process
			}
		}
		require.True(t, scheduler.Running)
		require.NoError(t, syscall.Kill(scheduler.PID, syscall.SIGKILL))
		require.Eventually(t, func() bool { return c.status().Phase == cluster.Degraded }, patience, 50*time.Millisecond)
		c.run("up")
		require.Equal(t, cluster.Running, c.status().Phase)
	})

	t.Run("a taken port is replaced", func(t *testing.T) {
		server := c.status().Server
		c.run("down")
		u, err := url.Parse(server)
		require.NoError(t, err)
		squatter, err := net.Listen("tcp", u.Host)
		require.NoError(t, err)
		defer squatter.Close()
		c.run("up")
		require.NotEqual(t, server, c.status().Server)
		startDeployment(t, c.client(), "again", 2) // Every part has found the others.
	})

	t.Run("two clusters run side by side", func(t *testing.T) {
		other := newTestCluster(t)
		other.run("up", "--nodes", "1")
		require.Equal(t, []string{"fake-0"}, other.nodeNames())
		require.Len(t, c.nodeNames(), 2)
	})

	t.Run("reset leaves nothing", func(t *testing.T) {
		processes := c.status().Processes
		c.run("reset")
		require.NoDirExists(t, c.dir)
		for _, process := range processes {
			// They are this process's children: the last trace of one is gone when it
			// has been waited for, a moment after its end.
			require.Eventually(t, func() bool {
				return errors.Is(syscall.Kill(process.PID, 0), syscall.ESRCH)
			}, patience, 10*time.Millisecond, process.Name)
		}
	})
}
