package repair

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Defaults of v1alpha1.NodeRepair.
const (
	DefaultBootTimeout  = 15 * time.Minute
	DefaultStepTimeout  = 5 * time.Minute
	DefaultMaxUnhealthy = 20
)

// DefaultLadder is the one of a policy that names none.
func DefaultLadder() []v1alpha1.RepairStep {
	return []v1alpha1.RepairStep{v1alpha1.RepairRestartAgent, v1alpha1.RepairReboot, v1alpha1.RepairReplace}
}

// policy is a NodePolicy as one decision sees it.
type policy struct {
	Policy
	// spec is nil when the policy does not repair.
	spec                     *v1alpha1.NodeRepair
	signs                    []*sign
	ladder                   []v1alpha1.RepairStep
	bootTimeout, stepTimeout time.Duration
	maxUnhealthy             int32
	// stopped is by zone, with the policy's own under the empty name.
	stopped map[string]*Stop
	// nodes are those that have been ready once, disrupted those of them that are away or on their way.
	nodes, disrupted int
	wanting          []*patient
	// well and fine are what is said of every healthy node.
	well string
	fine []disruption.Verdict
}

func newPolicy(in *Input, given Policy) *policy {
	p := &policy{Policy: given, spec: given.Spec.Repair}
	if p.spec == nil {
		return p
	}
	rules := p.spec.Rules
	if len(rules) == 0 {
		rules = DefaultRules()
	}
	p.bootTimeout = duration(p.spec.BootTimeout, DefaultBootTimeout)
	p.stepTimeout = duration(p.spec.StepTimeout, DefaultStepTimeout)
	if p.maxUnhealthy = DefaultMaxUnhealthy; p.spec.MaxUnhealthy != nil {
		p.maxUnhealthy = *p.spec.MaxUnhealthy
	}
	var unknown []string
	for i := range rules {
		s := newSign(in, given.Name, &rules[i])
		p.signs = append(p.signs, s)
		if s.unknown != "" {
			unknown = append(unknown, s.name+" counts for no node: "+s.unknown)
		}
	}
	p.signs = append(p.signs, &sign{name: NodeObject, most: p.bootTimeout, ask: askNodeObject})
	p.ladder = ladder(p.spec.Ladder, given.Steps)
	p.well = "no rule applies"
	if len(unknown) > 0 {
		p.well += "; " + strings.Join(unknown, "; ")
	}
	p.fine = []disruption.Verdict{{Rule: "signs", Stays: true, Code: string(Healthy), Message: p.well}}
	return p
}

// ladder leaves out what the provider cannot do. Replace is what every provider can.
func ladder(asked, can []v1alpha1.RepairStep) []v1alpha1.RepairStep {
	if len(asked) == 0 {
		asked = DefaultLadder()
	}
	var steps []v1alpha1.RepairStep
	for _, s := range asked {
		if s == v1alpha1.RepairReplace || slices.Contains(can, s) {
			steps = append(steps, s)
		}
	}
	return steps
}

// askNodeObject finds that a claim that had a node has none. Others may have deleted it; an agent that runs registers it again, so it is
// given as much time as a new one.
func askNodeObject(_ *Input, _ *sign, n *Node, _ *history) finding {
	if n.Node != nil {
		return finding{known: true}
	}
	return finding{known: true, bad: true, status: "gone", text: "its Node object is gone"}
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}
