package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// workload draws pods that wait and are alike but for their names.
func (g *generator) workload() {
	app := pick(g, g.apps...)
	p := g.pod("", app)
	if g.one(3) {
		p.Labels["pod-template-hash"] = pick(g, "1", "2")
	}
	g.shape(p)
	g.placement(p)
	g.neighbours(p)
	if g.with("spread", 3) {
		for range 1 + g.IntN(2) {
			g.spread(p)
		}
	}
	if g.with("volumes", 6) {
		g.c.Storage.draw(g, p)
	}
	if g.with("priority", 5) {
		p.Spec.PriorityClassName = pick(g, Low, High, High, Polite)
	}
	g.also.prefer(p)
	g.also.claimDevices(p)
	if g.with("gated", 30) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/later"}}
	}
	for range 1 + g.IntN(4) {
		if len(g.c.Pending) == 12 {
			return
		}
		pod := p.DeepCopy()
		pod.Name = fmt.Sprintf("%s-%d", app, len(g.c.Pending))
		g.c.Pending = append(g.c.Pending, pod)
	}
}

// shape draws what a pod consists of.
func (g *generator) shape(p *corev1.Pod) {
	if g.one(5) {
		p.Spec.Containers = append(p.Spec.Containers, g.container("second"))
	}
	if g.with("init containers", 6) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, g.container("init"))
	}
	if g.with("sidecars", 8) {
		always := corev1.ContainerRestartPolicyAlways
		c := g.container("sidecar")
		c.RestartPolicy = &always
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		if g.one(2) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, g.container("after"))
		}
	}
	if g.with("extended resources", 7) {
		one := *resource.NewQuantity(int64(1+g.IntN(2)), resource.DecimalSI)
		p.Spec.Containers[0].Resources.Requests[GPU] = one
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{GPU: one}
	}
	if g.with("runtime class", 10) {
		name := Sandboxed
		p.Spec.RuntimeClassName = &name
	}
	if g.with("host ports", 8) {
		g.hostPort(p)
	}
	if g.with("pod resources", 12) {
		p.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(6000, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(10<<30, resource.BinarySI),
		}}
	}
}

func (g *generator) hostPort(p *corev1.Pod) {
	port := corev1.ContainerPort{ContainerPort: 80, HostPort: pick[int32](g, 8080, 8081), Protocol: pick(g, corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP)}
	if g.one(3) {
		port.HostIP = pick(g, "127.0.0.1", "0.0.0.0", "10.0.0.1")
	}
	p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, port)
}

// placement draws what a pod wants of nodes.
func (g *generator) placement(p *corev1.Pod) {
	if g.with("node selector", 5) {
		p.Spec.NodeSelector = map[string]string{}
		switch g.IntN(4) {
		case 0:
			p.Spec.NodeSelector["disk"] = pick(g, "ssd", "hdd")
		case 1:
			p.Spec.NodeSelector[corev1.LabelTopologyZone] = pick(g, "zone-a", "zone-b", "zone-c")
		case 2:
			p.Spec.NodeSelector[corev1.LabelArchStable] = pick(g, "amd64", "arm64")
		case 3:
			p.Spec.NodeSelector[CapacityType] = pick(g, "on-demand", "spot")
		}
	}
	if g.with("node affinity", 5) {
		s := &corev1.NodeSelector{}
		for range 1 + g.IntN(2) {
			term := corev1.NodeSelectorTerm{}
			for range 1 + g.IntN(2) {
				term.MatchExpressions = append(term.MatchExpressions, g.expression())
			}
			if len(g.c.Nodes) > 0 && g.one(6) {
				term.MatchFields = []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: pick(g, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn), Values: []string{pick(g, g.c.Nodes...).Name}}}
			}
			s.NodeSelectorTerms = append(s.NodeSelectorTerms, term)
		}
		affinity(p).NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: s}
	}
	if g.with("tolerations", 3) {
		t := corev1.Toleration{Key: pick(g, "dedicated", "batch", ""), Operator: corev1.TolerationOpExists}
		if t.Key != "" && g.one(2) {
			t.Operator, t.Value = corev1.TolerationOpEqual, pick(g, "x", "y")
		}
		if g.one(3) {
			t.Effect = pick(g, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
		}
		p.Spec.Tolerations = append(p.Spec.Tolerations, t)
	}
}

