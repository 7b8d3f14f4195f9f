package repair_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/repair"
)

// sick makes n0 of ten nodes NotReady for so long, with a kubelet that still answers.
func sick(since time.Duration) *world {
	w := newWorld(10)
	w.tick(0)
	w.conditionSince(0, corev1.NodeReady, corev1.ConditionFalse, start.Add(-since))
	w.tick(30 * time.Second)
	return w
}

func tried(w *world, ago time.Duration, steps ...v1alpha1.RepairStep) {
	for _, s := range steps {
		w.in.Nodes[0].Claim.Status.Repairs = append(w.in.Nodes[0].Claim.Status.Repairs,
			v1alpha1.RepairAttempt{Step: s, Rule: "ready", At: metav1.NewTime(w.in.Now.Add(-ago))})
	}
}

func TestEveryNodeGetsAnAnswer(t *testing.T) {
	tests := map[string]struct {
		world      func() *world
		wantState  repair.State
		wantCode   string
		wantReason string
		wantStep   v1alpha1.RepairStep
		wantWay    repair.Way
	}{
		"a healthy node": {
			world:     func() *world { return newWorld(10) },
			wantState: repair.Healthy, wantCode: "Healthy", wantReason: "no rule applies",
		},
		"a node that nobody owns": {
			world: func() *world {
				w := newWorld(1)
				w.in.Nodes[0].Claim = nil
				delete(w.in.Nodes[0].Node.Labels, v1alpha1.LabelNodePolicy)
				return w
			},
			wantState: repair.Unjudged, wantCode: "NoPolicy", wantReason: "no policy owns the node",
		},
		"a policy that does not exist": {
			world:     func() *world { w := newWorld(1); w.in.Policies = nil; return w },
			wantState: repair.Unjudged, wantCode: "NoPolicy", wantReason: "its policy general does not exist",
		},
		"a policy without repair": {
			world:     func() *world { w := newWorld(1); w.policy.Spec.Repair = nil; return w },
			wantState: repair.Unjudged, wantCode: "RepairOff", wantReason: "does not repair",
		},
		"not ready for a short time": {
			world:     func() *world { return sick(time.Minute) },
			wantState: repair.Watching, wantCode: "Watching", wantReason: "ready: Ready is False for 2m; it counts after 5m",
		},
		"not ready for long before we looked": {
			world: func() *world {
				w := newWorld(10)
				w.in.Memory = repair.NewMemory()
				w.conditionSince(0, corev1.NodeReady, corev1.ConditionFalse, start.Add(-time.Hour))
				return w
			},
			wantState: repair.Watching, wantCode: "Watching", wantReason: "it counts once it was seen here for 30s",
		},
		"not ready for long": {
			world:     func() *world { return sick(10 * time.Minute) },
			wantState: repair.Repairing, wantCode: "RestartAgent", wantReason: "Ready is False for 11m: its agent is restarted",
			wantStep: v1alpha1.RepairRestartAgent,
		},
		"a transition in the future counts from when it was seen": {
			world:     func() *world { return sick(-time.Hour) },
			wantState: repair.Watching, wantCode: "Watching", wantReason: "Ready is False for 30s",
		},
		"an agent's restart is given its time": {
			world:     func() *world { w := sick(time.Hour); tried(w, 2*time.Minute, v1alpha1.RepairRestartAgent); return w },
			wantState: repair.Repairing, wantCode: "StepRunning", wantReason: "RestartAgent was tried 2m30s ago, and is given another 2m30s",
		},
		"an attempt in the far future does not wait for ever": {
			world:     func() *world { w := sick(time.Hour); tried(w, -time.Hour, v1alpha1.RepairRestartAgent); return w },
			wantState: repair.Repairing, wantCode: "Reboot", wantStep: v1alpha1.RepairReboot,
		},
		"a reboot comes next, after a drain": {
			world:     func() *world { w := sick(time.Hour); tried(w, 6*time.Minute, v1alpha1.RepairRestartAgent); return w },
			wantState: repair.Repairing, wantCode: "Reboot", wantReason: "it is drained and rebooted", wantStep: v1alpha1.RepairReboot,
		},
		"then a replacement, which comes first": {
			world: func() *world {
				w := sick(time.Hour)
				tried(w, 6*time.Minute, v1alpha1.RepairRestartAgent, v1alpha1.RepairReboot)
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantReason: "a new node comes first, then it is drained",
			wantStep: v1alpha1.RepairReplace, wantWay: repair.Surge,
		},
		"a replacement that was written down and never begun": {
			world: func() *world {
				w := sick(time.Hour)
				tried(w, 6*time.Minute, v1alpha1.RepairRestartAgent, v1alpha1.RepairReboot, v1alpha1.RepairReplace)
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantStep: v1alpha1.RepairReplace, wantWay: repair.Surge,
		},
		"a provider that can only replace": {
			world:     func() *world { w := sick(time.Hour); w.can(); return w },
			wantState: repair.Repairing, wantCode: "Replace", wantStep: v1alpha1.RepairReplace, wantWay: repair.Surge,
		},
		"a ladder without a replacement ends": {
			world: func() *world {
				w := sick(time.Hour)
				w.policy.Spec.Repair.Ladder = []v1alpha1.RepairStep{v1alpha1.RepairReboot}
				tried(w, 6*time.Minute, v1alpha1.RepairReboot)
				return w
			},
			wantState: repair.Unhealthy, wantCode: "Exhausted", wantReason: "Reboot did not help, and the ladder has no further step",
		},
		"a ladder of which the provider can do nothing": {
			world: func() *world {
				w := sick(time.Hour)
				w.policy.Spec.Repair.Ladder = []v1alpha1.RepairStep{v1alpha1.RepairReboot}
				w.can()
				return w
			},
			wantState: repair.Unhealthy, wantCode: "NoStep", wantReason: "its provider can take no step of the ladder",
		},
		"a node that was not made by us": {
			world: func() *world {
				w := newWorld(10)
				w.in.Nodes[0].Claim = nil
				w.conditionSince(0, corev1.NodeReady, corev1.ConditionFalse, start.Add(-time.Hour))
				w.tick(0)
				return w
			},
			wantState: repair.Unhealthy, wantCode: "NotOurs", wantReason: "it would be repaired, but it was not made by a claim",
		},
		"a provider that only explains": {
			world:     func() *world { w := sick(time.Hour); w.in.Policies[0].ReadOnly = true; return w },
			wantState: repair.Unhealthy, wantCode: "ReadOnly", wantReason: "it would be repaired, but its provider only explains",
		},
		"a node that says no, whose pods still run": {
			world: func() *world {
				w := sick(time.Hour)
				w.can()
				w.in.Nodes[0].Node.Annotations = map[string]string{v1alpha1.AnnotationDoNotDisrupt: "true"}
				return w
			},
			wantState: repair.Unhealthy, wantCode: "DoNotDisrupt", wantReason: "Replace would be next, but its annotation yagura.dev/do-not-disrupt",
		},
		"a pod that says no, for a while": {
			world: func() *world {
				w := sick(time.Hour)
				w.can()
				w.in.Nodes[0].DoNotDisrupt = "pod shop/db-0"
				w.policy.Spec.Disruption.TerminationGracePeriod = ptr(span(time.Hour))
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantStep: v1alpha1.RepairReplace, wantWay: repair.Surge,
		},
		"an agent's restart harms no pod that says no": {
			world:     func() *world { w := sick(time.Hour); w.in.Nodes[0].DoNotDisrupt = "pod shop/db-0"; return w },
			wantState: repair.Repairing, wantCode: "RestartAgent", wantStep: v1alpha1.RepairRestartAgent,
		},
		"a dead node has nothing to protect, and nobody to drain it": {
			world: func() *world {
				w := newWorld(10)
				w.can()
				w.in.Nodes[0].DoNotDisrupt = "pod shop/db-0"
				w.tick(0)
				w.tick(10 * time.Second)
				w.dies(0)
				for range 30 {
					w.tick(10 * time.Second)
				}
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantReason: "its machine is deleted first and its pods after that",
			wantStep: v1alpha1.RepairReplace, wantWay: repair.Force,
		},
		"a budget that forbids it": {
			world: func() *world {
				w := sick(time.Hour)
				w.policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(0), Reasons: []v1alpha1.DisruptionReason{v1alpha1.DisruptUnhealthy}}}
				return w
			},
			wantState: repair.Unhealthy, wantCode: "Budget", wantReason: "RestartAgent would be next, but the budget of 0",
		},
		"a budget that cannot be read": {
			world: func() *world {
				w := sick(time.Hour)
				w.policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(3), Schedule: "nonsense", Duration: ptr(span(time.Hour))}}
				return w
			},
			wantState: repair.Unhealthy, wantCode: "BudgetInvalid", wantReason: "nonsense",
		},
		"a claim that is being deleted": {
			world: func() *world {
				w := sick(time.Hour)
				w.in.Nodes[0].Claim.DeletionTimestamp = &metav1.Time{Time: start}
				return w
			},
			wantState: repair.Leaving, wantCode: "Leaving",
		},
		"a node that is being replaced already": {
			world: func() *world {
				w := sick(time.Hour)
				w.in.Nodes[0].Claim.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnhealthy, Message: "ready"}
				return w
			},
			wantState: repair.Repairing, wantCode: "Replacing",
		},
		"a node that dies under its drain": {
			world: func() *world {
				w := newWorld(10)
				w.tick(0)
				w.tick(10 * time.Second)
				w.in.Nodes[0].Claim.Status.Phase = v1alpha1.ClaimDraining
				w.in.Nodes[0].Claim.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptUnderutilized}
				w.dies(0)
				for range 30 {
					w.tick(10 * time.Second)
				}
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantStep: v1alpha1.RepairReplace, wantWay: repair.Force,
		},
		"a claim whose machine was not made yet": {
			world: func() *world {
				w := newWorld(10)
				w.in.Nodes[0].Node = nil
				w.in.Nodes[0].Claim.Status = v1alpha1.NodeClaimStatus{Phase: v1alpha1.ClaimPending, Message: "sold out"}
				return w
			},
			wantState: repair.Booting, wantCode: "NotLaunched", wantReason: "its provider has made no machine yet: sold out",
		},
		"a machine that boots": {
			world:     func() *world { return booting(10 * time.Minute) },
			wantState: repair.Booting, wantCode: "Booting", wantReason: "launched 10m ago, and may take 15m",
		},
		"a machine that never came": {
			world:     func() *world { return booting(15 * time.Minute) },
			wantState: repair.Repairing, wantCode: "Replace", wantReason: "it did not become ready within 15m of its launch: it is deleted, and its offer avoided",
			wantStep: v1alpha1.RepairReplace, wantWay: repair.Delete,
		},
		"a node whose object is gone": {
			world: func() *world {
				w := newWorld(10)
				w.tick(0)
				w.in.Nodes[0].Node = nil
				for range 90 {
					w.tick(10 * time.Second)
				}
				w.can()
				return w
			},
			wantState: repair.Repairing, wantCode: "Replace", wantReason: "its Node object is gone", wantStep: v1alpha1.RepairReplace, wantWay: repair.Force,
		},
		"a condition that is set by others": {
			world: func() *world {
				w := newWorld(10)
				w.rule(v1alpha1.RepairRule{Name: "gpu", Condition: &v1alpha1.UnhealthyCondition{Type: "GPUHealthy", Statuses: []corev1.ConditionStatus{corev1.ConditionFalse}}, For: span(2 * time.Minute)})
				w.tick(0)
				w.condition(0, "GPUHealthy", corev1.ConditionFalse)
				w.tick(30 * time.Second)
				return w
			},
			wantState: repair.Watching, wantCode: "Watching", wantReason: "gpu: GPUHealthy is False for 1m; it counts after 2m",
		},
		"a query without an answer counts for nobody, and is told": {
			world: func() *world {
				w := newWorld(10)
				w.rule(v1alpha1.RepairRule{Name: "disk", PromQL: "x", For: span(0)})
				w.in.Answers[repair.RuleID{Policy: "general", Rule: "disk"}] = repair.Answer{State: decision.Stale, Reason: "the newest sample is 9m old", Values: map[string]float64{"n0": 1}}
				return w
			},
			wantState: repair.Healthy, wantCode: "Healthy", wantReason: "disk counts for no node: the query's answer is stale: the newest sample is 9m old",
		},
		"a query above 0": {
			world: func() *world {
				w := newWorld(10)
				w.rule(v1alpha1.RepairRule{Name: "disk", PromQL: "x", For: span(0)})
				w.in.Answers[repair.RuleID{Policy: "general", Rule: "disk"}] = repair.Answer{State: decision.Fresh, Values: map[string]float64{"n0": 2}}
				return w
			},
			wantState: repair.Repairing, wantCode: "RestartAgent", wantReason: "disk: the query gives 2", wantStep: v1alpha1.RepairRestartAgent,
		},
		"a node that was never heard of": {
			world: func() *world {
				w := newWorld(10)
				w.rule(v1alpha1.RepairRule{Name: "agent", Silence: ptr(v1alpha1.SilentCollector), For: span(time.Minute)})
				w.silent["n0"] = true
				for range 30 {
					w.tick(10 * time.Second)
				}
				return w
			},
			wantState: repair.Healthy, wantCode: "Healthy", wantReason: "agent does not count: nothing was ever heard of it through its collector",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := tt.world()
			d := w.tick(30 * time.Second)
			got := d.Health[0]
			if got.State != tt.wantState || got.Code != tt.wantCode || !strings.Contains(got.Message, tt.wantReason) {
				t.Errorf("got %s %s %q\nwant %s %s %q", got.State, got.Code, got.Message, tt.wantState, tt.wantCode, tt.wantReason)
			}
			if len(got.Verdicts) == 0 {
				t.Error("no verdicts")
			}
			var step v1alpha1.RepairStep
			var way repair.Way
			if len(d.Actions) > 0 {
				a := only(t, d)
				step, way = a.Step, a.Way
				if a.Claim != got.Claim || a.Node != got.Node || a.Message != got.Message {
					t.Errorf("action %+v is not the answer %+v", a, got)
				}
			}
			if step != tt.wantStep || way != tt.wantWay {
				t.Errorf("step %q %q, want %q %q", step, way, tt.wantStep, tt.wantWay)
			}
			for i, h := range d.Health {
				if h.Code == "" || h.Message == "" || h.State == "" {
					t.Errorf("node %d has no answer: %+v", i, h)
				}
			}
		})
	}
}

// booting is a world in which n0 was launched so long before the next tick, and has no node.
func booting(ago time.Duration) *world {
	w := newWorld(10)
	c := w.in.Nodes[0].Claim
	w.in.Nodes[0].Node = nil
	c.Status = v1alpha1.NodeClaimStatus{Phase: v1alpha1.ClaimLaunched, Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(start.Add(30*time.Second - ago)),
	}}}
	return w
}
