package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func list(cpu, memory string, more ...string) corev1.ResourceList {
	out := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	for i := 0; i+1 < len(more); i += 2 {
		out[corev1.ResourceName(more[i])] = resource.MustParse(more[i+1])
	}
	return out
}

type podOption func(*corev1.Pod)

func pod(name, cpu, memory string, options ...podOption) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: list(cpu, memory)}}}
	for _, o := range options {
		o(p)
	}
	return p
}

func labelled(kv ...string) podOption {
	return func(p *corev1.Pod) { p.Labels = pairs(kv) }
}

func selecting(kv ...string) podOption {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = pairs(kv) }
}

func tolerating(key string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
	}
}

func onNode(name string) podOption { return func(p *corev1.Pod) { p.Spec.NodeName = name } }

func withPriority(n int32) podOption { return func(p *corev1.Pod) { p.Spec.Priority = &n } }

func hostPortOf(n int32) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: n, HostPort: n, Protocol: corev1.ProtocolTCP}}
	}
}

func pairs(kv []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func node(name, zone, cpu, memory string, price float64, taints ...corev1.Taint) Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: zone, corev1.LabelOSStable: "linux"}}}
	n.Spec.Taints = taints
	n.Status.Allocatable = list(cpu, memory, "pods", "110", "ephemeral-storage", "100Gi")
	return Node{Node: n, PricePerHour: price}
}

func offer(name, zone, cpu, memory string, price float64, taints ...corev1.Taint) Offer {
	return Offer{Name: name, Zone: zone, CapacityType: "on-demand", PricePerHour: price, Available: true, Stock: -1, Taints: taints,
		Labels:      map[string]string{corev1.LabelInstanceTypeStable: name, corev1.LabelTopologyZone: zone, corev1.LabelOSStable: "linux", "karpenter.sh/capacity-type": "on-demand"},
		Allocatable: list(cpu, memory, "pods", "110", "ephemeral-storage", "100Gi")}
}

func upsert(t testing.TB, s *State, objects ...any) {
	t.Helper()
	for _, o := range objects {
		if err := s.Upsert(o); err != nil {
			t.Fatal(err)
		}
	}
}

// sharedOffers are the offers of the instance types that the benchmarks share.
func sharedOffers(t testing.TB) []Offer {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "nodes", "instance_types.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: no shared instance types: %v", err)
	}
	var raw []struct {
		Name             string
		Architecture     string
		OperatingSystems []string
		Resources        map[string]string
		Offerings        []struct {
			Price        float64
			Available    bool
			Requirements []struct {
				Key    string
				Values []string
			}
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	var out []Offer
	for _, it := range raw {
		alloc := corev1.ResourceList{}
		for k, v := range it.Resources {
			alloc[corev1.ResourceName(k)] = resource.MustParse(v)
		}
		for _, of := range it.Offerings {
			o := Offer{Name: it.Name, PricePerHour: of.Price, Available: of.Available, Stock: -1, Allocatable: alloc,
				Labels: map[string]string{corev1.LabelInstanceTypeStable: it.Name, corev1.LabelArchStable: it.Architecture, corev1.LabelOSStable: it.OperatingSystems[0]}}
			for _, r := range of.Requirements {
				o.Labels[r.Key] = r.Values[0]
			}
			o.Zone, o.CapacityType = o.Labels[corev1.LabelTopologyZone], o.Labels["karpenter.sh/capacity-type"]
			out = append(out, o)
		}
	}
	return out
}

func plannedPods(p Plan) int {
	n := len(p.Placed) + len(p.Preempting)
	for _, c := range p.Create {
		n += len(c.Pods)
	}
	return n
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%06d", prefix, i) }

func matching(kv ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: pairs(kv)}
}

func spreadOver(key string, skew int32, kv ...string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: matching(kv...)})
	}
}

func affinity(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	return p.Spec.Affinity
}

func nearTo(key string, kv ...string) podOption {
	return func(p *corev1.Pod) {
		a := affinity(p)
		if a.PodAffinity == nil {
			a.PodAffinity = &corev1.PodAffinity{}
		}
		a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: matching(kv...)})
	}
}

func apartFrom(key string, kv ...string) podOption {
	return func(p *corev1.Pod) {
		a := affinity(p)
		if a.PodAntiAffinity == nil {
			a.PodAntiAffinity = &corev1.PodAntiAffinity{}
		}
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: matching(kv...)})
	}
}
