package upgrade_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

const (
	oldVersion = "v1.36.4"
	newVersion = "v1.37.2"
)

// world is a cluster of one policy with a fake clock, whose moves are carried out: a new node boots, becomes ready, and the old one
// drains and goes.
type world struct {
	t      testing.TB
	in     upgrade.Input
	boot   time.Duration
	drain  time.Duration
	made   int
	broken func(claim string) bool
	// most is how many nodes were there at once, moved the nodes that were renewed, in order.
	most  int
	moved []string
}

func newWorld(t testing.TB, nodes int, zones ...string) *world {
	if len(zones) == 0 {
		zones = []string{"a"}
	}
	w := &world{t: t, boot: 2 * time.Minute, drain: time.Minute, broken: func(string) bool { return false }}
	p := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "general"}}
	p.Spec.Template.Version = oldVersion
	p.Spec.Upgrade = &v1alpha1.NodeUpgrade{}
	p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{{Nodes: intstr.FromString("100%")}}
	w.in = upgrade.Input{Now: start, Policy: p, APIServer: newVersion, Memory: upgrade.NewMemory(), Pauses: map[string]upgrade.Answer{}}
	for i := range nodes {
		w.in.Nodes = append(w.in.Nodes, w.node(fmt.Sprintf("n%02d", i), zones[i%len(zones)], start.Add(-24*time.Hour+time.Duration(i)*time.Minute)))
	}
	return w
}

func (w *world) hash() string {
	hash, err := w.in.Policy.TemplateHash()
	if err != nil {
		w.t.Fatal(err)
	}
	return hash
}

// node makes one that is ready, from the template as it is now.
func (w *world) node(name, zone string, born time.Time) upgrade.Node {
	at := metav1.NewTime(born)
	return upgrade.Node{
		Node: &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at, Labels: map[string]string{corev1.LabelTopologyZone: zone}},
			Spec:       corev1.NodeSpec{Taints: slices.Clone(w.in.Policy.Spec.Template.Taints)},
			Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: w.in.Policy.Spec.Template.Version},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}},
		},
		Claim: w.claim(name, zone, born, v1alpha1.ClaimReady),
	}
}

func (w *world) claim(name, zone string, born time.Time, phase v1alpha1.NodeClaimPhase) *v1alpha1.NodeClaim {
	return &v1alpha1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "general-" + name, CreationTimestamp: metav1.NewTime(born)},
		Spec: v1alpha1.NodeClaimSpec{Policy: "general", TemplateHash: w.hash(), Image: w.in.Policy.Spec.Template.Image,
			Offer: v1alpha1.ClaimedOffer{Name: "m5.large", Zone: zone, CapacityType: "on-demand"}},
		Status: v1alpha1.NodeClaimStatus{Phase: phase},
	}
}

// renew makes all nodes differ.
func (w *world) renew() { w.in.Policy.Spec.Template.Version = newVersion }

// tick lets time pass, carries on what is under way, decides, and begins the moves.
func (w *world) tick(d time.Duration) upgrade.Decision {
	w.in.Now = w.in.Now.Add(d)
	w.carryOn()
	w.most = max(w.most, len(w.in.Nodes))
	out := upgrade.Decide(w.in)
	w.in.Policy.Status.Upgrade = out.Status
	for _, m := range out.Moves {
		w.begin(m)
	}
	return out
}

func (w *world) find(name string) *upgrade.Node {
	for i := range w.in.Nodes {
		if n := &w.in.Nodes[i]; n.Node != nil && n.Node.Name == name {
			return n
		}
	}
	w.t.Fatalf("no node %s", name)
	return nil
}

func (w *world) begin(m disruption.Move) {
	n := w.find(m.Remove[0])
	w.moved = append(w.moved, n.Node.Name)
	n.Claim.Status.Disruption = &v1alpha1.ClaimDisruption{Reason: m.Reason, Message: m.Message, At: metav1.NewTime(w.in.Now)}
	n.Claim.Status.Phase = v1alpha1.ClaimDisrupted
	w.made++
	c := w.claim(fmt.Sprintf("new%02d", w.made), n.Claim.Spec.Offer.Zone, w.in.Now, v1alpha1.ClaimLaunched)
	c.Spec.Replaces = []string{n.Claim.Name}
	w.in.Nodes = append(w.in.Nodes, upgrade.Node{Claim: c})
}

// carryOn lets new nodes come, and old ones go once their new node is ready.
func (w *world) carryOn() {
	done := map[string]bool{}
	for i := range w.in.Nodes {
		n := &w.in.Nodes[i]
		if n.Claim.Status.Phase == v1alpha1.ClaimLaunched && w.in.Now.Sub(n.Claim.CreationTimestamp.Time) >= w.boot && !w.broken(n.Claim.Name) {
			c := n.Claim
			*n = w.node(c.Name[len("general-"):], c.Spec.Offer.Zone, w.in.Now)
			c.Status.Phase, n.Claim = v1alpha1.ClaimReady, c
		}
		if since, ok := ready(n); ok && w.in.Now.Sub(since) >= w.drain {
			for _, old := range n.Claim.Spec.Replaces {
				done[old] = true
			}
		}
	}
	w.in.Nodes = slices.DeleteFunc(w.in.Nodes, func(n upgrade.Node) bool { return done[n.Claim.Name] })
}

func ready(n *upgrade.Node) (time.Time, bool) {
	if n.Node == nil || len(n.Claim.Spec.Replaces) == 0 {
		return time.Time{}, false
	}
	return n.Node.Status.Conditions[0].LastTransitionTime.Time, true
}

func ptr[T any](v T) *T { return &v }

func span(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

type disruptionMove = disruption.Move

func nan() float64 { return math.NaN() }

// requires adds a requirement, as if nodes had been made with it.
func (w *world) requires(key string, op corev1.NodeSelectorOperator, values ...string) {
	p := w.in.Policy
	p.Spec.Requirements = append(p.Spec.Requirements, corev1.NodeSelectorRequirement{Key: key, Operator: op, Values: values})
	for i := range w.in.Nodes {
		w.in.Nodes[i].Claim.Spec.TemplateHash = w.hash()
	}
}
