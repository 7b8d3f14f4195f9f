package upgrade_test

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
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// Sixty nodes in three zones, four at a time, for half an hour each night.
func TestARollingUpgradeThroughWindows(t *testing.T) {
	w := newWorld(t, 60, "a", "b", "c")
	w.renew()
	u := w.in.Policy.Spec.Upgrade
	u.MaxSurge = ptr(intstr.FromInt32(4))
	u.Windows = []v1alpha1.Window{{Schedule: "0 1 * * *", Duration: span(30 * time.Minute)}}
	var estimate time.Time
	var at []time.Time
	updated := int32(0)
	for w.in.Now.Before(start.Add(72 * time.Hour)) {
		out := w.tick(10 * time.Second)
		for range out.Moves {
			at = append(at, w.in.Now)
		}
		if out.Status == nil {
			break
		}
		if out.Status.Total != 60 {
			t.Fatalf("%s: total %d, want 60", w.in.Now, out.Status.Total)
		}
		if out.Status.Updated < updated {
			t.Fatalf("%s: %d are updated, and %d were", w.in.Now, out.Status.Updated, updated)
		}
		if updated = out.Status.Updated; updated == 12 && estimate.IsZero() {
			estimate = out.Status.EstimatedCompletion.Time
		}
		open, _, err := disruption.InWindow(u.Windows, w.in.Now)
		if err != nil {
			t.Fatal(err)
		}
		if (out.Paused == "Window") == open {
			t.Fatalf("%s: paused %q, window open %v", w.in.Now, out.Paused, open)
		}
		if len(out.Stays) != len(w.in.Nodes)-len(out.Moves) {
			t.Fatalf("%d answers for %d nodes", len(out.Stays), len(w.in.Nodes))
		}
	}
	if len(w.moved) != 60 {
		t.Fatalf("%d nodes were renewed, want 60", len(w.moved))
	}
	if w.most > 64 {
		t.Errorf("%d nodes at once, want no more than 64", w.most)
	}
	for i, when := range at {
		if when.Hour() != 1 || when.Minute() >= 30 {
			t.Errorf("move %d at %s, outside of the window", i, when)
		}
	}
	// Zone by zone, the oldest first.
	var want []string
	for zone := range 3 {
		for i := zone; i < 60; i += 3 {
			want = append(want, fmt.Sprintf("n%02d", i))
		}
	}
	if !slices.Equal(w.moved, want) {
		t.Errorf("the order was %v", w.moved)
	}
	finished := w.in.Now
	if off := estimate.Sub(finished).Abs(); off > 15*time.Minute {
		t.Errorf("estimated %s after 12 nodes, finished %s", estimate, finished)
	}
	t.Logf("estimated %s after 12 nodes, finished %s", estimate, finished)
}

func TestNewNodesThatFailStopIt(t *testing.T) {
	w := newWorld(t, 20)
	w.renew()
	w.in.Policy.Spec.Upgrade.MaxSurge = ptr(intstr.FromInt32(3))
	w.broken = func(string) bool { return true }
	// What never boots is given back after the boot timeout, as repair does it, and its move taken back.
	var out upgrade.Decision
	for range 6 * 60 * 6 {
		out = w.tick(10 * time.Second)
		w.in.Nodes = slices.DeleteFunc(w.in.Nodes, func(n upgrade.Node) bool {
			if n.Node != nil || w.in.Now.Sub(n.Claim.CreationTimestamp.Time) < 16*time.Minute {
				return false
			}
			for i := range w.in.Nodes {
				if o := w.in.Nodes[i].Claim; o.Name == n.Claim.Spec.Replaces[0] {
					o.Status.Disruption, o.Status.Phase = nil, v1alpha1.ClaimReady
				}
			}
			return true
		})
	}
	// Three in the first 16 minutes, and then one surge in each hour and a quarter.
	if n := len(w.moved); n < 6 || n > 15 {
		t.Errorf("%d nodes were begun within 6 hours, want 6 to 15", n)
	}
	if out.Status == nil || out.Status.Updated != 0 || out.Status.Total != 20 {
		t.Errorf("status %+v", out.Status)
	}
	if out.Paused != "NewNodesFail" || !strings.Contains(out.Status.Paused, "3 new nodes have failed within 1h") {
		t.Errorf("paused %q: %s", out.Paused, out.Status.Paused)
	}
}

func TestASoakedNodeComesBeforeTheNext(t *testing.T) {
	w := newWorld(t, 5)
	w.renew()
	w.in.Policy.Spec.Upgrade.SoakTime = ptr(span(30 * time.Minute))
	var at []time.Duration
	for range 6 * 60 * 3 {
		for range w.tick(10 * time.Second).Moves {
			at = append(at, w.in.Now.Sub(start))
		}
	}
	if len(at) != 5 {
		t.Fatalf("%d moves, want 5", len(at))
	}
	for i := range at[1:] {
		if d := at[i+1] - at[i]; d < 32*time.Minute || d > 33*time.Minute {
			t.Errorf("move %d came %s after the one before, want 2m to boot and 30m to soak", i+1, d)
		}
	}
}

