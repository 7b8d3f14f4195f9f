package disruption_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// podOf is a pod of a ReplicaSet that has been ready for long.
func podOf(changes ...func(*corev1.Pod)) *corev1.Pod {
	start := metav1.NewTime(noon.Add(-24 * time.Hour))
	p := &corev1.Pod{}
	p.Name, p.Namespace, p.Labels, p.Annotations = "web-1", "shop", map[string]string{"app": "web"}, map[string]string{}
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", UID: "web-uid", Controller: new(true)}}
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &start
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start}}
	for _, change := range changes {
		change(p)
	}
	return p
}

func ownedBy(kind string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.OwnerReferences[0].Kind = kind }
}

func annotated(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[key] = value }
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func volumes(v ...corev1.Volume) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Volumes = v }
}

func pdb(name string, allowed int32, changes ...func(*policyv1.PodDisruptionBudget)) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{}
	b.Name, b.Namespace = name, "shop"
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	b.Status = policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed, CurrentHealthy: 3, DesiredHealthy: 3 - allowed, ExpectedPods: 4}
	for _, change := range changes {
		change(b)
	}
	return b
}

func TestBlockers(t *testing.T) {
	atMost := func(n string) func(*policyv1.PodDisruptionBudget) {
		return func(b *policyv1.PodDisruptionBudget) { b.Spec.MaxUnavailable = new(intstr.Parse(n)) }
	}
	atLeast := func(n string) func(*policyv1.PodDisruptionBudget) {
		return func(b *policyv1.PodDisruptionBudget) { b.Spec.MinAvailable = new(intstr.Parse(n)) }
	}
	one := func(string) int { return 1 }
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		pdbs     []*policyv1.PodDisruptionBudget
		replicas func(string) int
		fate     disruption.Fate
		code     string
		passing  bool
		surge    bool
	}{
		"a plain pod":                            {pod: podOf(), fate: disruption.Moves, code: "Movable"},
		"succeeded":                              {pod: podOf(phase(corev1.PodSucceeded)), fate: disruption.Goes, code: "Finished"},
		"failed without a controller":            {pod: podOf(phase(corev1.PodFailed), func(p *corev1.Pod) { p.OwnerReferences = nil }), fate: disruption.Goes, code: "Finished"},
		"static, by its node":                    {pod: podOf(ownedBy("Node")), fate: disruption.Goes, code: "Static"},
		"static, by its annotation":              {pod: podOf(annotated(corev1.MirrorPodAnnotationKey, "x")), fate: disruption.Goes, code: "Static"},
		"of a DaemonSet":                         {pod: podOf(ownedBy("DaemonSet")), fate: disruption.Goes, code: "DaemonSet"},
		"of a DaemonSet that is not disturbed":   {pod: podOf(ownedBy("DaemonSet"), annotated("yagura.dev/do-not-disrupt", "true")), fate: disruption.Blocks, code: "DoNotDisrupt"},
		"being deleted":                          {pod: podOf(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }), fate: disruption.Goes, code: "Terminating"},
		"not to be disturbed":                    {pod: podOf(annotated("yagura.dev/do-not-disrupt", "")), fate: disruption.Blocks, code: "DoNotDisrupt"},
		"may be disturbed":                       {pod: podOf(annotated("yagura.dev/do-not-disrupt", "false")), fate: disruption.Moves, code: "Movable"},
		"not to be disturbed, to Karpenter":      {pod: podOf(annotated("karpenter.sh/do-not-disrupt", "true")), fate: disruption.Blocks, code: "DoNotDisrupt"},
		"not safe, to cluster-autoscaler":        {pod: podOf(annotated(disruption.SafeToEvict, "false")), fate: disruption.Blocks, code: "DoNotDisrupt"},
		"safe, without a controller":             {pod: podOf(annotated(disruption.SafeToEvict, "true"), func(p *corev1.Pod) { p.OwnerReferences = nil }), fate: disruption.Moves, code: "SafeToEvict"},
		"safe, but one's own annotation forbids": {pod: podOf(annotated(disruption.SafeToEvict, "true"), annotated("yagura.dev/do-not-disrupt", "true")), fate: disruption.Blocks, code: "DoNotDisrupt"},
		"safe, but a budget forbids":             {pod: podOf(annotated(disruption.SafeToEvict, "true")), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0)}, fate: disruption.Blocks, code: "PDBExhausted", passing: true},
		"safe, and the only replica":             {pod: podOf(annotated(disruption.SafeToEvict, "true")), replicas: one, fate: disruption.Moves, code: "SafeToEvict", surge: true},
		"a budget with room":                     {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 1)}, fate: disruption.Moves, code: "Movable"},
		"a budget without room":                  {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0)}, fate: disruption.Blocks, code: "PDBExhausted", passing: true},
		"another namespace's budget": {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, func(b *policyv1.PodDisruptionBudget) { b.Namespace = "bank" })},
			fate: disruption.Moves, code: "Movable"},
		"a budget without a selector": {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = nil })},
			fate: disruption.Moves, code: "Movable"},
		"a budget for everything": {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("all", 0, func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = &metav1.LabelSelector{} })},
			fate: disruption.Blocks, code: "PDBExhausted", passing: true},
		"a selector that cannot be read": {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("odd", 1, func(b *policyv1.PodDisruptionBudget) {
			b.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Near"}}}
		})}, fate: disruption.Blocks, code: "PDBUnreadable"},
		"nothing may ever be missing":             {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, atMost("0"))}, fate: disruption.Blocks, code: "PDBNever"},
		"zero percent may be missing":             {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, atMost("0%"))}, fate: disruption.Blocks, code: "PDBNever"},
		"all must be there":                       {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, atLeast("100%"))}, fate: disruption.Blocks, code: "PDBNever"},
		"as many as there are must be":            {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, atLeast("4"), func(b *policyv1.PodDisruptionBudget) { b.Status.DesiredHealthy = 4 })}, fate: disruption.Blocks, code: "PDBNever"},
		"two budgets":                             {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("a", 1), pdb("b", 1)}, fate: disruption.Blocks, code: "PDBSeveral"},
		"two budgets for a pod that does not run": {pod: podOf(phase(corev1.PodPending), unready), pdbs: []*policyv1.PodDisruptionBudget{pdb("a", 0), pdb("b", 0)}, fate: disruption.Moves, code: "Movable"},
		"a budget that is new": {pod: podOf(), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 1, func(b *policyv1.PodDisruptionBudget) { b.Generation = 2 })},
			fate: disruption.Blocks, code: "PDBNotSeen", passing: true},
		"unready, and enough are healthy":     {pod: podOf(unready), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0)}, fate: disruption.Moves, code: "Movable"},
		"unready, and not enough are healthy": {pod: podOf(unready), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, func(b *policyv1.PodDisruptionBudget) { b.Status.CurrentHealthy = 2 })}, fate: disruption.Blocks, code: "PDBExhausted", passing: true},
		"unready may always go": {pod: podOf(unready), pdbs: []*policyv1.PodDisruptionBudget{pdb("web", 0, func(b *policyv1.PodDisruptionBudget) {
			b.Status.CurrentHealthy, b.Spec.UnhealthyPodEvictionPolicy = 2, new(policyv1.AlwaysAllow)
		})}, fate: disruption.Moves, code: "Movable"},
		"of a Job":                        {pod: podOf(ownedBy("Job")), fate: disruption.Blocks, code: "Job", passing: true},
		"of a Job that agrees":            {pod: podOf(ownedBy("Job"), annotated(disruption.SafeToEvict, "true")), fate: disruption.Moves, code: "SafeToEvict"},
		"without a controller":            {pod: podOf(func(p *corev1.Pod) { p.OwnerReferences = nil }), fate: disruption.Blocks, code: "NoController"},
		"with an owner that controls not": {pod: podOf(func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }), fate: disruption.Blocks, code: "NoController"},
		"the only replica":                {pod: podOf(), replicas: one, fate: disruption.Moves, code: "LastReplica", surge: true},
		"one of kube-system":              {pod: podOf(func(p *corev1.Pod) { p.Namespace = "kube-system" }), fate: disruption.Moves, code: "Movable"},
	} {
		t.Run(name, func(t *testing.T) {
			v := disruption.NewInspector(disruption.World{Now: noon, PDBs: test.pdbs, Replicas: test.replicas}).Pod(test.pod)
			if v.Fate != test.fate || v.Code != test.code || v.Passing != test.passing || v.Surge != test.surge {
				t.Errorf("%+v", v)
			}
			if v.Message == "" || v.Rule == "" || strings.HasSuffix(v.Message, ".") {
				t.Errorf("rule %q says %q", v.Rule, v.Message)
			}
			if _, blocked := disruption.Blocker(test.pod, disruption.World{Now: noon, PDBs: test.pdbs, Replicas: test.replicas}); blocked != (test.fate == disruption.Blocks) {
				t.Errorf("Blocker says %v", blocked)
			}
		})
	}
}