func affinity(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	return p.Spec.Affinity
}

func (g *generator) expression() corev1.NodeSelectorRequirement {
	r := corev1.NodeSelectorRequirement{Key: pick(g, "disk", corev1.LabelTopologyZone, CapacityType, corev1.LabelArchStable)}
	values := map[string][]string{
		"disk": {"ssd", "hdd"}, corev1.LabelTopologyZone: {"zone-a", "zone-b", "zone-c"}, CapacityType: {"on-demand", "spot"}, corev1.LabelArchStable: {"amd64", "arm64"},
	}[r.Key]
	switch g.IntN(6) {
	case 0:
		r.Operator = corev1.NodeSelectorOpExists
	case 1:
		r.Operator = corev1.NodeSelectorOpDoesNotExist
	case 2:
		r.Operator, r.Values = corev1.NodeSelectorOpNotIn, []string{pick(g, values...)}
	case 3:
		r.Key, r.Operator, r.Values = "generation", pick(g, corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt), []string{pick(g, "2", "3")}
	default:
		r.Operator, r.Values = corev1.NodeSelectorOpIn, []string{pick(g, values...)}
		if g.one(2) {
			r.Values = values[:2]
		}
	}
	return r
}

// neighbours draws what a pod wants of other pods.
func (g *generator) neighbours(p *corev1.Pod) {
	if g.with("pod affinity", 6) {
		a := &corev1.PodAffinity{}
		for range 2 {
			a.RequiredDuringSchedulingIgnoredDuringExecution = append(a.RequiredDuringSchedulingIgnoredDuringExecution, g.term(p))
			if !g.one(4) {
				break
			}
		}
		affinity(p).PodAffinity = a
	}
	if g.with("pod anti-affinity", 5) {
		affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{g.term(p)}}
	}
	if g.with("preferences", 8) {
		affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 50, PodAffinityTerm: g.term(p)}}}
	}
}

func (g *generator) topologyKey() string {
	return pick(g, corev1.LabelHostname, corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyZone, CapacityType, "disk")
}

func (g *generator) term(p *corev1.Pod) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: g.topologyKey(), LabelSelector: g.selector(p)}
	switch g.IntN(8) {
	case 0:
		t.Namespaces = []string{pick(g, NamespaceA, NamespaceB)}
	case 1:
		t.NamespaceSelector = &metav1.LabelSelector{}
	case 2:
		t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": pick(g, "a", "b")}}
	}
	if g.with("matchLabelKeys", 10) {
		t.MatchLabelKeys = []string{"pod-template-hash"}
	}
	return t
}

// selector selects pods of its own workload more often than others.
func (g *generator) selector(p *corev1.Pod) *metav1.LabelSelector {
	switch g.IntN(5) {
	case 0:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(g, g.apps...)}}
	case 1:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: pick(g, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn), Values: []string{pick(g, g.apps...)}}}}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": p.Labels["app"]}}
}

func (g *generator) spread(p *corev1.Pod) {
	c := corev1.TopologySpreadConstraint{MaxSkew: int32(1 + g.IntN(2)), TopologyKey: g.topologyKey(), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: g.selector(p)}
	for _, other := range p.Spec.TopologySpreadConstraints {
		if other.TopologyKey == c.TopologyKey {
			return
		}
	}
	switch {
	case g.one(6):
		c.WhenUnsatisfiable = corev1.ScheduleAnyway
	case g.with("minDomains", 4):
		n := int32(1 + g.IntN(3))
		c.MinDomains = &n
	}
	honor, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	if g.with("spread policies", 4) {
		c.NodeAffinityPolicy = pick(g, &honor, &ignore)
		c.NodeTaintsPolicy = pick(g, &honor, &ignore)
	}
	if g.one(8) {
		c.MatchLabelKeys = []string{"pod-template-hash"}
		g.c.Features["matchLabelKeys"] = true
	}
	p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
}
