package repair_test

import (
	"fmt"
	"slices"
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

func TestALadderIsClimbed(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	begun := w.in.Now
	w.condition(3, corev1.NodeReady, corev1.ConditionFalse)
	var at []time.Duration
	got := w.run(time.Hour, func(d repair.Decision) {
		for range d.Actions {
			at = append(at, w.in.Now.Sub(begun))
		}
	})
	if want := []string{"n3 RestartAgent", "n3 Reboot", "n3 Replace Surge"}; !slices.Equal(steps(got), want) {
		t.Errorf("steps %v, want %v", steps(got), want)
	}
	if want := []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute}; !slices.Equal(at, want) {
		t.Errorf("at %v, want %v", at, want)
	}
}

func TestAStepThatHelpsIsForgottenInTime(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	w.condition(3, corev1.NodeReady, corev1.ConditionFalse)
	if got := w.run(6*time.Minute, nil); !slices.Equal(steps(got), []string{"n3 RestartAgent"}) {
		t.Fatalf("steps %v", steps(got))
	}
	healed := w.in.Now
	w.condition(3, corev1.NodeReady, corev1.ConditionTrue)
	var recovered time.Duration
	if got := w.run(time.Hour, func(d repair.Decision) {
		if len(d.Recovered) > 0 && recovered == 0 {
			recovered = w.in.Now.Sub(healed)
		}
	}); len(got) > 0 {
		t.Errorf("steps on a healthy node: %v", steps(got))
	}
	// Five bad minutes take four times as long to be forgotten.
	if recovered < 19*time.Minute || recovered > 21*time.Minute {
		t.Errorf("recovered after %s, want about 20m", recovered)
	}
}

func TestAFlappingNodeIsRepairedInTheEndAndABlipNever(t *testing.T) {
	tests := map[string]struct {
		bad, good time.Duration
		// by is how long it may take until the first step, 0 when there must be none within a day.
		by time.Duration
	}{
		"half of the time":           {time.Minute, time.Minute, 15 * time.Minute},
		"a third of the time":        {time.Minute, 2 * time.Minute, 40 * time.Minute},
		"as fast as we look":         {20 * time.Second, 20 * time.Second, 40 * time.Minute},
		"a tenth of the time":        {time.Minute, 9 * time.Minute, 0},
		"a blip of four minutes, 1h": {4 * time.Minute, time.Hour, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(10)
			w.run(time.Minute, nil)
			begun, bad := w.in.Now, false
			var first time.Duration
			for w.in.Now.Sub(begun) < 24*time.Hour && first == 0 {
				if bad = !bad; bad {
					w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
				} else {
					w.condition(0, corev1.NodeReady, corev1.ConditionTrue)
				}
				for _, a := range w.run(map[bool]time.Duration{true: tt.bad, false: tt.good}[bad], nil) {
					if !bad {
						t.Fatalf("acted on a node that was well: %s", a.Message)
					}
					if tt.bad < 5*time.Minute && !strings.Contains(a.Message, "it comes and goes") {
						t.Errorf("the reason does not tell that it flaps: %s", a.Message)
					}
					first = w.in.Now.Sub(begun)
				}
			}
			if tt.by == 0 && first > 0 {
				t.Errorf("a step after %s", first)
			}
			if tt.by > 0 && (first == 0 || first > tt.by) {
				t.Errorf("the first step came after %s, want it within %s", first, tt.by)
			}
		})
	}
}

// A flap that is over before anybody looks is seen by its transition time.
func TestAFlapBetweenTwoLooksBeginsAnew(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
	w.run(4*time.Minute, nil)
	w.condition(0, corev1.NodeReady, corev1.ConditionTrue)
	w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
	if got := w.run(30*time.Second, nil); len(got) > 0 {
		t.Errorf("4m and 30s are not 5m: %v", steps(got))
	}
	if got := w.run(40*time.Second, nil); len(got) != 1 || !strings.Contains(got[0].Message, "it comes and goes") {
		t.Errorf("steps %v, want one for the two spells together", got)
	}
}

