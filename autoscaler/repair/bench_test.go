package repair_test

import (
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// BenchmarkDecide judges 5,000 nodes by four rules: all well, and with a hundred of them sick.
func BenchmarkDecide(b *testing.B) {
	for name, sick := range map[string]int{"well": 0, "100 sick": 100} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(5000, "a", "b", "c")
			w.policy.Spec.Repair.Rules = repair.DefaultRules()
			w.rule(v1alpha1.RepairRule{Name: "lease", For: span(time.Minute), Silence: ptr(v1alpha1.SilentLease)})
			w.rule(v1alpha1.RepairRule{Name: "collector", For: span(time.Minute), Silence: ptr(v1alpha1.SilentCollector)})
			w.rule(v1alpha1.RepairRule{Name: "disk", For: span(time.Minute), PromQL: "x"})
			w.in.Answers[repair.RuleID{Policy: "general", Rule: "disk"}] = repair.Answer{State: decision.Fresh}
			w.tick(0)
			for i := range sick {
				w.dies(i)
			}
			for range 40 {
				w.tick(10 * time.Second)
			}
			b.ReportAllocs()
			for b.Loop() {
				if d := repair.Decide(w.in); len(d.Health) != 5000 || (len(d.Actions) > 0) != (sick > 0) {
					b.Fatalf("%d actions", len(d.Actions))
				}
			}
		})
	}
}
