package fleet

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// kwok plays the nodes of its type unless their label says that they have no
// power. Changing it is how a simulated node is powered off: its lease is no longer renewed, and the
// control plane finds out by itself, as with a real one. (By an annotation, as
// kwok is often configured, it would not notice the change.)
const (
	powerLabel = "devcluster.yagura.dev/power"
	powerOn    = "on"
	powerOff   = "off"
)

// Selector selects simulated nodes.
const Selector = "type=kwok"

// parallelCreates is how many nodes are created at once; kwok itself becomes
// the bottleneck beyond it.
const parallelCreates = 16

// Names returns the names of the first n simulated nodes.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("fake-%d", i)
	}
	return names
}

// Node returns the object of a simulated node: 32 CPUs, 256 GiB, 110 pods and
// no taints, in one of three zones that depends on its name alone.
func Node(name string) *corev1.Node {
	zone := fnv.New32a()
	_, _ = zone.Write([]byte(name))
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("32"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				powerLabel:                 powerOn,
				"type":                     "kwok",
				corev1.LabelHostname:       name,
				corev1.LabelOSStable:       "linux",
				corev1.LabelArchStable:     runtime.GOARCH,
				corev1.LabelTopologyRegion: "devcluster",
				corev1.LabelTopologyZone:   fmt.Sprintf("devcluster-%c", 'a'+rune(zone.Sum32()%3)),
			},
			Annotations: map[string]string{
				"metrics.k8s.io/resource-metrics-path": MetricsPath(name),
			},
		},
		Status: corev1.NodeStatus{
			Allocatable: resources,
			Capacity:    resources,
			NodeInfo:    corev1.NodeSystemInfo{Architecture: runtime.GOARCH, OperatingSystem: "linux"},
		},
	}
}

// Create creates the named nodes that do not exist yet.
func Create(ctx context.Context, client kubernetes.Interface, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCreates)
	for _, name := range names {
		group.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(ctx, Node(name), metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create node %s: %w", name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Remove deletes the named nodes. One that does not exist is no error.
func Remove(ctx context.Context, client kubernetes.Interface, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCreates)
	for _, name := range names {
		group.Go(func() error {
			err := client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("remove node %s: %w", name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Takeover deletes the leases of all nodes, so that a kwok that has just been
// started cares for them at once. It would otherwise wait until those of its
// predecessor, which had another identity, have run out.
func Takeover(ctx context.Context, client kubernetes.Interface) error {
	err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("delete leases of nodes: %w", err)
	}
	return nil
}

// SetPower takes a node from kwok's care or gives it back.
func SetPower(ctx context.Context, client kubernetes.Interface, name string, on bool) error {
	value := powerOff
	if on {
		value = powerOn
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, powerLabel, value)
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("set power of node %s: %w", name, err)
	}
	return nil
}

// PoweredOff says whether SetPower has switched a node off.
func PoweredOff(node *corev1.Node) bool { return node.Labels[powerLabel] == powerOff }

// Diff returns what has to be created and removed to get from the existing
// simulated nodes to fake-0 … fake-(n-1). Nodes with other names, added one by
// one, are left alone.
func Diff(existing []string, n int) (create, remove []string) {
	wanted := Names(n)
	for _, name := range wanted {
		if !slices.Contains(existing, name) {
			create = append(create, name)
		}
	}
	for _, name := range existing {
		var index int
		if _, err := fmt.Sscanf(name, "fake-%d", &index); err == nil && name == fmt.Sprintf("fake-%d", index) && index >= n {
			remove = append(remove, name)
		}
	}
	return create, remove
}