// From False to Unknown is no recovery, although the condition's transition time is another one.
func TestAnotherBadStatusIsTheSameSpell(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
	w.run(4*time.Minute, nil)
	w.condition(0, corev1.NodeReady, corev1.ConditionUnknown)
	if got := w.run(70*time.Second, nil); len(got) != 1 {
		t.Errorf("steps %v, want one after 5m", steps(got))
	}
}

func TestAnOutageOfAZoneStopsRepair(t *testing.T) {
	w := newWorld(60, "a", "b", "c")
	w.run(time.Minute, nil)
	w.dies(3) // a single one before, in zone a
	if got := w.run(6*time.Minute, nil); len(got) != 1 {
		t.Fatalf("before the outage: %v", steps(got))
	}
	// Zone b goes down node by node within a minute and a half, as their leases run out.
	down := 0
	for i := range w.in.Nodes {
		if i%3 == 1 {
			if down++; down%2 == 0 {
				if got := w.run(10*time.Second, nil); len(got) > 0 {
					t.Fatalf("steps during the outage: %v", steps(got))
				}
			}
			w.dies(i)
		}
	}
	var stopped []repair.Stop
	got := w.run(2*time.Hour, func(d repair.Decision) {
		if stopped = d.Stopped; d.Unhealthy["general"] != 21 {
			t.Fatalf("%d unhealthy, want 21", d.Unhealthy["general"])
		}
		for i, h := range d.Health {
			if i%3 == 1 && h.State == repair.Unhealthy && h.Code != "Storm" {
				t.Fatalf("%s: %s %s", h.Node, h.Code, h.Message)
			}
		}
	})
	if len(got) > 0 {
		t.Errorf("steps during an outage: %v", steps(got))
	}
	if len(stopped) != 2 || stopped[0].Zone != "" || stopped[1].Zone != "b" {
		t.Fatalf("stopped %+v, want the policy and its zone b", stopped)
	}
	if want := "21 of 60 nodes of the policy are unhealthy at once, and no more than 12 may be (20%)"; !strings.Contains(stopped[0].Message, want) {
		t.Errorf("message %q, want %q", stopped[0].Message, want)
	}
	if want := "20 of 20 nodes in zone b are unhealthy at once, and no more than 4 may be (20%)"; !strings.Contains(stopped[1].Message, want) {
		t.Errorf("message %q, want %q", stopped[1].Message, want)
	}

	// The zone comes back but for one node: that one, and the one from before, are repaired once it has stayed so for a while.
	back := w.in.Now
	for i := range w.in.Nodes {
		if i%3 == 1 && i != 1 {
			delete(w.silent, w.in.Nodes[i].Node.Name)
			w.condition(i, corev1.NodeReady, corev1.ConditionTrue)
		}
	}
	var resumed time.Duration
	got = w.run(20*time.Minute, func(d repair.Decision) {
		if len(d.Actions) > 0 && resumed == 0 {
			resumed = w.in.Now.Sub(back)
		}
	})
	if want := []string{"n3 Reboot", "n1 RestartAgent", "n3 Replace Force", "n1 Reboot", "n1 Replace Force"}; !slices.Equal(steps(got), want) {
		t.Errorf("after the outage: %v, want %v", steps(got), want)
	}
	if resumed != 5*time.Minute {
		t.Errorf("resumed after %s, want 5m", resumed)
	}
}

func TestAStormInOneZoneStopsThatZoneOnly(t *testing.T) {
	w := newWorld(60, "a", "b", "c")
	w.can()
	w.run(time.Minute, nil)
	for _, i := range []int{1, 4, 7, 10, 13} { // five of the twenty in zone b, 8% of all
		w.dies(i)
	}
	w.dies(0)
	var zones []string
	got := w.run(7*time.Minute, func(d repair.Decision) {
		zones = zones[:0]
		for _, s := range d.Stopped {
			zones = append(zones, s.Zone)
		}
	})
	if !slices.Equal(zones, []string{"b"}) || !slices.Equal(steps(got), []string{"n0 Replace Force"}) {
		t.Errorf("stopped in %q, steps %v", zones, steps(got))
	}
}