// A provider that makes nodes of another version than asked for is found out by the first of them.
func TestAProviderThatIgnoresTheVersionIsFoundOut(t *testing.T) {
	w := newWorld(t, 10)
	w.renew()
	var out upgrade.Decision
	for range 6 * 60 {
		out = w.tick(10 * time.Second)
		for i := range w.in.Nodes {
			if n := w.in.Nodes[i].Node; n != nil {
				n.Status.NodeInfo.KubeletVersion = oldVersion
			}
		}
	}
	if len(w.moved) != 1 {
		t.Errorf("%d nodes were renewed for nothing, want 1", len(w.moved))
	}
	if out.Paused != "Futile" || !strings.Contains(out.Status.Paused, "node new01 was made from this very template, and its kubelet is v1.36.4, not v1.37.2") {
		t.Errorf("paused %q: %s", out.Paused, out.Status.Paused)
	}
}

func TestBudgetsBoundRenewal(t *testing.T) {
	w := newWorld(t, 30)
	w.renew()
	w.in.Policy.Spec.Upgrade.MaxSurge = ptr(intstr.FromString("100%"))
	w.in.Policy.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromInt32(3), Reasons: []v1alpha1.DisruptionReason{v1alpha1.DisruptDrifted}}}
	for range 6 * 60 * 3 {
		w.tick(10 * time.Second)
		going := 0
		for _, n := range w.in.Nodes {
			if n.Claim.Status.Disruption != nil {
				going++
			}
		}
		if going > 3 {
			t.Fatalf("%d nodes at once within a budget of 3", going)
		}
	}
	if len(w.moved) != 30 {
		t.Errorf("%d nodes were renewed, want 30", len(w.moved))
	}
}

// From 1.34 to 1.37 the control plane goes one minor version at a time, and nodes after it.
func TestTheControlPlaneComesFirst(t *testing.T) {
	w := newWorld(t, 3)
	for i := range w.in.Nodes {
		w.in.Nodes[i].Node.Status.NodeInfo.KubeletVersion = "v1.34.1"
	}
	w.renew()
	w.in.Policy.Spec.Upgrade.ControlPlane = true
	c := &upgrade.ControlPlane{Wanted: "v1.34.1", Running: "v1.34.1"}
	w.in.ControlPlane, w.in.APIServer = c, "v1.34.1"
	var asked []string
	takes := 0
	for range 6 * 60 * 2 {
		out := w.tick(10 * time.Second)
		if len(out.Moves) > 0 && c.Running != newVersion {
			t.Fatalf("a node is renewed while the control plane is %s", c.Running)
		}
		if out.ControlPlane != nil {
			asked = append(asked, out.ControlPlane.Version)
			c.Wanted, takes = out.ControlPlane.Version, 0
		}
		if takes++; takes == 30 {
			c.Running, w.in.APIServer = c.Wanted, c.Wanted
		}
	}
	if want := []string{"v1.35.0", "v1.36.0", "v1.37.2"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	if len(w.moved) != 3 {
		t.Errorf("%d nodes were renewed, want 3", len(w.moved))
	}
}

func TestSickNodesComeFirst(t *testing.T) {
	w := newWorld(t, 9, "a", "b", "c")
	w.renew()
	w.in.Nodes[8].Unhealthy = "Ready is False"
	w.in.Nodes[8].Node.Status.Conditions[0].Status = corev1.ConditionFalse
	if got := w.tick(10 * time.Second).Moves; len(got) != 1 || got[0].Remove[0] != "n08" {
		t.Errorf("moves %+v, want n08", got)
	}
}

// The pace of nodes that are new for another reason is no progress of the upgrade.
func TestNoEstimateBeforeTheFirstNode(t *testing.T) {
	w := newWorld(t, 9)
	w.renew()
	out := w.tick(10 * time.Second)
	if out.Status == nil || out.Status.EstimatedCompletion != nil {
		t.Errorf("status %+v", out.Status)
	}
	if want := metav1.NewTime(w.in.Now); !out.Status.Started.Equal(&want) {
		t.Errorf("started %v, want %v", out.Status.Started, want)
	}
}

func TestAPauseIsLifted(t *testing.T) {
	w := newWorld(t, 9)
	w.renew()
	w.in.Policy.Spec.Upgrade.PauseOn = []v1alpha1.PauseQuery{{Name: "slo-burn", PromQL: "x"}}
	if out := w.tick(10 * time.Second); len(out.Moves) > 0 || out.Paused != "PauseOn" || out.Status.Paused != "slo-burn has no answer yet" {
		t.Errorf("paused %q %+v", out.Paused, out.Status)
	}
	w.in.Pauses["slo-burn"] = upgrade.Answer{State: decision.Fresh, Values: []float64{0, 2}}
	if out := w.tick(10 * time.Second); len(out.Moves) > 0 || out.Status.Paused != "slo-burn is above 0 (2)" {
		t.Errorf("paused %q %+v", out.Paused, out.Status)
	}
	w.in.Pauses["slo-burn"] = upgrade.Answer{State: decision.Fresh}
	if out := w.tick(10 * time.Second); len(out.Moves) != 1 {
		t.Errorf("paused %q %+v", out.Paused, out.Status)
	}
}
