package oracle

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// agents draws DaemonSets. Their pods are of high priority and evict nobody: on nodes that are full already they wait.
func (g *generator) agents() {
	if !g.with("DaemonSets", 4) {
		return
	}
	for i := range 1 + g.IntN(2) {
		zero, mount := int64(0), false
		labels := map[string]string{"app": "agent", "agent": fmt.Sprintf("%d-%d", g.c.Seed, i)}
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: NamespaceAgents, Name: fmt.Sprintf("agent-%d-%d", g.c.Seed, i)}}
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		d.Spec.Template.Labels = labels
		s := &d.Spec.Template.Spec
		s.TerminationGracePeriodSeconds, s.AutomountServiceAccountToken, s.PriorityClassName = &zero, &mount, Polite
		s.Containers = []corev1.Container{{Name: "main", Image: "example.com/none", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(pick[int64](g, 20, 100, 300), resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(pick[int64](g, 32, 200)<<20, resource.BinarySI),
		}}}}
		switch g.IntN(4) {
		case 0:
			s.NodeSelector = map[string]string{"disk": pick(g, "ssd", "hdd")}
		case 1:
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{g.expression()}}}}}}
		}
		if g.one(2) {
			s.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}
		if g.with("host ports of DaemonSets", 5) {
			s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: corev1.ProtocolTCP}}
		}
		g.c.DaemonSets = append(g.c.DaemonSets, d)
	}
}

// RunsOn says whether the DaemonSet controller makes a pod for the node.
func RunsOn(d *appsv1.DaemonSet, n *corev1.Node) bool {
	pod := &corev1.Pod{Spec: d.Spec.Template.Spec}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(n); err != nil || !ok {
		return false
	}
	tolerations := append(slices.Clone(pod.Spec.Tolerations), corev1.Toleration{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	_, intolerable := schedulinghelpers.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}, false)
	return !intolerable
}
