//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// TestNode runs the platform as a cluster would: the manifests of deploy/kustomize on
// two real kubelets, and an application whose standard output is looked for.
func TestNode(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("real kubelets need Linux and root, and CI has to have them")
		}
		t.Skip("SKIPPED: real kubelets need Linux and root")
	}
	ctx := t.Context()
	dir := t.TempDir()
	c := startCluster(t, ctx, "node", 2)
	for _, name := range []string{"collector", "query", "autoscaler"} {
		c.loadImage(t, ctx, "yagura/"+name+":dev", binary(t, "yagura-"+name))
	}
	for _, name := range []string{"speaker", "eater"} {
		c.loadImage(t, ctx, "yagura/"+name+":dev", buildApplication(t, ctx, dir, name))
	}
	repo, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, ctx, "apply", "-f", filepath.Join(repo, "deploy", "crds"))
	c.kubectl(t, ctx, "apply", "-k", filepath.Join(repo, "deploy", "kustomize", "dev"))
	c.kubectl(t, ctx, "rollout", "status", "-n", "yagura-system", "statefulset/query", "--timeout", "120s")
	c.kubectl(t, ctx, "rollout", "status", "-n", "yagura-collector", "daemonset/collector", "--timeout", "120s")
	c.kubectl(t, ctx, "rollout", "status", "-n", "yagura-system", "deployment/autoscaler", "--timeout", "120s")

	local := freePorts(t, 1)[0]
	start(t, dir, "port-forward", "devcluster", "kubectl", "--dir", c.dir, "--",
		"port-forward", "-n", "yagura-system", "service/query", local[strings.LastIndex(local, ":")+1:]+":9428")
	n := &nodes{cluster: c, url: "http://" + local}
	eventually(t, "the query service is reached", func() error {
		_, err := request(ctx, "GET", n.url+"/readyz")
		return err
	})
	n.speakers = n.speak(t, ctx)
	t.Run("a line is found with its pod, container, namespace and node", n.lines)
	t.Run("a container's CPU is known each second", n.usage)
	t.Run("a collector that is killed loses and repeats nothing", n.killCollector)
	t.Run("sizes", n.sizes)
}

type nodes struct {
	*cluster
	url      string
	speakers []corev1.Pod // one on each node
}

func (c *cluster) loadImage(t *testing.T, ctx context.Context, name, path string) {
	t.Helper()
	run(t, ctx, "devcluster", "image", "load", "--dir", c.dir, "--name", name, "--binary", path)
}

func buildApplication(t *testing.T, ctx context.Context, dir, name string) string {
	t.Helper()
	out := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "./"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the %s: %v\n%s", name, err, msg)
	}
	return out
}

// speak starts one speaker on each node, by a Deployment that spreads them.
func (n *nodes) speak(t *testing.T, ctx context.Context) []corev1.Pod {
	t.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "speaker"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	n.apply(t, ctx, labels, selector)
	var pods []corev1.Pod
	eventually(t, "a speaker runs on each node", func() error {
		list, err := n.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=speaker"})
		if err != nil {
			return err
		}
		on := map[string]bool{}
		for _, p := range list.Items {
			if p.Status.Phase == corev1.PodRunning {
				on[p.Spec.NodeName] = true
			}
		}
		if len(on) != 2 || len(list.Items) != 2 {
			return fmt.Errorf("%d pods run on %v", len(list.Items), on)
		}
		pods = list.Items
		return nil
	})
	return pods
}

func (n *nodes) apply(t *testing.T, ctx context.Context, labels map[string]string, selector *metav1.LabelSelector) {
	t.Helper()
	_, err := n.kube.AppsV1().Deployments("default").Create(ctx, deployment("speaker", "yagura/speaker:dev", 2, labels, corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To(int64(1)),
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector,
		}},
	}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *nodes) lines(t *testing.T) {
	ctx := t.Context()
	for _, pod := range n.speakers {
		eventually(t, "a line of "+pod.Name, func() error {
			query := fmt.Sprintf(`{pod=%q, namespace="default", container="speaker", node=%q} |= "speaker says"`, pod.Name, pod.Spec.NodeName)
			streams, err := logQL(ctx, n.url, query, 10)
			if err == nil && len(streams) == 0 {
				err = fmt.Errorf("%s finds nothing", query)
			}
			return err
		})
	}
}

func (n *nodes) usage(t *testing.T) {
	ctx := t.Context()
	p := &platform{url: n.url}
	for _, pod := range n.speakers {
		eventually(t, "samples of "+pod.Name+" each second", func() error {
			count, err := p.promQL(ctx, fmt.Sprintf(`count_over_time(container_cpu_usage_seconds_total{namespace="default", pod=%q, container="speaker", node=%q}[20s])`, pod.Name, pod.Spec.NodeName))
			if err == nil && count < 15 {
				err = fmt.Errorf("%.0f samples in 20 s", count)
			}
			return err
		})
	}
	eventually(t, "both nodes report", func() error {
		count, err := p.promQL(ctx, `count(count by (node) (node_cpu_seconds_total))`)
		if err == nil && count != 2 {
			err = fmt.Errorf("%.0f nodes", count)
		}
		return err
	})
}

var spoken = regexp.MustCompile(`^speaker says (\d+)$`)

// killCollector kills each collector's process the hard way (the kubelet starts it
// again) and then looks for every number that the speakers have said since they
// started.
func (n *nodes) killCollector(t *testing.T) {
	ctx := t.Context()
	list, err := n.kube.CoreV1().Pods("yagura-collector").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		if err := n.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for _, pod := range n.speakers {
		eventually(t, "every line of "+pod.Name+" is there once", func() error {
			streams, err := logQL(ctx, n.url, fmt.Sprintf(`{pod=%q, namespace="default"}`, pod.Name), 5000)
			if err != nil {
				return err
			}
			var numbers []int
			newest := int64(0)
			for _, s := range streams {
				for _, v := range s.Values {
					m := spoken.FindStringSubmatch(v[1])
					if m == nil {
						return fmt.Errorf("a line that nobody said: %q", v[1])
					}
					number, _ := strconv.Atoi(m[1])
					numbers = append(numbers, number)
					at, _ := strconv.ParseInt(v[0], 10, 64)
					newest = max(newest, at)
				}
			}
			slices.Sort(numbers)
			for i, number := range numbers {
				if number != i+1 {
					return fmt.Errorf("after %d lines comes number %d: lost or repeated (of %d)", i, number, len(numbers))
				}
			}
			if time.Unix(0, newest).Before(began.Add(5 * time.Second)) {
				return fmt.Errorf("the newest line is of %s, before the collectors were back", time.Unix(0, newest))
			}
			return nil
		})
	}
}
