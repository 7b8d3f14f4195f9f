package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/fleet"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/ports"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

// UpOptions say what to bring up.
type UpOptions struct {
	// Mode of a new cluster; empty means fleet for a new cluster and whatever
	// it is for an existing one.
	Mode Mode
	// Nodes is how many nodes there shall be; negative means three simulated or
	// two real ones for a new cluster and as many as there are for an existing
	// one. In node mode it counts for a new cluster only.
	Nodes int
	// Version is the release and Bin the folder of its binaries.
	Version, Bin string
	// Self is the devcluster program, which is the first process of real nodes.
	Self string
}

// Default numbers of nodes.
const (
	defaultFleetNodes = 3
	defaultRealNodes  = 2
)

// Up brings the cluster up, creating it if there is none, and returns when its
// nodes are ready. What runs already is left alone, unless it was started in
// another form (another release, another port). When it fails, what was started
// keeps running; Up can be called again.
func (c *Cluster) Up(ctx context.Context, options UpOptions) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("bring up: %w", err)
	}
	return c.locked(ctx, func() error {
		state, isNew, err := c.prepare(options)
		if err != nil {
			return fmt.Errorf("bring up: %w", err)
		}
		if state.Mode == Node {
			// Before anything is written, so that a folder is not left with half a
			// cluster that cannot run here.
			if _, err := c.nodeConfig(options.Bin, options.Self); err != nil {
				return fmt.Errorf("bring up: %w", err)
			}
		}
		if err := c.settlePorts(ctx, &state); err != nil {
			return fmt.Errorf("bring up: %w", err)
		}
		state.Version, state.Bin = options.Version, options.Bin
		if err := saveState(c.dir, state); err != nil {
			return err
		}
		if state.Mode == Node {
			return c.upReal(ctx, state, options)
		}
		return c.upFleet(ctx, state, options, isNew)
	})
}

// prepare returns the state of the existing cluster, or of a new one, after
// checking that it is what was asked for.
func (c *Cluster) prepare(options UpOptions) (state State, isNew bool, err error) {
	state, err = loadState(c.dir)
	switch {
	case err == nil:
		if options.Mode != "" && options.Mode != state.Mode {
			return State{}, false, fmt.Errorf("%s holds a cluster in %s mode: choose another folder, or reset this one", c.dir, state.Mode)
		}
		return state, false, nil
	case !notFound(err):
		return State{}, false, err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return State{}, false, err
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			return State{}, false, fmt.Errorf("%s holds something else (%s): choose an empty folder", c.dir, entry.Name())
		}
	}
	state = State{Mode: options.Mode, Created: time.Now().UTC().Truncate(time.Second)}
	if state.Mode == "" {
		state.Mode = Fleet
	}
	if state.Mode == Node {
		count := options.Nodes
		if count < 0 {
			count = defaultRealNodes
		}
		for i := range count {
			state.Nodes = append(state.Nodes, NodeState{Name: fmt.Sprintf("n%d", i+1), Index: i + 1})
		}
	}
	return state, true, nil
}

// settlePorts keeps the cluster's ports, except those that somebody else has
// taken while it was down.
func (c *Cluster) settlePorts(ctx context.Context, state *State) error {
	mine := map[int]bool{}
	for name, port := range c.portOwners(state) {
		record, found, err := c.table.Get(name)
		if err != nil {
			return err
		}
		if found && record.Alive() {
			for _, p := range port {
				mine[p] = true
			}
		}
	}
	before := state.Ports
	changed, err := state.Ports.settle(state.Mode, func(port int) bool { return mine[port] || ports.Available(port) })
	if err != nil {
		return err
	}
	if changed && before.APIServer != 0 {
		// Each process knows some of the others' ports.
		c.say("A port of this cluster has been taken by another program; choosing others.")
		return c.stopAll(ctx)
	}
	return nil
}

// portOwners returns which process listens on which ports of the host.
func (c *Cluster) portOwners(state *State) map[string][]int {
	if state.Mode == Node {
		return map[string][]int{node.Gateway: {state.Ports.APIServer}}
	}
	return map[string][]int{
		controlplane.Etcd:              {state.Ports.EtcdClient, state.Ports.EtcdPeer},
		controlplane.APIServer:         {state.Ports.APIServer},
		controlplane.ControllerManager: {state.Ports.ControllerManager},
		controlplane.Scheduler:         {state.Ports.Scheduler},
		fleet.Kwok:                     {state.Ports.Kwok},
	}
}

