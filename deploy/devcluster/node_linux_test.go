package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/cluster"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
)

// needRealNodes skips a test, loudly, where real nodes cannot run; where tests
// gate a change they must.
func needRealNodes(t *testing.T) {
	t.Helper()
	err := node.CheckHost()
	if err == nil {
		_, err = node.FindTools(os.Getenv("YAGURA_DEVCLUSTER_TOOLS"))
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skipf("SKIPPED: %v", err)
}

// realCluster runs the built program, whose processes are nodes, on the cluster
// of one folder.
type realCluster struct {
	t       *testing.T
	program string
	dir     string
}

func (c realCluster) command(args ...string) *exec.Cmd {
	return exec.Command(c.program, append([]string{"--dir", c.dir}, args...)...)
}

func (c realCluster) run(args ...string) string {
	c.t.Helper()
	cmd := c.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	require.NoError(c.t, err, "devcluster %v\n%s", args, stderr.String())
	return string(stdout)
}

func (c realCluster) kubectl(args ...string) string {
	c.t.Helper()
	return c.run(append([]string{"kubectl", "--"}, args...)...)
}

func (c realCluster) status() cluster.Status {
	c.t.Helper()
	var status cluster.Status
	require.NoError(c.t, json.Unmarshal([]byte(c.run("status", "--output", "json")), &status))
	return status
}

func (c realCluster) client() kubernetes.Interface {
	c.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", strings.TrimSpace(c.run("kubeconfig")))
	require.NoError(c.t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(c.t, err)
	return client
}

// pods returns the pods of the deployment web by the node they run on.
func (c realCluster) pods() map[string][]corev1.Pod {
	c.t.Helper()
	list, err := c.client().CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{LabelSelector: "app=web"})
	require.NoError(c.t, err)
	pods := map[string][]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.Spec.NodeName] = append(pods[pod.Spec.NodeName], pod)
	}
	return pods
}

// goBuild builds a program of this module, static.
func goBuild(t *testing.T, output, target string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", output, target)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

const webManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: talker:dev
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: glutton}
spec:
  restartPolicy: Never
  containers:
  - {name: glutton, image: "talker:dev", args: [eat], resources: {limits: {memory: 32Mi}}}
