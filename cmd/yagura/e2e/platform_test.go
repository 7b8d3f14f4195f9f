//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

// cluster is a running development cluster.
type cluster struct {
	dir, kubeconfig string
	rest            *rest.Config
	kube            kubernetes.Interface
	dynamic         dynamic.Interface
}

// startCluster brings a development cluster up and wipes it when the test ends.
func startCluster(t *testing.T, ctx context.Context, mode string, nodes int) *cluster {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log", "*.log"))
			for _, log := range logs {
				t.Logf("the end of %s:\n%s", log, tail(log, 15))
			}
		}
		if out, err := try(t, context.Background(), "devcluster", "reset", "--dir", dir); err != nil {
			t.Errorf("cluster not removed: %v\n%s", err, out)
		}
	})
	run(t, ctx, "devcluster", "up", "--mode", mode, "--nodes", strconv.Itoa(nodes), "--dir", dir)
	c := &cluster{dir: dir, kubeconfig: strings.TrimSpace(run(t, ctx, "devcluster", "kubeconfig", "--dir", dir))}
	var err error
	if c.rest, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.rest.QPS, c.rest.Burst = 100, 200
	if c.kube, err = kubernetes.NewForConfig(c.rest); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.rest); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) kubectl(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	return run(t, ctx, "devcluster", append([]string{"kubectl", "--dir", c.dir, "--"}, args...)...)
}

// platform is a running `yagura up`.
type platform struct {
	*process
	dir, url, otlp, config string
	args                   []string
}

// startPlatform runs collector and query service; kubeconfig may be empty.
func startPlatform(t *testing.T, ctx context.Context, dir, kubeconfig, config string) *platform {
	t.Helper()
	ports := freePorts(t, 3)
	p := &platform{dir: dir, url: "http://" + ports[0], otlp: ports[1], config: filepath.Join(dir, "yagura.yaml")}
	if err := os.WriteFile(p.config, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p.args = []string{
		"up", "--data", filepath.Join(dir, "data"), "--config", p.config,
		"--http", ports[0], "--otlp-grpc", ports[1], "--otlp-http", ports[2], "--log-level", "debug",
	}
	if kubeconfig != "" {
		p.args = append(p.args, "--kubeconfig", kubeconfig)
	}
	p.launch(t, ctx)
	return p
}

func (p *platform) launch(t *testing.T, ctx context.Context) {
	t.Helper()
	p.process = start(t, p.dir, "yagura-up", "yagura", p.args...)
	eventually(t, "the platform is ready", func() error {
		_, err := request(ctx, "GET", p.url+"/readyz")
		return err
	})
}

// fleetConfig scrapes the simulated kubelets of a cluster.
func fleetConfig(c *cluster) string {
	return fmt.Sprintf(`
collector:
  scrape:
    configs:
    - job_name: kubelet
      scrape_interval: 2s
      scrape_timeout: 2s
      honor_labels: true
      file_sd_configs: [{files: [%q], refresh_interval: 5s}]
`, filepath.Join(c.dir, "scrape.json"))
}

// promQL returns the value of the query's only series.
func (p *platform) promQL(ctx context.Context, query string) (float64, error) {
	body, err := request(ctx, "GET", p.url+"/prometheus/api/v1/query?query="+url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) != 1 {
		return 0, fmt.Errorf("%s: %d series", query, len(answer.Data.Result))
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return strconv.ParseFloat(text, 64)
}

// stream is one stream of a LogQL answer, newest line first.
type stream struct {
	Labels map[string]string `json:"stream"`
	Values [][2]string       `json:"values"`
}

// logQL returns the newest lines of the last hour.
func (p *platform) logQL(ctx context.Context, query string, limit int) ([]stream, error) {
	return logQL(ctx, p.url, query, limit)
}

func logQL(ctx context.Context, base, query string, limit int) ([]stream, error) {
	now := time.Now()
	body, err := request(ctx, "GET", base+"/loki/api/v1/query_range?"+url.Values{
		"query": {query}, "limit": {strconv.Itoa(limit)}, "direction": {"backward"},
		"start": {strconv.FormatInt(now.Add(-time.Hour).UnixNano(), 10)}, "end": {strconv.FormatInt(now.UnixNano(), 10)},
	}.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []stream `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	return answer.Data.Result, nil
}

// record is the part of a decision record that the tests look at.
type record struct {
	Namespace, Name, Outcome, Reason string
	CurrentReplicas, DesiredReplicas int32
	Time                             time.Time
}

// lastRecord reads an autoscaler's newest decision on replicas from the platform's logs.
func (p *platform) lastRecord(ctx context.Context, name string) (record, error) {
	streams, err := p.logQL(ctx, fmt.Sprintf(`{service_name="yagura-autoscaler"} | json | name=%q | direction=""`, name), 50)
	if err != nil {
		return record{}, err
	}
	var newest [2]string
	for _, s := range streams {
		for _, v := range s.Values {
			if v[0] > newest[0] {
				newest = v
			}
		}
	}
	if newest[1] == "" {
		return record{}, fmt.Errorf("no decision record of %s", name)
	}
	var r record
	if err := json.Unmarshal([]byte(newest[1]), &r); err != nil {
		return record{}, fmt.Errorf("decision record %q: %w", newest[1], err)
	}
	return r, nil
}

// shopControl is the demo's own HTTP interface.
type shopControl struct{ url string }

// startShop runs the demo shop against the cluster and the platform.
func startShop(t *testing.T, ctx context.Context, c *cluster, p *platform) shopControl {
	t.Helper()
	control := freePorts(t, 1)[0]
	start(t, p.dir, "shop", "yagura-demo", "shop", "--kubeconfig", c.kubeconfig, "--otlp", p.otlp, "--control", control)
	s := shopControl{url: "http://" + control}
	eventually(t, "the shop is up", func() error {
		_, err := request(ctx, "GET", s.url+"/state")
		return err
	})
	return s
}

func (s shopControl) do(t *testing.T, ctx context.Context, method, path string) {
	t.Helper()
	if _, err := request(ctx, method, s.url+path); err != nil {
		t.Fatal(err)
	}
}

func (s shopControl) load(t *testing.T, ctx context.Context, rps int) {
	t.Helper()
	s.do(t, ctx, "PUT", "/load?rps="+strconv.Itoa(rps))
}

// deployment is one of a single container that is named as the deployment.
func deployment(name, image string, replicas int32, labels map[string]string, spec corev1.PodSpec) *appsv1.Deployment {
	spec.Containers = []corev1.Container{{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent}}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}
