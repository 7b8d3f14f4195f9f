package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/image"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
)

// toolsVariable names a folder with containerd, ctr and runc.
const toolsVariable = "YAGURA_DEVCLUSTER_TOOLS"

func (c *Cluster) nodeConfig(bin, self string) (node.Config, error) {
	if err := node.CheckHost(); err != nil {
		return node.Config{}, err
	}
	tools, err := node.FindTools(os.Getenv(toolsVariable))
	if err != nil {
		return node.Config{}, err
	}
	return node.Config{Dir: c.dir, Bin: bin, Self: self, Tools: tools, Table: c.table}, nil
}

// upReal brings a cluster with real nodes up.
func (c *Cluster) upReal(ctx context.Context, state State, options UpOptions) error {
	config, err := c.nodeConfig(options.Bin, options.Self)
	if err != nil {
		return err
	}
	if err := node.WritePauseImage(config); err != nil {
		return err
	}
	if err := c.retireOldNetwork(ctx, state); err != nil {
		return err
	}
	netNS, err := node.StartGateway(ctx, config, state.Ports.APIServer)
	if err != nil {
		return err
	}
	plane := controlplane.Config{
		Bin: options.Bin, Dir: c.dir, NetNS: netNS, Advertise: node.ControlPlaneAddress,
		// Nobody else listens in the cluster's network.
		Ports: controlplane.Ports{
			APIServer: node.APIServerPort, EtcdClient: 2379, EtcdPeer: 2380, ControllerManager: 10257, Scheduler: 10259,
		},
	}
	specs, credentials, err := controlplane.Setup(plane, c.store)
	if err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(state.Ports.APIServer))
	client, err := c.startControlPlane(ctx, specs, credentials, server)
	if err != nil {
		return err
	}
	if err := allowKubeletAccess(ctx, client); err != nil {
		return err
	}
	var waiting []NodeState
	for _, n := range state.Nodes {
		if !n.Off {
			waiting = append(waiting, n)
		}
	}
	return c.startNodes(ctx, config, credentials.CA, client, waiting)
}

// retireOldNetwork stops everything that is left of a cluster whose gateway has
// died: its network cannot be entered any more.
func (c *Cluster) retireOldNetwork(ctx context.Context, state State) error {
	record, _, err := c.table.Get(node.Gateway)
	if err != nil || record.Alive() {
		return err
	}
	return c.stopAll(ctx)
}

// allowKubeletAccess lets the API server's own user read logs of pods and run
// commands in them.
func allowKubeletAccess(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "devcluster:" + controlplane.KubeletClientUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:kubelet-api-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: controlplane.KubeletClientUser}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("let the API server use kubelets: %w", err)
	}
	return nil
}

// startNodes gives nodes power and waits until they are ready.
func (c *Cluster) startNodes(
	ctx context.Context, config node.Config, ca *pki.Authority, client kubernetes.Interface, nodes []NodeState,
) error {
	began := time.Now()
	for _, n := range nodes {
		if err := c.registerNode(ctx, client, n); err != nil {
			return err
		}
		if err := node.Start(ctx, config, ca, n.Name, n.Index); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		record, _, err := c.table.Get(node.ProcessName(n.Name))
		if err != nil {
			return err
		}
		err = c.table.WaitFor(ctx, []string{node.ProcessName(n.Name)}, func(ctx context.Context) (bool, error) {
			return heardFrom(ctx, client, n.Name, record.Started)
		})
		if err != nil {
			return fmt.Errorf("wait for node %s: %w", n.Name, err)
		}
	}
	c.say("%d nodes ready after another %.1f s.", len(nodes), time.Since(began).Seconds())
	return nil
}

// registerNode creates the node's object with its pods' range, which is not
// for the control plane to choose as the network depends on it.
func (c *Cluster) registerNode(ctx context.Context, client kubernetes.Interface, n NodeState) error {
	pods := node.PodRange(n.Index).String()
	labels := map[string]string{corev1.LabelHostname: n.Name}
	maps.Copy(labels, n.Labels)
	_, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
		Spec:       corev1.NodeSpec{PodCIDR: pods, PodCIDRs: []string{pods}, ProviderID: node.ProviderID(n.Name), Taints: n.Taints},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %s: %w", n.Name, err)
	}
	return nil
}

// heardFrom says whether a node is ready and has said so since a time: one that
// was switched off and on in a moment still counts as ready from before.
func heardFrom(ctx context.Context, client kubernetes.Interface, name string, since time.Time) (bool, error) {
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(since) {
		return false, fmt.Errorf("node %s has not been heard from since it was started", name)
	}
	object, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	return nodeReady(object), fmt.Errorf("node %s is not ready", name)
}