func TestTolerated(t *testing.T) {
	tests := map[string]struct {
		nodes   int
		percent int32
		want    int
	}{
		"none": {0, 20, 1}, "one": {1, 20, 1}, "five": {5, 20, 1}, "five at 1%": {5, 1, 1}, "six": {6, 20, 1}, "six at 10%": {6, 10, 0},
		"ten": {10, 20, 2}, "fourteen": {14, 20, 2}, "five at half": {5, 50, 2}, "all": {7, 100, 7},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := repair.Tolerated(tt.nodes, tt.percent); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestASourceThatIsSilentForAllNeverCounts(t *testing.T) {
	silence := func(source v1alpha1.SilenceSource) *world {
		w := newWorld(3)
		w.policy.Spec.Repair.MaxUnhealthy = ptr(int32(100)) // so that no storm breaker helps
		w.rule(v1alpha1.RepairRule{Name: "silent", Silence: &source, For: span(2 * time.Minute)})
		w.run(3*time.Minute, nil)
		return w
	}
	for _, source := range []v1alpha1.SilenceSource{v1alpha1.SilentLease, v1alpha1.SilentCollector} {
		t.Run(string(source)+" of one node", func(t *testing.T) {
			w := silence(source)
			w.silent["n1"] = true
			if got := w.run(4*time.Minute, nil); !slices.Equal(steps(got), []string{"n1 RestartAgent"}) {
				t.Errorf("steps %v", steps(got))
			}
		})
		t.Run(string(source)+" of all", func(t *testing.T) {
			w := silence(source)
			for i := range w.in.Nodes {
				w.silent[fmt.Sprintf("n%d", i)] = true
			}
			told := false
			if got := w.run(time.Hour, func(d repair.Decision) {
				told = strings.Contains(d.Health[0].Message, "so it is the source that is silent")
			}); len(got) > 0 {
				t.Errorf("steps %v", steps(got))
			}
			if !told {
				t.Error("nobody was told")
			}
			// One node is heard again before the others: the time in which nobody could be heard does not count for them.
			delete(w.silent, "n0")
			if got := w.run(100*time.Second, nil); len(got) > 0 {
				t.Errorf("after the source came back: %v", steps(got))
			}
			if got := w.run(time.Minute, nil); len(got) != 2 {
				t.Errorf("those that stayed silent are sick: %v", steps(got))
			}
		})
		t.Run(string(source)+" not known", func(t *testing.T) {
			w := silence(source)
			w.silent["n1"] = true
			w.in.Leases.State, w.in.Collectors.State = decision.Missing, decision.Missing
			if got := w.run(time.Hour, nil); len(got) > 0 {
				t.Errorf("steps %v", steps(got))
			}
		})
		t.Run(string(source)+" with a clock an hour behind", func(t *testing.T) {
			w := silence(source)
			w.silent["n1"] = true
			for range 60 {
				w.in.Leases.At["n1"] = w.in.Now.Add(-time.Hour)
				w.in.Collectors.At["n1"] = w.in.Now.Add(-time.Hour)
				if got := w.run(10*time.Second, nil); len(got) > 0 {
					t.Fatalf("steps %v", steps(got))
				}
			}
		})
	}
}

// What a query says counts for its moment, so that only times in which it was answered are counted.
func TestTimesWithoutAnAnswerDoNotCount(t *testing.T) {
	w := newWorld(10)
	w.rule(v1alpha1.RepairRule{Name: "disk", LogQL: "x", For: span(5 * time.Minute)})
	id := repair.RuleID{Policy: "general", Rule: "disk"}
	bad := repair.Answer{State: decision.Fresh}
	bad.Add("n2", 1)
	w.in.Answers[id] = bad
	w.run(4*time.Minute, nil)
	w.in.Answers[id] = repair.Answer{State: decision.Missing, Reason: "the query service does not answer"}
	if got := w.run(time.Hour, nil); len(got) > 0 {
		t.Fatalf("steps without an answer: %v", steps(got))
	}
	w.in.Answers[id] = bad
	if got := w.run(50*time.Second, nil); len(got) > 0 {
		t.Errorf("steps after 4m and 50s: %v", steps(got))
	}
	if got := w.run(30*time.Second, nil); len(got) != 1 {
		t.Errorf("steps %v, want one after 5m in all", steps(got))
	}
	// A pause of the decider itself is no answer either.
	w = newWorld(10)
	w.rule(v1alpha1.RepairRule{Name: "disk", LogQL: "x", For: span(5 * time.Minute)})
	w.in.Answers[id] = bad
	w.run(time.Minute, nil)
	if d := w.tick(time.Hour); len(d.Actions) > 0 {
		t.Errorf("steps after a pause: %v", steps(d.Actions))
	}
}

func TestBudgetsAreShared(t *testing.T) {
	w := newWorld(40)
	w.can()
	w.policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(2)}}
	w.run(time.Minute, nil)
	for i := range 4 {
		w.dies(i)
		w.run(10*time.Second, nil)
	}
	got := w.run(10*time.Minute, nil)
	if want := []string{"n0 Replace Force", "n1 Replace Force"}; !slices.Equal(steps(got), want) {
		t.Fatalf("steps %v, want %v", steps(got), want)
	}
	// One is gone, and a healthy one has come: the next may follow.
	w.in.Nodes[0] = newNode("n100", "a")
	if got := w.run(time.Minute, nil); !slices.Equal(steps(got), []string{"n2 Replace Force"}) {
		t.Errorf("steps %v", steps(got))
	}
}

