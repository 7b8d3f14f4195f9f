// Package cluster brings a cluster up and down and tells how it is. Everything
// that belongs to a cluster is in one folder:
//
//	cluster.json   mode, ports, nodes; marks the folder as a cluster's
//	kubeconfig     for the administrator
//	scrape.json    Prometheus file_sd targets of the simulated nodes' metrics
//	etcd/          what the API server stores
//	pki/           certificates, keys and the components' kubeconfigs
//	run/, log/     what runs, and what it says
//	nodes/         the real nodes' disks (node mode)
//	lock           makes commands take turns
//
// It imports controlplane, fleet, node, pki, ports, process and filelock; the
// command imports it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/filelock"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/fleet"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

// ErrNoCluster means that the folder holds no cluster.
var ErrNoCluster = errors.New("no cluster here; run devcluster up first")

// Grace periods of a stop. The API server ends its watches, etcd writes.
const stopGrace = 15 * time.Second

// Cluster is the cluster of one folder. Its methods make other processes take
// turns, but one Cluster must not be used concurrently.
type Cluster struct {
	dir   string
	table process.Table
	store pki.Store
	out   io.Writer
}

// New returns the cluster of a folder, which need not exist yet. Progress is
// written to out in lines; nil discards it.
func New(dir string, out io.Writer) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find folder: %w", err)
	}
	if out == nil {
		out = io.Discard
	}
	return &Cluster{
		dir:   dir,
		table: process.NewTable(dir),
		store: pki.NewStore(filepath.Join(dir, "pki"), nil),
		out:   out,
	}, nil
}

// Dir returns the cluster's folder.
func (c *Cluster) Dir() string { return c.dir }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// ScrapeTargets returns the path of the Prometheus file_sd file that names the
// simulated nodes' metrics.
func (c *Cluster) ScrapeTargets() string { return filepath.Join(c.dir, "scrape.json") }

// State returns what the cluster remembers, or ErrNoCluster.
func (c *Cluster) State() (State, error) {
	state, err := loadState(c.dir)
	if notFound(err) {
		return State{}, fmt.Errorf("%s: %w", c.dir, ErrNoCluster)
	}
	return state, err
}

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\n", args...)
}

// locked runs work while other commands on the same folder wait.
func (c *Cluster) locked(ctx context.Context, work func() error) error {
	release, err := filelock.Acquire(ctx, filepath.Join(c.dir, "lock"), func() {
		c.say("Waiting for another command on %s.", c.dir)
	})
	if err != nil {
		return err
	}
	defer release()
	return work()
}

// Down stops everything that runs and keeps the data. Stopping a cluster that
// does not run is no error.
func (c *Cluster) Down(ctx context.Context) error {
	if _, err := c.State(); err != nil {
		return err
	}
	return c.locked(ctx, func() error { return c.stopAll(ctx) })
}

// Reset stops everything and deletes the cluster with all its data. It refuses
// a folder that is not a cluster's; a missing one is no error.
func (c *Cluster) Reset(ctx context.Context) error {
	entries, err := os.ReadDir(c.dir)
	if notFound(err) || (err == nil && len(entries) == 0) {
		return nil
	}
	if _, err := c.State(); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return c.locked(ctx, func() error {
		if err := c.stopAll(ctx); err != nil {
			return err
		}
		// The mark goes last, so that a reset that was interrupted can be repeated.
		for _, entry := range entries {
			if entry.Name() == filepath.Base(stateFile(c.dir)) || entry.Name() == "lock" {
				continue
			}
			if err := os.RemoveAll(filepath.Join(c.dir, entry.Name())); err != nil {
				return fmt.Errorf("reset: %w", err)
			}
		}
		if err := os.RemoveAll(c.dir); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		return nil
	})
}

// stopAll stops dependents before what they depend on.
func (c *Cluster) stopAll(ctx context.Context) error {
	if err := c.stopNodes(ctx); err != nil {
		return err
	}
	for _, name := range []string{
		fleet.Kwok, controlplane.Scheduler, controlplane.ControllerManager, controlplane.APIServer, controlplane.Etcd,
	} {
		if err := c.table.Stop(ctx, name, stopGrace); err != nil {
			return err
		}
	}
	return c.stopNetwork(ctx)
}

// Client returns a client with the administrator's rights.
func (c *Cluster) Client() (kubernetes.Interface, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return client, nil
}

func (c *Cluster) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "devcluster"
	return config, nil
}

// listNodes returns all nodes that match a label selector.
func listNodes(ctx context.Context, client kubernetes.Interface, selector string) ([]corev1.Node, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return list.Items, nil
}

// nodeReady says whether pods can be scheduled to a node.
func nodeReady(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