`

func TestNode(t *testing.T) {
	needBinaries(t)
	needRealNodes(t)
	ctx := context.Background()
	work := t.TempDir()
	c := realCluster{t: t, program: filepath.Join(work, "devcluster"), dir: filepath.Join(work, "cluster")}
	goBuild(t, c.program, ".")
	talker := filepath.Join(work, "talker")
	goBuild(t, talker, "./testdata/talker")
	mountsBefore, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	t.Cleanup(func() { c.run("reset") })

	c.run("up", "--mode", "node")
	status := c.status()
	require.Equal(t, cluster.Running, status.Phase)
	require.Len(t, status.Nodes, 2)
	for _, n := range status.Nodes {
		require.True(t, n.Ready && !n.Simulated, n.Name)
	}
	c.run("image", "load", "--name", "talker:dev", "--binary", talker)
	manifest := filepath.Join(work, "web.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(webManifest), 0o600))
	c.kubectl("apply", "-f", manifest)
	client := c.client()
	waitReplicas(t, client, "web", 4)
	pods := c.pods()
	require.Len(t, pods["n1"], 2)
	require.Len(t, pods["n2"], 2)

	t.Run("logs and exec", func(t *testing.T) {
		for _, on := range pods {
			require.Equal(t, "hello from "+on[0].Name+"\n", c.kubectl("logs", on[0].Name))
			require.Contains(t, c.kubectl("exec", on[0].Name, "--", "/usr/local/bin/talker", "apiserver"), "APIVersions",
				"a pod reaches the API server with its service account")
		}
	})

	t.Run("every pod reaches every endpoint of a service", func(t *testing.T) {
		service, err := client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
		require.NoError(t, err)
		for _, from := range []corev1.Pod{pods["n1"][0], pods["n2"][0]} {
			answered := map[string]bool{}
			require.Eventually(t, func() bool {
				out, err := c.command("kubectl", "--", "exec", from.Name, "--",
					"/usr/local/bin/talker", "get", "http://"+service.Spec.ClusterIP+"/").Output()
				if err == nil {
					answered[strings.TrimSpace(string(out))] = true
				}
				return len(answered) >= 4
			}, patience, time.Millisecond, "%s reached %v", from.Name, answered)
		}
	})

	t.Run("services and pods are reachable from outside", func(t *testing.T) {
		answer := c.kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/")
		require.True(t, strings.HasPrefix(answer, "web-"), answer)
		address := pods["n2"][0].Status.PodIP
		require.Equal(t, pods["n2"][0].Name+"\n", c.run("exec", "--", talker, "get", "http://"+address+":8080/"))
	})

	t.Run("limits are enforced", func(t *testing.T) {
		require.Eventually(t, func() bool {
			pod, err := client.CoreV1().Pods("default").Get(ctx, "glutton", metav1.GetOptions{})
			if err != nil || len(pod.Status.ContainerStatuses) == 0 {
				return false
			}
			terminated := pod.Status.ContainerStatuses[0].State.Terminated
			return terminated != nil && terminated.Reason == "OOMKilled"
		}, patience, 100*time.Millisecond)
	})

	t.Run("a node shows what is its own", func(t *testing.T) {
		require.Equal(t, "n1\n", c.run("exec", "--node", "n1", "--", "hostname"))
		cgroups := c.run("exec", "--node", "n1", "--", "find", "/sys/fs/cgroup", "-type", "d", "-name", "*pod*")
		logs := c.run("exec", "--node", "n1", "--", "ls", "/var/log/pods")
		for name, on := range pods {
			for _, pod := range on {
				require.Equal(t, name == "n1", strings.Contains(cgroups, string(pod.UID)), cgroups)
				require.Equal(t, name == "n1", strings.Contains(logs, string(pod.UID)), logs)
			}
		}
	})

	t.Run("a node loses its power and has it again", func(t *testing.T) {
		c.run("node", "poweroff", "n2")
		require.Error(t, c.command("exec", "--", talker, "get", "http://"+pods["n2"][0].Status.PodIP+":8080/").Run())
		c.run("node", "poweron", "n2")
		require.Eventually(t, func() bool {
			on := c.pods()["n2"]
			for _, pod := range on {
				if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].RestartCount == 0 {
					return false
				}
			}
			return len(on) == 2
		}, patience, 200*time.Millisecond, "its pods are started again")
		waitReplicas(t, client, "web", 4)
	})

	t.Run("nodes are added and removed", func(t *testing.T) {
		c.run("node", "add", "n3")
		require.Len(t, c.status().Nodes, 3)
		// The image came with it.
		c.kubectl("run", "late", "--image=talker:dev", `--overrides={"spec":{"nodeName":"n3"}}`)
		c.kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout="+patience.String())
		c.run("node", "remove", "n3")
		require.Len(t, c.status().Nodes, 2)
		require.NoDirExists(t, filepath.Join(c.dir, "nodes", "n3"))
	})

	t.Run("all of it survives a stop", func(t *testing.T) {
		c.run("down")
		require.Equal(t, cluster.Stopped, c.status().Phase)
		c.run("up")
		waitReplicas(t, c.client(), "web", 4)
	})

	t.Run("a lost network is made anew", func(t *testing.T) {
		for _, process := range c.status().Processes {
			if process.Name == node.Gateway {
				require.NoError(t, killProcess(process.PID))
			}
		}
		require.Eventually(t, func() bool { return c.status().Phase == cluster.Degraded }, patience, 50*time.Millisecond)
		c.run("up")
		waitReplicas(t, c.client(), "web", 4)
	})

	t.Run("reset leaves nothing", func(t *testing.T) {
		cgroup := nodeCgroup(t, c.dir, "n1")
		require.NotEmpty(t, cgroupsNamed(t, cgroup))
		c.run("reset")
		require.NoDirExists(t, c.dir)
		require.Empty(t, processesOf(t, c.dir))
		require.Empty(t, cgroupsNamed(t, cgroup))
		mountsAfter, err := os.ReadFile("/proc/self/mountinfo")
		require.NoError(t, err)
		require.Equal(t, string(mountsBefore), string(mountsAfter))
	})
}

func killProcess(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Kill()
}

// nodeCgroup returns the name of a node's cgroup on the host.
func nodeCgroup(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "nodes", name, "settings.json"))
	require.NoError(t, err)
	var settings node.Settings
	require.NoError(t, json.Unmarshal(data, &settings))
	return settings.Cgroup
}

func cgroupsNamed(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
		dirs, err := filepath.Glob(pattern)
		require.NoError(t, err)
		found = append(found, dirs...)
	}
	return found
}

// processesOf returns the command lines of processes that name a folder.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		// A process that has ended meanwhile is none.
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestNodeModeThatCannotRunLeavesNothing(t *testing.T) {
	needBinaries(t)
	t.Setenv("YAGURA_DEVCLUSTER_CNI", t.TempDir()) // Where it could run otherwise.
	dir := filepath.Join(t.TempDir(), "cluster")
	_, _, err := devcluster("up", "--mode", "node", "--dir", dir)
	require.ErrorContains(t, err, "real nodes need")
	require.NoFileExists(t, filepath.Join(dir, "cluster.json"))
	// The folder can still become another cluster's.
	_, _, err = devcluster("status", "--dir", dir)
	require.ErrorContains(t, err, "no cluster here")
}
