package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/fleet"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
)

// Phase summarizes a cluster.
type Phase string

const (
	// Running means that all processes run and the API server is ready.
	Running Phase = "Running"
	// Degraded means that some of it is missing; "up" repairs it.
	Degraded Phase = "Degraded"
	// Stopped means that nothing runs.
	Stopped Phase = "Stopped"
)

// Status is how a cluster is. It is also the JSON form of "devcluster status".
type Status struct {
	Phase   Phase  `json:"phase"`
	Mode    Mode   `json:"mode"`
	Version string `json:"version"`
	Dir     string `json:"dir"`
	// Server is the API server's URL, for clients on this host.
	Server     string `json:"server"`
	Kubeconfig string `json:"kubeconfig"`
	// ScrapeTargets is the file_sd file of the simulated nodes' metrics; empty
	// in node mode.
	ScrapeTargets string          `json:"scrapeTargets,omitempty"`
	Processes     []ProcessStatus `json:"processes"`
	Nodes         []NodeStatus    `json:"nodes"`
	// Problem is why the API server does not answer; empty if it does,
	// and when the cluster is stopped.
	Problem string `json:"problem,omitempty"`
}

// ProcessStatus is how one process is.
type ProcessStatus struct {
	Name    string    `json:"name"`
	Running bool      `json:"running"`
	PID     int       `json:"pid,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Addresses are the host's addresses that it listens on.
	Addresses []string `json:"addresses,omitempty"`
	Log       string   `json:"log"`
}

// NodeStatus is how one node is.
type NodeStatus struct {
	Name       string `json:"name"`
	Simulated  bool   `json:"simulated"`
	Ready      bool   `json:"ready"`
	PoweredOff bool   `json:"poweredOff"`
	Address    string `json:"address,omitempty"`
}

// Status looks at the cluster.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	state, err := c.State()
	if err != nil {
		return Status{}, err
	}
	status := Status{
		Mode: state.Mode, Version: state.Version, Dir: c.dir, Kubeconfig: c.Kubeconfig(),
		Server: "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(state.Ports.APIServer)),
	}
	if state.Mode == Fleet {
		status.ScrapeTargets = c.ScrapeTargets()
	}
	if status.Processes, err = c.processes(&state); err != nil {
		return Status{}, err
	}
	status.Nodes, err = c.nodes(ctx, &state)
	if err != nil {
		status.Problem = err.Error()
	}
	if status.Phase = phaseOf(status); status.Phase == Stopped {
		status.Problem = "" // That it does not answer says nothing more.
	}
	return status, nil
}

func (c *Cluster) processes(state *State) ([]ProcessStatus, error) {
	names := []string{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler}
	if state.Mode == Fleet {
		names = append(names, fleet.Kwok)
	} else {
		names = append([]string{node.Gateway}, names...)
		for _, n := range state.Nodes {
			names = append(names, node.ProcessName(n.Name))
		}
	}
	owners := c.portOwners(state)
	var result []ProcessStatus
	for _, name := range names {
		record, _, err := c.table.Get(name)
		if err != nil {
			return nil, err
		}
		process := ProcessStatus{Name: name, Running: record.Alive(), Log: c.table.LogFile(name)}
		if process.Running {
			process.PID, process.Started = record.PID, record.Started
			for _, port := range owners[name] {
				process.Addresses = append(process.Addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			}
		}
		result = append(result, process)
	}
	return result, nil
}

func (c *Cluster) nodes(ctx context.Context, state *State) ([]NodeStatus, error) {
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := apiServerReady(ctx, client); err != nil {
		return nil, fmt.Errorf("ask the API server: %w", err)
	}
	nodes, err := listNodes(ctx, client, "")
	if err != nil {
		return nil, err
	}
	result := make([]NodeStatus, 0, len(nodes))
	for i := range nodes {
		object := &nodes[i]
		off := func(n NodeState) bool { return n.Name == object.Name && n.Off }
		status := NodeStatus{
			Name: object.Name, Ready: nodeReady(object), Simulated: object.Labels["type"] == "kwok",
			PoweredOff: fleet.PoweredOff(object) || slices.ContainsFunc(state.Nodes, off),
		}
		for _, address := range object.Status.Addresses {
			if address.Type == "InternalIP" {
				status.Address = address.Address
			}
		}
		result = append(result, status)
	}
	// Names that end in numbers sort by the number: fake-2 before fake-10.
	slices.SortFunc(result, func(a, b NodeStatus) int {
		if d := len(a.Name) - len(b.Name); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return result, nil
}

func phaseOf(status Status) Phase {
	running := 0
	for _, process := range status.Processes {
		if process.Running {
			running++
		}
	}
	off := 0
	for _, n := range status.Nodes {
		if n.PoweredOff && !n.Simulated {
			off++
		}
	}
	switch {
	case running == 0:
		return Stopped
	case running < len(status.Processes)-off || status.Problem != "":
		return Degraded
	default:
		return Running
	}
}
