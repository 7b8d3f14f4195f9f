package cluster

import (
	"context"
	"errors"

	"k8s.io/client-go/kubernetes"
)

const gatewayName = "gateway"

func nodeProcess(name string) string { return "node-" + name }

var errReal = errors.New("node mode: not yet")

func (c *Cluster) stopNodes(context.Context) error   { return nil }
func (c *Cluster) stopNetwork(context.Context) error { return nil }
func (c *Cluster) upReal(context.Context, State, UpOptions) error {
	return errReal
}
func (c *Cluster) addReal(context.Context, State, kubernetes.Interface, string, UpOptions) error {
	return errReal
}
func (c *Cluster) removeReal(context.Context, State, kubernetes.Interface, string) error {
	return errReal
}
func (c *Cluster) powerOffReal(context.Context, State, string) error { return errReal }
func (c *Cluster) powerOnReal(context.Context, State, kubernetes.Interface, string, UpOptions) error {
	return errReal
}