// stopNodes shuts all real nodes down.
func (c *Cluster) stopNodes(ctx context.Context) error {
	state, err := c.State()
	if err != nil || state.Mode != Node {
		return err
	}
	config := node.Config{Dir: c.dir, Table: c.table}
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range state.Nodes {
		group.Go(func() error { return node.ShutDown(ctx, config, n.Name) })
	}
	return group.Wait()
}

// stopNetwork ends the cluster's network, when nothing uses it any more.
func (c *Cluster) stopNetwork(ctx context.Context) error {
	return c.table.Stop(ctx, node.Gateway, time.Second)
}

func (c *Cluster) addReal(ctx context.Context, state State, client kubernetes.Interface, name string, spec NodeSpec, options UpOptions) error {
	if find(state.Nodes, name) >= 0 {
		return fmt.Errorf("add node %s: it exists", name)
	}
	index := 1
	for slices.ContainsFunc(state.Nodes, func(n NodeState) bool { return n.Index == index }) {
		index++
	}
	if index > node.MaxIndex {
		return fmt.Errorf("add node %s: there are %d already", name, node.MaxIndex)
	}
	config, ca, err := c.nodePrerequisites(state, options)
	if err != nil {
		return err
	}
	added := NodeState{Name: name, Index: index, Labels: spec.Labels, Taints: spec.Taints}
	state.Nodes = append(state.Nodes, added)
	if err := saveState(c.dir, state); err != nil {
		return err
	}
	return c.startNodes(ctx, config, ca, client, []NodeState{added})
}

// nodePrerequisites returns what starting a node in a running cluster needs.
func (c *Cluster) nodePrerequisites(state State, options UpOptions) (node.Config, *pki.Authority, error) {
	config, err := c.nodeConfig(state.Bin, options.Self)
	if err != nil {
		return node.Config{}, nil, err
	}
	ca, err := controlplane.Authority(c.store)
	return config, ca, err
}

func (c *Cluster) removeReal(ctx context.Context, state State, client kubernetes.Interface, name string) error {
	i := find(state.Nodes, name)
	if i < 0 {
		return errNoNode(name)
	}
	config := node.Config{Dir: c.dir, Table: c.table}
	if err := node.ShutDown(ctx, config, name); err != nil {
		return err
	}
	err := client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	if err := node.Delete(config, name); err != nil {
		return err
	}
	state.Nodes = slices.Delete(state.Nodes, i, i+1)
	return saveState(c.dir, state)
}

func (c *Cluster) powerOffReal(ctx context.Context, state State, name string) error {
	i := find(state.Nodes, name)
	if i < 0 {
		return errNoNode(name)
	}
	state.Nodes[i].Off = true
	if err := saveState(c.dir, state); err != nil {
		return err
	}
	return node.PowerOff(ctx, node.Config{Dir: c.dir, Table: c.table}, name)
}

func (c *Cluster) powerOnReal(ctx context.Context, state State, client kubernetes.Interface, name string, options UpOptions) error {
	i := find(state.Nodes, name)
	if i < 0 {
		return errNoNode(name)
	}
	config, ca, err := c.nodePrerequisites(state, options)
	if err != nil {
		return err
	}
	state.Nodes[i].Off = false
	if err := saveState(c.dir, state); err != nil {
		return err
	}
	return c.startNodes(ctx, config, ca, client, state.Nodes[i:i+1])
}

// LoadImage gives an image to every node that runs, and to every other one when
// it is started.
func (c *Cluster) LoadImage(ctx context.Context, config image.Config) error {
	return c.change(ctx, func(state State, _ kubernetes.Interface) error {
		if state.Mode != Node {
			return errors.New("load image: simulated nodes run no images")
		}
		nodes, err := c.nodeConfig(state.Bin, "")
		if err != nil {
			return err
		}
		var running []string
		for _, n := range state.Nodes {
			if !n.Off {
				running = append(running, n.Name)
			}
		}
		return node.LoadImage(ctx, nodes, config, running)
	})
}

// Exec replaces this process by a command in the network of the control plane,
// or, if a node is named, in all namespaces of that node.
func (c *Cluster) Exec(nodeName string, argv []string) error {
	state, err := c.State()
	if err != nil {
		return err
	}
	if state.Mode != Node {
		return errors.New("a cluster in fleet mode has no namespaces: run the command as it is")
	}
	if nodeName == "" {
		return node.Exec(c.table, argv)
	}
	if find(state.Nodes, nodeName) < 0 {
		return errNoNode(nodeName)
	}
	return node.ExecInNode(c.table, nodeName, argv)
}

func find(nodes []NodeState, name string) int {
	return slices.IndexFunc(nodes, func(n NodeState) bool { return n.Name == name })
}

func errNoNode(name string) error { return fmt.Errorf("there is no node %s", name) }
