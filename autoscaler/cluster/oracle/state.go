package oracle

import (
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Namespaces are those of cases.
func Namespaces() []*corev1.Namespace {
	var all []*corev1.Namespace
	for _, n := range []struct{ name, team string }{{NamespaceA, "a"}, {NamespaceB, "b"}, {NamespaceAgents, "c"}} {
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{"team": n.team, corev1.LabelMetadataName: n.name}}})
	}
	return all
}

// PriorityClasses are those of cases.
func PriorityClasses() []*schedulingv1.PriorityClass {
	never := corev1.PreemptNever
	return []*schedulingv1.PriorityClass{
		{ObjectMeta: metav1.ObjectMeta{Name: High}, Value: 1000},
		{ObjectMeta: metav1.ObjectMeta{Name: Polite}, Value: 1000, PreemptionPolicy: &never},
		{ObjectMeta: metav1.ObjectMeta{Name: Low}, Value: -10},
	}
}

// SandboxedClass is the RuntimeClass of cases.
func SandboxedClass() *nodev1.RuntimeClass {
	return &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: Sandboxed}, Handler: "sandboxed",
		Overhead:   &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("120Mi")}},
		Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"runtimes": "sandboxed"}},
	}
}

// CSINode is what limits the volumes of Driver on a node.
func CSINode(name string, limit int32) *storagev1.CSINode {
	return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{
		Drivers: []storagev1.CSINodeDriver{{Name: Driver, NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: &limit}}}}}
}

// Sold are the case's offers with the bounds that nodes have.
func (c *Case) Sold() []cluster.Offer {
	offers := slices.Clone(c.Offers)
	for i := range offers {
		if c.Storage.Limit > 0 {
			offers[i].AttachLimits = map[string]int32{Driver: c.Storage.Limit}
		}
	}
	return offers
}

// Surroundings are the objects that a case has besides nodes and pods, what belongs to the nodes given included.
func (c *Case) Surroundings(nodes []*corev1.Node) []any {
	var objects []any
	for _, n := range Namespaces() {
		objects = append(objects, n)
	}
	for _, p := range PriorityClasses() {
		objects = append(objects, p)
	}
	for _, v := range c.Storage.Volumes {
		objects = append(objects, v)
	}
	for _, v := range c.Storage.Claims {
		objects = append(objects, v)
	}
	for _, d := range c.DaemonSets {
		objects = append(objects, d)
	}
	for _, g := range c.Gangs {
		objects = append(objects, g)
	}
	if len(c.Devices) > 0 {
		class, templates := DeviceClass()
		objects = append(objects, class)
		for _, t := range templates {
			objects = append(objects, t)
		}
	}
	for _, n := range nodes {
		if c.Storage.Limit > 0 {
			objects = append(objects, CSINode(n.Name, c.Storage.Limit))
		}
		if s := c.Slice(n.Labels[corev1.LabelInstanceTypeStable], n.Name); s != nil {
			objects = append(objects, s)
		}
	}
	return objects
}

// State is what the planner is told: nodes, pods, what may be bought under the policy, and further objects.
func (c *Case) State(policy cluster.Policy, nodes []*corev1.Node, pods []*corev1.Pod, further ...any) (*cluster.State, error) {
	s := cluster.NewState()
	s.SetTime(time.Now())
	for _, n := range nodes {
		s.SetNode(cluster.Node{Node: n})
	}
	objects := append(c.Surroundings(nodes), further...)
	for _, p := range pods {
		objects = append(objects, p)
	}
	for _, o := range objects {
		if err := s.Upsert(o); err != nil && !errors.Is(err, cluster.ErrUnknownKind) {
			return nil, err
		}
	}
	s.SetPolicies([]cluster.Policy{policy})
	s.SetOffers(c.Sold())
	return s, nil
}
