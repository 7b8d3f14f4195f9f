package oracle

import (
	"fmt"
	"maps"
	"math/rand/v2"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Names that cases share. They are made once.
const (
	NamespaceA, NamespaceB = "oracle-a", "oracle-b"
	// NamespaceAgents is where DaemonSets are.
	NamespaceAgents = "oracle-agents"
	// CapacityType is the label of offers' contracts.
	CapacityType = "karpenter.sh/capacity-type"
	// GPU is an extended resource that some shapes have.
	GPU = "example.com/gpu"
	// Sandboxed is a RuntimeClass with overhead and a node selector.
	Sandboxed = "oracle-sandboxed"
	// High, Polite (as high, but it preempts nobody) and Low are PriorityClasses.
	High, Polite, Low = "oracle-high", "oracle-polite", "oracle-low"
)

// Case is a small cluster with pods that wait.
type Case struct {
	Seed  uint64
	Nodes []*corev1.Node
	// Bound pods run on Nodes. Pending ones wait.
	Bound, Pending []*corev1.Pod
	Offers         []cluster.Offer
	Storage        Storage
	// Policy is the one that all offers are under, and how much it lets buy.
	Policy cluster.Policy
	// Gangs are PodGroups of the coscheduling plugin, which the scheduler does not know: to it their pods stand alone.
	Gangs      []*unstructured.Unstructured
	DaemonSets []*appsv1.DaemonSet
	// Devices is how many devices nodes of a shape have, by the shape's name.
	Devices map[string]int
	// Features are the constraints that it has, for the summary of a run.
	Features map[string]bool
}

// generator draws a case.
type generator struct {
	*rand.Rand
	// also draws what came to the corpus later, so that the rest of a case stays as it was.
	also  *generator
	c     *Case
	zones []string
	apps  []string
}

// Generate returns the case of a seed.
func Generate(seed uint64) *Case {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x79616775)), c: &Case{Seed: seed, Features: map[string]bool{}}}
	g.zones = []string{"zone-a", "zone-b", "zone-c"}[:1+g.IntN(3)]
	g.apps = []string{"web", "api", "db"}
	g.also = &generator{Rand: rand.New(rand.NewPCG(seed, 0x616c736f)), c: g.c, zones: g.zones, apps: g.apps}
	shapes := g.offers()
	g.also.devices()
	g.nodes(shapes)
	for range 1 + g.IntN(4) {
		g.workload()
	}
	g.also.gang()
	g.also.limits()
	g.also.agents()
	return g.c
}

// once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

// with draws whether a case has a feature, and notes it.
func (g *generator) with(feature string, n int) bool {
	if !g.one(n) {
		return false
	}
	g.c.Features[feature] = true
	return true
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// offers draws shapes and sells each in some zones.
func (g *generator) offers() []cluster.Offer {
	for i := range 1 + g.IntN(4) {
		cpu := pick(g, 1, 2, 4, 8)
		shape := cluster.Offer{
			Name:      fmt.Sprintf("shape-%d-%dx", i, cpu),
			Available: true,
			Stock:     -1,
			Labels:    map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: pick(g, "amd64", "arm64")},
			Allocatable: corev1.ResourceList{
				corev1.ResourceCPU:              *resource.NewMilliQuantity(int64(cpu)*1000-int64(g.IntN(3))*70, resource.DecimalSI),
				corev1.ResourceMemory:           *resource.NewQuantity(int64(cpu*pick(g, 1, 2, 4))<<30-int64(g.IntN(2))*123456789, resource.BinarySI),
				corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(pick(g, 5, 20, 100))<<30, resource.BinarySI),
				corev1.ResourcePods:             *resource.NewQuantity(int64(pick(g, 2, 4, 8, 110)), resource.DecimalSI),
			},
		}
		shape.Labels[corev1.LabelInstanceTypeStable] = shape.Name
		if g.one(2) {
			shape.Labels["disk"] = pick(g, "ssd", "hdd")
		}
		if g.one(2) {
			shape.Labels["runtimes"] = "sandboxed"
		}
		shape.Labels["generation"] = fmt.Sprint(1 + g.IntN(5))
		if g.one(4) {
			shape.Allocatable[GPU] = *resource.NewQuantity(int64(1+g.IntN(4)), resource.DecimalSI)
		}
		if g.with("tainted offers", 4) {
			shape.Taints = []corev1.Taint{g.taint()}
		}
		g.sell(shape, float64(cpu))
	}
	return g.c.Offers
}