func (c *Cluster) upFleet(ctx context.Context, state State, options UpOptions, isNew bool) error {
	config := controlplane.Config{
		Bin: options.Bin, Dir: c.dir, Ports: state.Ports.Ports, PodCIDR: fleet.PodCIDR,
	}
	specs, credentials, err := controlplane.Setup(config, c.store)
	if err != nil {
		return err
	}
	kwok, err := fleet.Setup(fleet.Config{
		Bin: options.Bin, Dir: c.dir, Port: state.Ports.Kwok, Server: config.Server(),
	}, c.store, credentials.CA)
	if err != nil {
		return err
	}
	client, err := c.startControlPlane(ctx, specs, credentials, config.Server())
	if err != nil {
		return err
	}
	if err := c.startKwok(ctx, client, kwok); err != nil {
		return err
	}

	existing, err := c.simulatedNodes(ctx, client)
	if err != nil {
		return err
	}
	count := options.Nodes
	if isNew && count < 0 {
		count = defaultFleetNodes
	}
	if count >= 0 {
		create, remove := fleet.Diff(existing, count)
		if err := fleet.Create(ctx, client, create); err != nil {
			return err
		}
		if err := fleet.Remove(ctx, client, remove); err != nil {
			return err
		}
	}
	if err := c.writeScrapeTargets(ctx, client, state); err != nil {
		return err
	}
	return c.waitNodes(ctx, client)
}

// startKwok starts kwok unless it runs.
func (c *Cluster) startKwok(ctx context.Context, client kubernetes.Interface, kwok process.Spec) error {
	runs, err := c.table.Runs(kwok)
	if runs || err != nil {
		return err
	}
	if err := c.table.Stop(ctx, fleet.Kwok, stopGrace); err != nil {
		return err
	}
	if err := fleet.Takeover(ctx, client); err != nil {
		return err
	}
	_, err = c.table.Start(kwok)
	return err
}

// startControlPlane starts the processes, writes the administrator's kubeconfig
// for an API server that the host reaches at the given URL, and waits until
// pods can be created.
func (c *Cluster) startControlPlane(
	ctx context.Context, specs []process.Spec, credentials controlplane.Credentials, server string,
) (kubernetes.Interface, error) {
	started := time.Now()
	if err := pki.WriteKubeconfig(c.Kubeconfig(), "devcluster", server, credentials.CA, credentials.Admin); err != nil {
		return nil, err
	}
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	var running []string
	ensure := func(specs ...process.Spec) error {
		for _, spec := range specs {
			if _, err := c.table.Ensure(ctx, spec); err != nil {
				return err
			}
			running = append(running, spec.Name)
		}
		return nil
	}
	// The controllers give up when there is no API server for ten seconds.
	if err := ensure(specs[:2]...); err != nil {
		return nil, err
	}
	if err := c.table.WaitFor(ctx, running, func(ctx context.Context) (bool, error) { return apiServerReady(ctx, client) }); err != nil {
		return nil, fmt.Errorf("wait for the API server: %w", err)
	}
	c.say("API server ready at %s after %.1f s.", server, time.Since(started).Seconds())
	if err := ensure(specs[2:]...); err != nil {
		return nil, err
	}
	err = c.table.WaitFor(ctx, running, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, errors.New("the default service account does not exist yet")
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the controllers: %w", err)
	}
	return client, nil
}

// apiServerReady asks /readyz; the error says what is not ready yet.
func apiServerReady(ctx context.Context, client kubernetes.Interface) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := client.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	var refused *url.Error
	if errors.As(err, &refused) {
		return false, refused.Err
	}
	return err == nil && string(answer) == "ok", err
}

// waitNodes waits until every node that is not powered off is ready.
func (c *Cluster) waitNodes(ctx context.Context, client kubernetes.Interface) error {
	started := time.Now()
	total := 0
	var playing []string
	if _, found, _ := c.table.Get(fleet.Kwok); found {
		playing = []string{fleet.Kwok}
	}
	err := c.table.WaitFor(ctx, playing, func(ctx context.Context) (bool, error) {
		nodes, err := listNodes(ctx, client, "")
		if err != nil {
			return false, err
		}
		ready, off := 0, 0
		for i := range nodes {
			switch {
			case fleet.PoweredOff(&nodes[i]):
				off++
			case nodeReady(&nodes[i]):
				ready++
			}
		}
		total = len(nodes) - off
		return ready == total, fmt.Errorf("%d of %d nodes are ready", ready, total)
	})
	if err != nil {
		return fmt.Errorf("wait for nodes: %w", err)
	}
	c.say("%d nodes ready after another %.1f s.", total, time.Since(started).Seconds())
	return nil
}

// simulatedNodes returns the names of the simulated nodes.
func (c *Cluster) simulatedNodes(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	nodes, err := listNodes(ctx, client, fleet.Selector)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return names, nil
}

func (c *Cluster) writeScrapeTargets(ctx context.Context, client kubernetes.Interface, state State) error {
	names, err := c.simulatedNodes(ctx, client)
	if err != nil {
		return err
	}
	data, err := fleet.ScrapeTargets(state.Ports.Kwok, names)
	if err != nil {
		return err
	}
	if err := replaceFile(c.ScrapeTargets(), data); err != nil {
		return fmt.Errorf("write scrape targets: %w", err)
	}
	return nil
}
