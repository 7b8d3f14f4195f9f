package cluster

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/fleet"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
)

// NodeSpec is what a node registers with.
type NodeSpec struct {
	Labels map[string]string
	Taints []corev1.Taint
}

// AddNode adds a node to the running cluster and waits until it is ready.
func (c *Cluster) AddNode(ctx context.Context, name string, spec NodeSpec, options UpOptions) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return fmt.Errorf("add node %q: %s", name, problems[0])
	}
	return c.change(ctx, func(state State, client kubernetes.Interface) error {
		if state.Mode == Node {
			return c.addReal(ctx, state, client, name, spec, options)
		}
		_, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("add node %s: it exists", name)
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("add node %s: %w", name, err)
		}
		object := fleet.Node(name)
		maps.Copy(object.Labels, spec.Labels)
		object.Spec.Taints, object.Spec.ProviderID = spec.Taints, node.ProviderID(name)
		if _, err := client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("add node %s: %w", name, err)
		}
		if err := c.writeScrapeTargets(ctx, client, state); err != nil {
			return err
		}
		return c.waitNode(ctx, client, name)
	})
}

// RemoveNode removes a node for good, with its disk if it is a real one.
func (c *Cluster) RemoveNode(ctx context.Context, name string) error {
	return c.change(ctx, func(state State, client kubernetes.Interface) error {
		if state.Mode == Node {
			return c.removeReal(ctx, state, client, name)
		}
		if err := c.mustBeSimulated(ctx, client, name); err != nil {
			return err
		}
		if err := fleet.Remove(ctx, client, []string{name}); err != nil {
			return err
		}
		return c.writeScrapeTargets(ctx, client, state)
	})
}

// PowerOff takes a node's power away. The control plane is not told; it finds
// out when the node's lease runs out.
func (c *Cluster) PowerOff(ctx context.Context, name string) error {
	return c.change(ctx, func(state State, client kubernetes.Interface) error {
		if state.Mode == Node {
			return c.powerOffReal(ctx, state, name)
		}
		if err := c.mustBeSimulated(ctx, client, name); err != nil {
			return err
		}
		return fleet.SetPower(ctx, client, name, false)
	})
}

// PowerOn starts a node that was powered off and waits until it is ready.
func (c *Cluster) PowerOn(ctx context.Context, name string, options UpOptions) error {
	return c.change(ctx, func(state State, client kubernetes.Interface) error {
		if state.Mode == Node {
			return c.powerOnReal(ctx, state, client, name, options)
		}
		if err := c.mustBeSimulated(ctx, client, name); err != nil {
			return err
		}
		if err := fleet.SetPower(ctx, client, name, true); err != nil {
			return err
		}
		return c.waitNode(ctx, client, name)
	})
}

// change runs work on the running cluster while other commands wait.
func (c *Cluster) change(ctx context.Context, work func(State, kubernetes.Interface) error) error {
	if _, err := c.State(); err != nil {
		return err
	}
	return c.locked(ctx, func() error {
		state, err := c.State()
		if err != nil {
			return err
		}
		client, err := c.Client()
		if err != nil {
			return err
		}
		return work(state, client)
	})
}

func (c *Cluster) mustBeSimulated(ctx context.Context, client kubernetes.Interface, name string) error {
	object, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find node %s: %w", name, err)
	}
	if object.Labels["type"] != "kwok" {
		return fmt.Errorf("node %s is not one of this command's: it has no label type=kwok", name)
	}
	return nil
}

// waitNode waits until pods can be scheduled to a node.
func (c *Cluster) waitNode(ctx context.Context, client kubernetes.Interface, name string) error {
	err := c.table.WaitFor(ctx, nil, func(ctx context.Context) (bool, error) {
		object, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return nodeReady(object), fmt.Errorf("node %s is not ready", name)
	})
	if err != nil {
		return fmt.Errorf("wait for node: %w", err)
	}
	return nil
}
