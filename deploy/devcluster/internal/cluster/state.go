package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/ports"
)

// Mode is the kind of nodes that a cluster has.
type Mode string

const (
	// Fleet has nodes simulated by kwok and needs no privileges.
	Fleet Mode = "fleet"
	// Node has real kubelets in namespaces of their own; Linux and root only.
	Node Mode = "node"
)

// ParseMode returns the mode of this name.
func ParseMode(name string) (Mode, error) {
	switch mode := Mode(name); mode {
	case Fleet, Node:
		return mode, nil
	default:
		return "", fmt.Errorf("mode %q: want fleet or node", name)
	}
}

// State is what a cluster remembers between commands, stored as
// DIR/cluster.json. Its presence marks the folder as a cluster's.
type State struct {
	// Mode never changes.
	Mode Mode `json:"mode"`
	// Version is the Kubernetes release that runs, and Bin the folder of its
	// binaries.
	Version string `json:"version"`
	Bin     string `json:"bin"`
	// Created is when the cluster was first brought up.
	Created time.Time `json:"created"`
	// Ports of 127.0.0.1. In node mode the control plane has a network
	// namespace of its own and only APIServer is a port of the host.
	Ports Ports `json:"ports"`
	// Nodes are the real nodes of node mode, in order of their numbers.
	Nodes []NodeState `json:"nodes,omitempty"`
}

// Ports are the TCP ports of a cluster.
type Ports struct {
	controlplane.Ports
	// Kwok serves the simulated nodes' metrics; 0 in node mode.
	Kwok int `json:"kwok,omitempty"`
}

// NodeState is one real node.
type NodeState struct {
	Name string `json:"name"`
	// Index is the node's number, from 1, from which its addresses follow. It
	// is unique among the cluster's nodes.
	Index int `json:"index"`
	// Off says that the node was powered off and "up" leaves it so.
	Off bool `json:"off,omitempty"`
	// Labels and Taints are those that the node registers with.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
}

func stateFile(dir string) string { return filepath.Join(dir, "cluster.json") }

// loadState returns the state kept in dir; its error wraps fs.ErrNotExist when
// there is no cluster.
func loadState(dir string) (State, error) {
	data, err := os.ReadFile(stateFile(dir))
	if err != nil {
		return State{}, err
	}
	var state State
	if err := json.Unmarshal(data, &state); err != nil {
		return State{}, fmt.Errorf("read %s: %w", stateFile(dir), err)
	}
	return state, nil
}

func saveState(dir string, state State) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := replaceFile(stateFile(dir), append(data, '\n')); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// replaceFile writes a file so that a reader sees the old or the new content.
func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// list returns pointers to all ports that the mode uses on the host.
func (p *Ports) list(mode Mode) []*int {
	if mode == Node {
		return []*int{&p.APIServer}
	}
	return []*int{&p.APIServer, &p.EtcdClient, &p.EtcdPeer, &p.ControllerManager, &p.Scheduler, &p.Kwok}
}

// settle replaces the ports that are unset or, as usable says, cannot be used.
// It reports whether it changed any.
func (p *Ports) settle(mode Mode, usable func(port int) bool) (changed bool, err error) {
	var missing []*int
	var kept []int
	for _, port := range p.list(mode) {
		if *port == 0 || !usable(*port) {
			missing = append(missing, port)
		} else {
			kept = append(kept, *port)
		}
	}
	chosen, err := ports.Choose(len(missing), kept...)
	if err != nil {
		return false, err
	}
	for i, port := range missing {
		*port = chosen[i]
	}
	return len(missing) > 0, nil
}

// notFound says whether err means that there is no cluster in the folder.
func notFound(err error) bool { return errors.Is(err, fs.ErrNotExist) }
