package repair_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

var everyStep = []v1alpha1.RepairStep{v1alpha1.RepairRestartAgent, v1alpha1.RepairReboot}

// world is a cluster of one policy with a fake clock. Its leases and collectors tick until a node is silenced.
type world struct {
	in     repair.Input
	policy *v1alpha1.NodePolicy
	silent map[string]bool
}

func newWorld(nodes int, zones ...string) *world {
	if len(zones) == 0 {
		zones = []string{"a"}
	}
	w := &world{
		policy: &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}},
		silent: map[string]bool{},
	}
	w.policy.Spec.Repair = &v1alpha1.NodeRepair{}
	w.policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromString("100%")}}
	w.in = repair.Input{
		Now: start, Memory: repair.NewMemory(), Answers: map[repair.RuleID]repair.Answer{},
		Leases:     repair.Heard{State: decision.Fresh, At: map[string]time.Time{}},
		Collectors: repair.Heard{State: decision.Fresh, At: map[string]time.Time{}},
	}
	w.can(everyStep...)
	for i := range nodes {
		w.in.Nodes = append(w.in.Nodes, newNode(fmt.Sprintf("n%d", i), zones[i%len(zones)]))
	}
	return w
}

func newNode(name, zone string) repair.Node {
	born := metav1.NewTime(start.Add(-24 * time.Hour))
	return repair.Node{
		Node: &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), CreationTimestamp: born,
				Labels: map[string]string{corev1.LabelTopologyZone: zone, v1alpha1.LabelNodePolicy: "general"}},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: born}}},
		},
		Claim: &v1alpha1.NodeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: "general-" + name, UID: types.UID("claim-" + name), CreationTimestamp: born},
			Spec:       v1alpha1.NodeClaimSpec{Policy: "general", Offer: v1alpha1.ClaimedOffer{Name: "m5.large", Zone: zone}},
			Status:     v1alpha1.NodeClaimStatus{Phase: v1alpha1.ClaimReady, NodeName: name},
		},
	}
}

// can says which steps the provider can take.
func (w *world) can(steps ...v1alpha1.RepairStep) {
	w.in.Policies = []repair.Policy{{NodePolicy: w.policy, Steps: steps}}
}

// condition sets a condition of a node, as of now.
func (w *world) condition(node int, kind corev1.NodeConditionType, status corev1.ConditionStatus) {
	w.conditionSince(node, kind, status, w.in.Now)
}

func (w *world) conditionSince(node int, kind corev1.NodeConditionType, status corev1.ConditionStatus, since time.Time) {
	k := &w.in.Nodes[node].Node.Status.Conditions
	for i := range *k {
		if (*k)[i].Type == kind {
			if (*k)[i].Status != status {
				(*k)[i].Status, (*k)[i].LastTransitionTime = status, metav1.NewTime(since)
			}
			return
		}
	}
	*k = append(*k, corev1.NodeCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(since)})
}

// dies makes a node go silent; the control plane notices 40 s later in reality, and at once here.
func (w *world) dies(node int) {
	w.silent[w.in.Nodes[node].Node.Name] = true
	w.condition(node, corev1.NodeReady, corev1.ConditionUnknown)
}

// tick lets time pass, and decides.
func (w *world) tick(d time.Duration) repair.Decision {
	w.in.Now = w.in.Now.Add(d)
	for i := range w.in.Nodes {
		if n := w.in.Nodes[i].Node; n != nil && !w.silent[n.Name] {
			w.in.Leases.At[n.Name] = w.in.Now.Add(-3 * time.Second)
			w.in.Collectors.At[n.Name] = w.in.Now.Add(-5 * time.Second)
		}
	}
	return repair.Decide(w.in)
}

// run decides every ten seconds for a time, and carries actions out as far as the claims show it: attempts are written down, and nodes
// that are replaced are marked as leaving. It returns what was begun.
func (w *world) run(d time.Duration, each func(repair.Decision)) []repair.Action {
	var all []repair.Action
	for end := w.in.Now.Add(d); w.in.Now.Before(end); {
		out := w.tick(10 * time.Second)
		if each != nil {
			each(out)
		}
		for _, a := range out.Actions {
			all = append(all, a)
			w.attempt(a)
		}
	}
	return all
}

func (w *world) attempt(a repair.Action) {
	for i := range w.in.Nodes {
		c := w.in.Nodes[i].Claim
		if c == nil || c.Name != a.Claim {
			continue
		}
		c.Status.Repairs = append(c.Status.Repairs, v1alpha1.RepairAttempt{Step: a.Step, Rule: a.Rule, At: metav1.NewTime(w.in.Now), Message: a.Message})
		if a.Step == v1alpha1.RepairReplace {
			c.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnhealthy, Message: a.Message, At: metav1.NewTime(w.in.Now)}
			if c.Status.Phase = v1alpha1.ClaimDraining; a.Way != repair.Surge {
				c.Status.Phase = v1alpha1.ClaimTerminating
			}
		}
	}
}

func (w *world) rule(r v1alpha1.RepairRule) {
	w.policy.Spec.Repair.Rules = append(w.policy.Spec.Repair.Rules, r)
}

func ptr[T any](v T) *T { return &v }

func span(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func steps(actions []repair.Action) []string {
	var s []string
	for _, a := range actions {
		text := a.Node + " " + string(a.Step)
		if a.Way != "" {
			text += " " + string(a.Way)
		}
		s = append(s, text)
	}
	return s
}

func only(t *testing.T, d repair.Decision) repair.Action {
	t.Helper()
	if len(d.Actions) != 1 {
		t.Fatalf("%d actions, want 1: %v", len(d.Actions), steps(d.Actions))
	}
	return d.Actions[0]
}