func (g *generator) sell(shape cluster.Offer, size float64) {
	for _, zone := range g.zones {
		if g.one(4) {
			continue
		}
		for _, contract := range []string{"on-demand", "spot"} {
			if g.one(3) {
				continue
			}
			o := shape
			o.Zone, o.CapacityType = zone, contract
			o.Labels = maps.Clone(shape.Labels)
			o.Labels[corev1.LabelTopologyZone], o.Labels[CapacityType] = zone, contract
			o.PricePerHour = size * (0.04 + 0.02*g.Float64())
			if contract == "spot" {
				o.PricePerHour *= 0.6
			}
			if g.with("sold out", 12) {
				o.Available, o.Unavailable = false, "sold out"
			}
			g.c.Offers = append(g.c.Offers, o)
		}
	}
}

func (g *generator) taint() corev1.Taint {
	return corev1.Taint{Key: pick(g, "dedicated", "batch"), Value: pick(g, "x", "y"), Effect: pick(g, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)}
}

// nodes draws nodes that there are, with pods on them.
func (g *generator) nodes(offers []cluster.Offer) {
	if len(offers) == 0 || g.one(3) {
		return
	}
	for i := range 1 + g.IntN(4) {
		o := pick(g, offers...)
		n := NodeOf(&o, fmt.Sprintf("n%d-old-%d", g.c.Seed, i))
		if g.with("cordoned node", 8) {
			n.Spec.Unschedulable = true
		}
		if g.one(8) {
			delete(n.Labels, pick(g, corev1.LabelTopologyZone, CapacityType))
			g.c.Features["node without a label"] = true
		}
		g.c.Nodes = append(g.c.Nodes, n)
		for j := range g.IntN(4) {
			g.bound(n, fmt.Sprintf("old-%d-%d", i, j))
		}
	}
}

// NodeOf is the node that buying the offer makes.
func NodeOf(o *cluster.Offer, name string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(o.Labels)}}
	n.Labels[corev1.LabelHostname] = name
	n.Spec.Taints = append(n.Spec.Taints, o.Taints...)
	n.Status.Allocatable, n.Status.Capacity = o.Allocatable.DeepCopy(), o.Allocatable.DeepCopy()
	return n
}

func (g *generator) bound(n *corev1.Node, name string) {
	g.c.Features["bound pods"] = true
	p := g.pod(name, pick(g, g.apps...))
	p.Spec.NodeName = n.Name
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if g.with("anti-affinity of bound pods", 4) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{g.term(p)}}}
	}
	if g.one(4) {
		p.Spec.PriorityClassName = pick(g, Low, High)
		g.c.Features["priority"] = true
	}
	if g.with("host ports", 5) {
		g.hostPort(p)
	}
	g.c.Bound = append(g.c.Bound, p)
}

// pod draws a pod with requests.
func (g *generator) pod(name, app string) *corev1.Pod {
	zero := int64(0)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: NamespaceA, Labels: map[string]string{"app": app}}}
	if g.one(5) {
		p.Namespace = NamespaceB
		g.c.Features["namespaces"] = true
	}
	mount := false
	p.Spec.AutomountServiceAccountToken = &mount
	// A victim of preemption must go at once: there is no kubelet that would end it.
	p.Spec.TerminationGracePeriodSeconds = &zero
	p.Spec.Containers = []corev1.Container{g.container("main")}
	return p
}

func (g *generator) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "example.com/none"}
	c.Resources.Requests = corev1.ResourceList{}
	if !g.one(8) {
		c.Resources.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(pick[int64](g, 50, 100, 250, 500, 999, 1000, 1500, 2500), resource.DecimalSI)
	}
	if !g.one(4) {
		c.Resources.Requests[corev1.ResourceMemory] = *resource.NewQuantity(pick[int64](g, 64, 256, 777, 1024, 3000)<<20, resource.BinarySI)
	}
	if g.with("ephemeral storage", 8) {
		c.Resources.Requests[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(pick[int64](g, 1, 4, 30)<<30, resource.BinarySI)
	}
	return c
}
