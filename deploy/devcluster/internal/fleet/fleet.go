// Package fleet simulates nodes with kwok: Node objects that nobody's machine
// stands behind, on which pods become ready at once and report whatever usage
// their annotations say.
//
// A pod's usage is set by the annotations kwok.x-k8s.io/usage-cpu and
// kwok.x-k8s.io/usage-memory (quantities; 1m and 1Mi without them) and served,
// in the form of a kubelet's /metrics/resource, for each node on the path
// returned by MetricsPath. Its counters begin with the first scrape.
//
// It imports pki and process; cluster imports it.
package fleet

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	metricsresource "sigs.k8s.io/kwok/kustomize/metrics/resource"
	metricsusage "sigs.k8s.io/kwok/kustomize/metrics/usage"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

// Kwok is the name of the process that plays the nodes.
const Kwok = "kwok"

// PodCIDR is the range from which simulated nodes are given /24 pod ranges,
// enough for 4,096 nodes. Nothing routes it.
const PodCIDR = "10.240.0.0/12"

// Config describes the simulation of one cluster.
type Config struct {
	// Bin is the folder with the programs.
	Bin string
	// Dir is the cluster's folder.
	Dir string
	// Port of 127.0.0.1 on which kwok serves metrics, HTTP and HTTPS.
	Port int
	// Server is the URL of the API server.
	Server string
}

// Setup writes kwok's configuration, certificates and kubeconfig, and returns
// the process to run.
func Setup(c Config, store pki.Store, ca *pki.Authority) (process.Spec, error) {
	client, err := store.Issue(ca, pki.Leaf{
		Name: "kwok", CommonName: "kwok", Organizations: []string{"system:masters"},
		Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return process.Spec{}, fmt.Errorf("set up kwok: %w", err)
	}
	serving, err := store.Issue(ca, pki.Leaf{
		Name: "kwok-server", CommonName: "kwok",
		DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return process.Spec{}, fmt.Errorf("set up kwok: %w", err)
	}
	kubeconfig := filepath.Join(c.Dir, "pki", "kwok.kubeconfig")
	if err := pki.WriteKubeconfig(kubeconfig, "devcluster", c.Server, ca, client); err != nil {
		return process.Spec{}, fmt.Errorf("set up kwok: %w", err)
	}
	config, err := configuration(c.Port, serving)
	if err != nil {
		return process.Spec{}, fmt.Errorf("set up kwok: %w", err)
	}
	configFile := filepath.Join(c.Dir, "kwok.yaml")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		return process.Spec{}, fmt.Errorf("set up kwok: %w", err)
	}
	return process.Spec{
		Name: Kwok,
		Path: filepath.Join(c.Bin, Kwok),
		// At the default verbosity each renewal of each lease is a line.
		Args: []string{"--kubeconfig=" + kubeconfig, "--config=" + configFile, "--v=WARN"},
		// kwok also reads a file in the user's home; it must not change a cluster.
		Env: []string{"HOME=" + c.Dir, "KWOK_WORKDIR=" + filepath.Join(c.Dir, "kwok")},
	}, nil
}

// configuration returns kwok's configuration file: its options, and the
// behaviour of nodes and pods that kwok publishes for use with real schedulers.
func configuration(port int, serving pki.Pair) ([]byte, error) {
	options, err := yaml.Marshal(map[string]any{
		"apiVersion": "config.kwok.x-k8s.io/v1alpha1",
		"kind":       "KwokConfiguration",
		"options": map[string]any{
			"manageAllNodes":                  false,
			"manageNodesWithLabelSelector":    Selector + "," + powerLabel + "!=" + powerOff,
			"nodeIP":                          "127.0.0.1",
			"nodePort":                        port,
			"serverAddress":                   address(port),
			"tlsCertFile":                     serving.CertFile,
			"tlsPrivateKeyFile":               serving.KeyFile,
			"cidr":                            PodCIDR,
			"nodeLeaseDurationSeconds":        40,
			"nodeLeaseParallelism":            4,
			"podPlayStageParallelism":         4,
			"nodePlayStageParallelism":        4,
			"enablePodsOnNodeSyncStreamWatch": true,
		},
	})
	if err != nil {
		return nil, err
	}
	metrics, err := resourceMetrics()
	if err != nil {
		return nil, err
	}
	return []byte(strings.Join([]string{
		string(options),
		nodefast.DefaultNodeInit,
		nodeheartbeat.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady,
		podfast.DefaultPodComplete,
		podfast.DefaultPodDelete,
		metrics,
		metricsusage.DefaultUsageFromAnnotation,
	}, "\n---\n")), nil
}

// resourceMetrics returns kwok's description of a kubelet's resource metrics,
// with the start time of a container as a time: kwok gives it as an age, which
// would make every container look newly started to whoever skips those.
func resourceMetrics() (string, error) {
	const age, start = "'pod.SinceSecond()'", "'UnixSecond(pod.metadata.creationTimestamp)'"
	if !strings.Contains(metricsresource.DefaultMetricsResource, age) {
		return "", errors.New("kwok's resource metrics have changed: container_start_time_seconds is not an age any more")
	}
	return strings.ReplaceAll(metricsresource.DefaultMetricsResource, age, start), nil
}

// MetricsPath returns the path of a node's resource metrics on kwok's port.
func MetricsPath(node string) string { return "/metrics/nodes/" + node + "/metrics/resource" }

// targetGroup is one element of a Prometheus file_sd file.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// ScrapeTargets returns the content of a Prometheus file_sd file (JSON) that
// names every node's metrics, over plain HTTP on loopback. The label node is
// the node's name; the metrics themselves carry namespace, pod and container.
func ScrapeTargets(port int, nodes []string) ([]byte, error) {
	groups := make([]targetGroup, 0, len(nodes))
	for _, node := range nodes {
		groups = append(groups, targetGroup{
			Targets: []string{address(port)},
			Labels: map[string]string{
				"__scheme__":       "http",
				"__metrics_path__": MetricsPath(node),
				"job":              "kwok",
				"node":             node,
			},
		})
	}
	data, err := json.MarshalIndent(groups, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode scrape targets: %w", err)
	}
	return append(data, '\n'), nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
