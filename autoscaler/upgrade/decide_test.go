package upgrade_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

func TestEveryNodeGetsAnAnswer(t *testing.T) {
	tests := map[string]struct {
		// change is done to a world of three nodes that are as their policy says.
		change     func(*world)
		wantCode   string
		wantReason string
		wantMove   bool
	}{
		"as the policy says": {func(*world) {}, "Current", "it is as its policy says", false},
		"another version":    {func(w *world) { w.renew() }, "Renewed", "its kubelet is v1.36.4, not v1.37.2", true},
		"no version asked for": {func(w *world) {
			w.in.Policy.Spec.Template.Version = ""
			w.in.Nodes[0].Claim.Spec.TemplateHash = w.hash()
		}, "Current", "", false},
		"a kubelet that is not known": {func(w *world) {
			w.in.Nodes[0].Node.Status.NodeInfo.KubeletVersion = ""
		}, "Current", "", false},
		"another image": {func(w *world) {
			w.in.Policy.Spec.Template.Image = "debian-13"
		}, "Renewed", `its image is none, not "debian-13"`, true},
		"another template": {func(w *world) {
			w.in.Policy.Spec.Template.Annotations = map[string]string{"a": "b"}
		}, "Renewed", "it was made from another template", true},
		"a claim without a fingerprint": {func(w *world) {
			w.in.Policy.Spec.Template.Annotations = map[string]string{"a": "b"}
			w.in.Nodes[0].Claim.Spec.TemplateHash = ""
		}, "Current", "", false},
		"another label": {func(w *world) {
			w.in.Policy.Spec.Template.Labels = map[string]string{"team": "shop"}
			w.in.Nodes[0].Claim.Spec.TemplateHash = w.hash()
		}, "Renewed", `its label team is none, not "shop"`, true},
		"a taint that was taken off": {func(w *world) {
			w.in.Policy.Spec.Template.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
			w.in.Nodes[0].Claim.Spec.TemplateHash = w.hash()
		}, "Renewed", "it lacks the taint gpu=yes:NoSchedule", true},
		"more is allowed than before": {func(w *world) {
			w.in.Policy.Spec.Requirements = []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}}}
		}, "Current", "it is as its policy says", false},
		"less is allowed than before": {func(w *world) {
			w.in.Policy.Spec.Requirements = []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}
		}, "Renewed", `and the policy requires In b`, true},
		"taints in another order": {func(w *world) {
			taints := []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoSchedule}, {Key: "b", Effect: corev1.TaintEffectNoSchedule}}
			w.in.Policy.Spec.Template.Taints = taints
			w.in.Nodes[0].Node.Spec.Taints = taints
			w.in.Nodes[0].Claim.Spec.TemplateHash = w.hash()
			w.in.Policy.Spec.Template.Taints = []corev1.Taint{taints[1], taints[0]}
		}, "Current", "it is as its policy says", false},
		"a zone that is not allowed any more": {func(w *world) {
			w.requires(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, "b", "c")
		}, "Renewed", `its label topology.kubernetes.io/zone is "a", and the policy requires In b, c`, true},
		"an offer that is not allowed any more": {func(w *world) {
			w.requires("karpenter.sh/capacity-type", corev1.NodeSelectorOpIn, "spot")
		}, "Renewed", `its label karpenter.sh/capacity-type is "on-demand"`, true},
		"a requirement on what is not known of the node": {func(w *world) {
			w.requires("example.org/generation", corev1.NodeSelectorOpGt, "3")
		}, "Current", "", false},
		"a requirement that cannot be read": {func(w *world) {
			w.renew()
			w.requires("a", "Like", "b")
		}, "InvalidPolicy", `unknown operator "Like"`, false},
		"renewal is off": {func(w *world) { w.renew(); w.in.Policy.Spec.Upgrade = nil }, "RenewalOff", "and policy general does not renew nodes", false},
		"a node that was not made by us": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Claim = nil
			w.in.Nodes[0].Node.Labels[v1alpha1.LabelNodePolicy] = "general"
		}, "NotOurs", "it would be renewed, but it was not made by a claim", false},
		"a node that is being made": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Node, w.in.Nodes[0].Claim.Status.Phase = nil, v1alpha1.ClaimLaunched
			w.in.Nodes[0].Claim.Status.NodeName = "n00"
		}, "Booting", "it is being made", false},
		"a node that goes": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Claim.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptEmpty, Message: "empty"}
		}, "Leaving", "it is being taken away: empty", false},
		"a node that says no": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Node.Annotations = map[string]string{v1alpha1.AnnotationDoNotDisrupt: "true"}
		}, "DoNotDisrupt", "it waits, since its annotation yagura.dev/do-not-disrupt", false},
		"a pod that says no, for a while": {func(w *world) {
			w.renew()
			w.in.Nodes[0].DoNotDisrupt = "pod shop/db-0"
			w.in.Policy.Spec.Disruption.TerminationGracePeriod = ptr(span(time.Hour))
		}, "Renewed", "", true},
		"a window that is closed": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.Windows = []v1alpha1.Window{{Schedule: "0 12 * * *", Duration: span(time.Hour)}}
		}, "Window", "the next window opens at 2026-03-02T12:00:00Z", false},
		"a window that cannot be read": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.Windows = []v1alpha1.Window{{Schedule: "noon", Duration: span(time.Hour)}}
		}, "InvalidWindow", "noon", false},
		"a query without an answer": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.PauseOn = []v1alpha1.PauseQuery{{Name: "burn"}}
			w.in.Pauses["burn"] = upgrade.Answer{State: decision.Missing, Reason: "timeout"}
		}, "PauseOn", "it waits, since burn has no answer: timeout", false},
		"a query that gives no number": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.PauseOn = []v1alpha1.PauseQuery{{Name: "burn"}}
			w.in.Pauses["burn"] = upgrade.Answer{State: decision.Fresh, Values: []float64{0, nan()}}
		}, "PauseOn", "burn gives NaN, which is no number", false},
		"a budget of none": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(0)}}
		}, "Budget", "it waits, since the budget of 0 allows 0 of 3 nodes at a time", false},
		"a surge that cannot be read": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.MaxSurge = ptr(intstr.FromString("many"))
		}, "InvalidSurge", "maxSurge", false},
		"a newer version than the API server": {func(w *world) {
			w.renew()
			w.in.APIServer = "v1.36.9"
		}, "APIServerTooOld", "a kubelet must not be newer than the API server, which is v1.36.9", false},
		"a newer patch than the API server": {func(w *world) {
			w.renew()
			w.in.APIServer = "v1.37.0"
		}, "Renewed", "", true},
		"a much older version than the API server": {func(w *world) {
			w.renew()
			w.in.APIServer = "v1.41.0"
		}, "TemplateTooOld", "more than 3 minor versions behind the API server", false},
		"an API server of which nothing is known": {func(w *world) {
			w.renew()
			w.in.APIServer = ""
		}, "APIServerUnknown", "the API server's version is not known", false},
		"a version that cannot be read": {func(w *world) {
			w.in.Policy.Spec.Template.Version = "latest"
		}, "InvalidVersion", `the template's version "latest" cannot be read`, false},
		"a control plane of which nothing is known": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.ControlPlane = true
			w.in.ControlPlane = &upgrade.ControlPlane{Unknown: "timeout"}
		}, "ControlPlaneUnknown", "timeout", false},
		"a control plane under way": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.ControlPlane = true
			w.in.ControlPlane = &upgrade.ControlPlane{Wanted: newVersion, Running: oldVersion}
		}, "ControlPlaneFirst", "the control plane is on its way from v1.36.4 to v1.37.2", false},
		"a node of another policy that is too old for the next control plane": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.ControlPlane = true
			w.in.ControlPlane = &upgrade.ControlPlane{Wanted: oldVersion, Running: oldVersion}
			n := w.node("other", "a", start)
			n.Claim.Spec.Policy, n.Node.Status.NodeInfo.KubeletVersion = "other", "v1.33.0"
			w.in.Nodes = append(w.in.Nodes, n)
		}, "KubeletTooOld", "the control plane cannot go to v1.37.2 before node other has left v1.33.0", false},
		"a control plane that the provider cannot upgrade": {func(w *world) {
			w.renew()
			w.in.Policy.Spec.Upgrade.ControlPlane = true
		}, "Renewed", "", true},
		"another zone's turn": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Node.Labels[corev1.LabelTopologyZone] = "z"
		}, "ZoneLater", `it waits for zone "a", which comes before zone "z"`, false},
		"another node's turn": {func(w *world) {
			w.renew()
			w.in.Nodes[0].Claim.CreationTimestamp = metav1.NewTime(start)
		}, "Surge", "it waits, since 1 of at most 1 nodes are being renewed", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			tt.change(w)
			out := upgrade.Decide(w.in)
			got, ok := out.Stays["n00"]
			if !ok || got.Code != tt.wantCode || !strings.Contains(got.Message, tt.wantReason) {
				t.Errorf("got %s %q\nwant %s %q", got.Code, got.Message, tt.wantCode, tt.wantReason)
			}
			if len(got.Verdicts) == 0 {
				t.Error("no verdicts")
			}
			moved := slices.ContainsFunc(out.Moves, func(m disruptionMove) bool { return slices.Contains(m.Remove, "n00") })
			if moved != tt.wantMove {
				t.Errorf("moved %v, want %v", moved, tt.wantMove)
			}
			if out.Status != nil && (out.Paused == "") != (out.Status.Paused == "") {
				t.Errorf("paused %q: %q", out.Paused, out.Status.Paused)
			}
		})
	}
}

func TestNoPolicyNoDecision(t *testing.T) {
	if out := upgrade.Decide(upgrade.Input{Now: start}); len(out.Moves) > 0 || out.Status != nil {
		t.Errorf("%+v", out)
	}
}
