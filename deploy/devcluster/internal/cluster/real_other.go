//go:build !linux

package cluster

import (
	"context"
	"errors"

	"k8s.io/client-go/kubernetes"
)

// errNotLinux is why node mode is missing on other systems.
var errNotLinux = errors.New("node mode needs Linux: nodes are namespaces of its kernel")

func (c *Cluster) nodeConfig(string, string) (struct{}, error) { return struct{}{}, errNotLinux }

func (c *Cluster) stopNodes(context.Context) error   { return nil }
func (c *Cluster) stopNetwork(context.Context) error { return nil }

func (c *Cluster) upReal(context.Context, State, UpOptions) error { return errNotLinux }

func (c *Cluster) addReal(context.Context, State, kubernetes.Interface, string, NodeSpec, UpOptions) error {
	return errNotLinux
}

func (c *Cluster) removeReal(context.Context, State, kubernetes.Interface, string) error {
	return errNotLinux
}

func (c *Cluster) powerOffReal(context.Context, State, string) error { return errNotLinux }

func (c *Cluster) powerOnReal(context.Context, State, kubernetes.Interface, string, UpOptions) error {
	return errNotLinux
}
