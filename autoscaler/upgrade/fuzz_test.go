package upgrade_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// FuzzDecide lets nodes, answers and templates change at random while moves are carried out, and holds each decision against what must
// never happen.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), uint8(12), uint8(3), uint8(2))
	f.Add(uint64(9), uint8(40), uint8(50), uint8(5))
	f.Add(uint64(5), uint8(1), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, nodes, surge, budget uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t, 1+int(nodes)%40, "a", "b", "c")
		w.renew()
		most := 1 + int(surge)%10
		u := w.in.Policy.Spec.Upgrade
		u.MaxSurge = ptr(intstr.FromInt32(int32(most)))
		u.PauseOn = []v1alpha1.PauseQuery{{Name: "burn", PromQL: "x"}}
		u.Windows = []v1alpha1.Window{{Schedule: "*/20 * * * *", Duration: span(15 * time.Minute)}}
		w.in.Policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(int32(budget % 10))}}
		for range 60 {
			change(w, r)
			w.in.Now = w.in.Now.Add(time.Duration(r.IntN(90)) * time.Second)
			w.carryOn()
			holdsUp(t, w, upgrade.Decide(w.in), most, int(budget%10))
		}
	})
}

func change(w *world, r *rand.Rand) {
	i := r.IntN(len(w.in.Nodes))
	n := &w.in.Nodes[i]
	switch r.IntN(10) {
	case 0:
		w.in.Pauses["burn"] = upgrade.Answer{State: decision.Fresh}
	case 1:
		w.in.Pauses["burn"] = upgrade.Answer{State: decision.Fresh, Values: []float64{r.NormFloat64()}}
	case 2:
		delete(w.in.Pauses, "burn")
	case 3:
		n.Unhealthy = []string{"", "Ready is False"}[r.IntN(2)]
	case 4:
		n.DoNotDisrupt = []string{"", "pod a/b"}[r.IntN(2)]
	case 5:
		w.in.Policy.Spec.Template.Annotations = map[string]string{"a": fmt.Sprint(r.IntN(3))}
	case 6:
		w.in.APIServer = []string{"", newVersion, newVersion, newVersion, oldVersion}[r.IntN(5)]
	case 7:
		if n.Node != nil {
			n.Node.Status.Conditions[0].Status = []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse}[r.IntN(2)]
		}
	default:
		w.in.Pauses["burn"], w.in.APIServer = upgrade.Answer{State: decision.Fresh}, newVersion
	}
}

func holdsUp(t *testing.T, w *world, out upgrade.Decision, most, budget int) {
	t.Helper()
	for i := range w.in.Nodes {
		n := &w.in.Nodes[i]
		name := n.Claim.Name
		if n.Node != nil {
			name = n.Node.Name
		}
		if s := out.Stays[name]; s.Code == "" || s.Message == "" || len(s.Verdicts) == 0 {
			t.Fatalf("no answer for %s: %+v", name, s)
		}
	}
	if len(out.Moves) == 0 {
		return
	}
	open, _, err := disruption.InWindow(w.in.Policy.Spec.Upgrade.Windows, w.in.Now)
	answer, answered := w.in.Pauses["burn"]
	switch {
	case err != nil || !open:
		t.Fatalf("moves outside of a window: %v", err)
	case !answered || answer.State != decision.Fresh || slices.ContainsFunc(answer.Values, func(v float64) bool { return v > 0 }):
		t.Fatalf("moves while paused: %+v", answer)
	case w.in.APIServer != newVersion:
		t.Fatalf("moves to %s with an API server of %q", newVersion, w.in.APIServer)
	}
	for _, m := range out.Moves {
		n := w.find(m.Remove[0])
		if n.DoNotDisrupt != "" || n.Claim.Status.Disruption != nil || len(m.Remove) != 1 || m.Reason != v1alpha1.DisruptDrifted {
			t.Fatalf("move %+v of %+v", m, n.Claim.Status)
		}
		w.begin(m)
	}
	going, away := 0, 0
	for _, n := range w.in.Nodes {
		leaves := n.Claim.Status.Disruption != nil
		if leaves {
			going++
		}
		if n.Node != nil && (leaves || n.Node.Status.Conditions[0].Status != corev1.ConditionTrue) {
			away++
		}
	}
	if going > most {
		t.Fatalf("%d nodes are renewed at once, and no more than %d may be", going, most)
	}
	if away > budget {
		t.Fatalf("%d nodes are disrupted within a budget of %d", away, budget)
	}
}