func TestANodesBlockerIsTheOneThatLastsLongest(t *testing.T) {
	view := cluster.NodeView{Pods: []*corev1.Pod{podOf(), podOf(ownedBy("Job")), podOf(annotated("yagura.dev/do-not-disrupt", "true")), podOf(ownedBy("DaemonSet"))}}
	v := disruption.NewInspector(disruption.World{Now: noon}).Node(&view)
	if v.Blocker != view.Pods[2] || v.Blocked.Code != "DoNotDisrupt" {
		t.Errorf("blocked by %+v", v.Blocked)
	}
	if len(v.Evict) != 3 {
		t.Errorf("%d pods to evict, want 3", len(v.Evict))
	}
}

func TestNodeRefuses(t *testing.T) {
	for annotation, want := range map[string]bool{
		"yagura.dev/do-not-disrupt=true": true, "karpenter.sh/do-not-disrupt=true": true, "karpenter.sh/do-not-disrupt=false": false,
		"cluster-autoscaler.kubernetes.io/scale-down-disabled=true": true, "cluster-autoscaler.kubernetes.io/scale-down-disabled=false": false,
	} {
		key, value, _ := strings.Cut(annotation, "=")
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{key: value}}}
		if got, refuses := disruption.NodeRefuses(node); refuses != want || want && got != key {
			t.Errorf("%s: %v by %s", annotation, refuses, got)
		}
	}
}
