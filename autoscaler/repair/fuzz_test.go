package repair_test

import (
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// FuzzDecide lets conditions, silences and answers come and go at random, and holds each decision against what must never happen.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), uint8(12), uint8(20), uint8(2))
	f.Add(uint64(7), uint8(3), uint8(100), uint8(0))
	f.Add(uint64(42), uint8(40), uint8(50), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, nodes, percent, most uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(1+int(nodes)%50, "a", "b", "")
		w.policy.Spec.Repair.MaxUnhealthy = ptr(1 + int32(percent)%100)
		w.policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(int32(most))}}
		w.rule(v1alpha1.RepairRule{Name: "ready", For: span(time.Minute), Condition: &v1alpha1.UnhealthyCondition{
			Type: "Ready", Statuses: []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionUnknown}}})
		w.rule(v1alpha1.RepairRule{Name: "lease", For: span(time.Minute), Silence: ptr(v1alpha1.SilentLease)})
		w.rule(v1alpha1.RepairRule{Name: "query", For: span(30 * time.Second), PromQL: "x"})
		id := repair.RuleID{Policy: "general", Rule: "query"}
		for range 60 {
			disturb(w, r, id)
			check(t, w, w.tick(time.Duration(r.IntN(90)-5)*time.Second), int(most))
		}
	})
}

func disturb(w *world, r *rand.Rand, id repair.RuleID) {
	n := r.IntN(len(w.in.Nodes))
	node := &w.in.Nodes[n]
	switch r.IntN(9) {
	case 0:
		w.conditionSince(n, corev1.NodeReady, corev1.ConditionFalse, w.in.Now.Add(time.Duration(r.IntN(7200)-3600)*time.Second))
	case 1:
		w.condition(n, corev1.NodeReady, corev1.ConditionTrue)
	case 2:
		w.dies(n)
	case 3:
		delete(w.silent, node.Node.Name)
	case 4:
		a := repair.Answer{State: decision.Fresh}
		for range r.IntN(4) {
			a.Add(w.in.Nodes[r.IntN(len(w.in.Nodes))].Node.Name, r.NormFloat64())
		}
		w.in.Answers[id] = a
	case 5:
		delete(w.in.Answers, id)
	case 6:
		w.in.Leases.State = []decision.State{decision.Fresh, decision.Missing}[r.IntN(2)]
	case 7:
		*node = newNode(node.Node.Name, node.Node.Labels[corev1.LabelTopologyZone])
	case 8:
		node.DoNotDisrupt = []string{"", "pod a/b"}[r.IntN(2)]
	}
}

func check(t *testing.T, w *world, d repair.Decision, most int) {
	t.Helper()
	if len(d.Health) != len(w.in.Nodes) {
		t.Fatalf("%d answers for %d nodes", len(d.Health), len(w.in.Nodes))
	}
	byClaim := map[string]int{}
	for i, h := range d.Health {
		byClaim[h.Claim] = i
		if h.State == "" || h.Code == "" || h.Message == "" || len(h.Verdicts) == 0 {
			t.Fatalf("no answer: %+v", h)
		}
	}
	stopped := map[string]bool{}
	for _, s := range d.Stopped {
		stopped[s.Zone] = true
	}
	if len(d.Actions) > most {
		t.Fatalf("%d actions within a budget of %d", len(d.Actions), most)
	}
	going := 0
	for _, n := range w.in.Nodes {
		if last := len(n.Claim.Status.Repairs); n.Claim.Status.Disruption != nil ||
			last > 0 && w.in.Now.Sub(n.Claim.Status.Repairs[last-1].At.Time) < 5*time.Minute {
			going++
		}
	}
	for _, a := range d.Actions {
		n := &w.in.Nodes[byClaim[a.Claim]]
		h := &d.Health[byClaim[a.Claim]]
		leaving := n.Claim.Status.Disruption != nil
		if !leaving {
			going++
		}
		switch {
		case going > most && !leaving:
			t.Fatalf("%d nodes disrupted within a budget of %d: %s", going, most, a.Message)
		case stopped[""] || stopped[a.Zone]:
			t.Fatalf("a step in a group that has stopped: %+v", a)
		case a.Rule == "query" && w.in.Answers[repair.RuleID{Policy: "general", Rule: "query"}].State != decision.Fresh:
			t.Fatalf("a step for a query without an answer: %+v", a)
		case a.Rule == "lease" && w.in.Leases.State != decision.Fresh:
			t.Fatalf("a step for a silence that nobody could hear: %+v", a)
		case n.DoNotDisrupt != "" && a.Drain:
			t.Fatalf("pods that ask to be left alone are drained: %+v", a)
		case h.State != repair.Repairing || h.Message != a.Message:
			t.Fatalf("answer %+v for action %+v", h, a)
		}
		w.attempt(a)
	}
}
