package disruption

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// defaultBudget holds for policies without budgets.
var defaultBudget = v1alpha1.DisruptionBudget{Nodes: intstr.FromString("10%")}

// Allowed is how many more nodes of a policy may be disrupted for a reason at now, and one clause that says which budget decides.
// nodes is how many nodes the policy has, disrupted how many of them are disrupted already; Count counts both. Of the budgets that
// apply the smallest counts; percentages are rounded up, so that 10% of three nodes is one. A budget that cannot be read allows
// nothing, with an error: what was meant as a bound must not vanish.
func Allowed(policy *v1alpha1.NodePolicy, reason v1alpha1.DisruptionReason, nodes, disrupted int, now time.Time) (allowed int, why string, err error) {
	budgets := policy.Spec.Disruption.Budgets
	text := "the budget of %s"
	if len(budgets) == 0 {
		budgets, text = []v1alpha1.DisruptionBudget{defaultBudget}, "the default budget of %s"
	}
	smallest, which := -1, ""
	for i := range budgets {
		b := &budgets[i]
		if len(b.Reasons) > 0 && !slices.Contains(b.Reasons, reason) {
			continue
		}
		applies, err := applies(b, now)
		if err != nil {
			return 0, "a budget cannot be read", fmt.Errorf("policy %s: budget %d: %w", policy.Name, i, err)
		}
		if !applies {
			continue
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(&b.Nodes, max(nodes, 0), true)
		if err != nil {
			return 0, "a budget cannot be read", fmt.Errorf("policy %s: budget %d: %w", policy.Name, i, err)
		}
		if n = max(n, 0); smallest < 0 || n < smallest {
			smallest, which = n, fmt.Sprintf(text, b.Nodes.String())
			if b.Schedule != "" {
				which += fmt.Sprintf(" on the schedule %q", b.Schedule)
			}
		}
	}
	if smallest < 0 {
		return max(nodes-disrupted, 0), fmt.Sprintf("no budget applies to %s now", reason), nil
	}
	return max(smallest-disrupted, 0), fmt.Sprintf("%s allows %d of %d nodes at a time, %d are disrupted", which, smallest, nodes, disrupted), nil
}

func applies(b *v1alpha1.DisruptionBudget, now time.Time) (bool, error) {
	if b.Schedule == "" {
		return true, nil
	}
	if b.Duration == nil {
		return false, fmt.Errorf("the schedule %q needs a duration", b.Schedule)
	}
	s, err := parse(b.Schedule, b.Timezone, b.Duration.Duration)
	if err != nil {
		return false, err
	}
	return s.applies(now), nil
}

// Count counts the nodes of a policy, and those of them that are disrupted: on their way out, named in the world's Disrupted, or not
// ready. A node that is being made is neither: it has not taken over from anybody yet.
func Count(policy string, nodes []Candidate, world World) (total, disrupted int) {
	going := map[string]bool{}
	for _, name := range world.Disrupted[policy] {
		going[name] = true
	}
	for i := range nodes {
		n := &nodes[i]
		if n.Policy != policy || n.Expected {
			continue
		}
		total++
		if n.Leaving || !n.Ready || going[n.Name()] {
			disrupted++
		}
	}
	return total, disrupted
}

// Name is the node's, or its claim's while there is no node.
func (c *Candidate) Name() string {
	if c.Node.Node != nil {
		return c.Node.Node.Name
	}
	return c.Claim
}