// A node that comes under the name of another one does not inherit what was counted against it.
func TestAnotherMachineUnderTheSameName(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	for range 4 {
		w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
		w.run(time.Minute, nil)
		w.condition(0, corev1.NodeReady, corev1.ConditionTrue)
		w.run(10*time.Second, nil)
	}
	w.in.Nodes[0] = newNode("n0", "a")
	w.in.Nodes[0].Claim.UID = "another"
	w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
	if got := w.run(4*time.Minute, nil); len(got) > 0 {
		t.Errorf("steps %v", steps(got))
	}
}

// After a new start all that counts is in the API: a step is not taken twice, and a long-sick node is not watched anew.
func TestANewLeaderGoesOn(t *testing.T) {
	w := newWorld(10)
	w.run(time.Minute, nil)
	w.condition(0, corev1.NodeReady, corev1.ConditionFalse)
	got := w.run(6*time.Minute, nil)
	w.in.Memory = repair.NewMemory()
	got = append(got, w.run(5*time.Minute, nil)...)
	if want := []string{"n0 RestartAgent", "n0 Reboot"}; !slices.Equal(steps(got), want) {
		t.Errorf("steps %v, want %v", steps(got), want)
	}
}

func TestMachinesThatNeverBootAreGivenBackOnce(t *testing.T) {
	w := newWorld(10)
	for i := range 6 { // more than any storm breaker would allow
		w.in.Nodes[i].Node = nil
		w.in.Nodes[i].Claim.Status = v1alpha1.NodeClaimStatus{Phase: v1alpha1.ClaimRegistered}
		w.in.Nodes[i].Claim.CreationTimestamp = metav1.NewTime(start)
	}
	got := w.run(time.Hour, nil)
	if len(got) != 6 {
		t.Errorf("steps %v, want each of six once", steps(got))
	}
	for _, a := range got {
		if a.Way != repair.Delete || !a.AvoidOffer || a.Rule != repair.Boot || a.Code != "BootFailed" {
			t.Errorf("%+v", a)
		}
	}
}
