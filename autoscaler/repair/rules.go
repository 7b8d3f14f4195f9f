package repair

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// rule is one step on the way from a node to what is done about it. A verdict that stays ends the way: nothing is done.
type rule struct {
	name  string
	judge func(*patient) disruption.Verdict
}

// rules are asked in this order. The last one, budget, is asked for all nodes together, so that the sickest come first.
func rules() []rule { return chain[:] }

var chain = [...]rule{
	{"policy", asked},
	{"boot", boot},
	{"leaving", leaving},
	{"signs", lasting},
	{"claim", owned},
	{"steps", patience},
	{"ladder", nextStep},
	{"storm", storming},
	{"protection", protection},
}

func stays(code, format string, args ...any) disruption.Verdict {
	return disruption.Verdict{Stays: true, Code: code, Message: fmt.Sprintf(format, args...)}
}

func goes(code, format string, args ...any) disruption.Verdict {
	return disruption.Verdict{Code: code, Message: fmt.Sprintf(format, args...)}
}

// asked ends the way of nodes that nobody asks to be repaired.
func asked(x *patient) disruption.Verdict {
	x.health.State = Unjudged
	switch {
	case x.n.Node == nil && x.n.Claim == nil:
		return stays("NoNode", "there is neither a node nor a claim")
	case x.n.policy() == "":
		return stays("NoPolicy", "no policy owns the node")
	case x.p == nil:
		return stays("NoPolicy", "its policy %s does not exist", x.n.policy())
	case x.p.spec == nil:
		return stays("RepairOff", "policy %s does not repair nodes", x.p.Name)
	}
	return goes("Judged", "policy %s repairs its nodes", x.p.Name)
}

// boot ends what was never ready in time. Nothing works on it yet, so that no budget and no storm keeps it; what is bought in its place
// comes from another offer.
func boot(x *patient) disruption.Verdict {
	if !x.n.booting() {
		return goes("Booted", "it has been ready")
	}
	x.health.State = Booting
	c := x.n.Claim
	if x.n.leaving() {
		x.health.State = Leaving
		return stays("Leaving", "it is being taken away before it was ready%s", colon(c.Status.Message))
	}
	launched, since := launchedAt(c)
	if !launched {
		return stays("NotLaunched", "its provider has made no machine yet%s", colon(c.Status.Message))
	}
	x.health.Rule, x.health.Since = Boot, since
	took := x.in.Now.Sub(since)
	if took < x.p.bootTimeout {
		return stays("Booting", "its machine was launched %s ago, and may take %s to become ready", span(max(0, took)), span(x.p.bootTimeout))
	}
	if x.p.ReadOnly {
		return stays("ReadOnly", "it did not become ready within %s, and its provider only explains", span(x.p.bootTimeout))
	}
	x.step = v1alpha1.RepairReplace
	if v := patience(x); v.Stays {
		return v
	}
	x.act()
	return stays(x.health.Code, "%s", x.health.Message)
}

// launchedAt is when the provider was asked for the machine, by the claim's condition Launched: a provider that never says what came of it
// is given no more time than one that has made a machine. Without the condition the claim's own beginning counts.
func launchedAt(c *v1alpha1.NodeClaim) (bool, time.Time) {
	if k := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionLaunched); k != nil {
		return k.Status != metav1.ConditionFalse, k.LastTransitionTime.Time
	}
	phase := c.Status.Phase
	return phase == v1alpha1.ClaimLaunched || phase == v1alpha1.ClaimRegistered, c.CreationTimestamp.Time
}

// leaving ends the way of what is being taken away already. One exception: a node that dies under its drain would be drained for ever,
// since nobody ends its pods any more.
func leaving(x *patient) disruption.Verdict {
	if !x.n.leaving() {
		return goes("Stays", "it is not being taken away")
	}
	x.unreachable = x.in.Memory.unreachable(x.in.Now, x.n, x.h)
	c := x.n.Claim
	if c != nil && c.Status.Phase != v1alpha1.ClaimTerminating && x.due && x.unreachable && replacements(c) < 2 {
		return goes("DiedLeaving", "it was being taken away, and nobody answers on it any more")
	}
	x.health.State = Leaving
	switch {
	case c == nil || c.Status.Disruption == nil:
		return stays("Leaving", "it is being deleted")
	case c.Status.Disruption.Reason == v1alpha1.DisruptUnhealthy:
		x.health.State = Repairing
		return stays("Replacing", "it is being replaced%s", colon(c.Status.Disruption.Message))
	}
	return stays("Leaving", "it is being taken away%s", colon(c.Status.Disruption.Message))
}

// replacements is how often a replacement was begun.
func replacements(c *v1alpha1.NodeClaim) (n int) {
	for i := range c.Status.Repairs {
		if c.Status.Repairs[i].Step == v1alpha1.RepairReplace {
			n++
		}
	}
	return n
}

// lasting ends the way of nodes to which no rule applies for long enough.
func lasting(x *patient) disruption.Verdict {
	x.health.Rule, x.health.Since = x.sign.name, x.spell.since
	switch {
	case x.due:
	case x.spell.lasts(x.in.Now) >= x.sign.most:
		x.health.State = Watching
		return stays("Watching", "%s; it counts once it was seen here for %s%s", x.ails(), span(min(glance, x.sign.most)), x.ignorance)
	default:
		x.health.State = Watching
		return stays("Watching", "%s; it counts after %s%s", x.ails(), span(x.sign.most), x.ignorance)
	}
	x.health.State = Unhealthy
	return goes("Unhealthy", "%s, which is %s or more%s", x.ails(), span(x.sign.most), x.ignorance)
}

// ails says by which rule the node is sick, and for how long.
func (x *patient) ails() string {
	if x.sign == nil {
		return fmt.Sprintf("it did not become ready within %s of its launch", span(x.p.bootTimeout))
	}
	text := fmt.Sprintf("%s: %s for %s", x.sign.name, x.found.text, span(max(0, x.in.Now.Sub(x.spell.since))))
	if x.spell.debt >= time.Second {
		text += fmt.Sprintf(", with earlier times %s, since it comes and goes", span(x.spell.lasts(x.in.Now)))
	}
	return text
}

// owned ends the way of nodes that nobody here can do anything about.
func owned(x *patient) disruption.Verdict {
	switch {
	case x.n.Claim == nil:
		return stays("NotOurs", "%s: it would be repaired, but it was not made by a claim", x.ails())
	case x.p.ReadOnly:
		return stays("ReadOnly", "%s: it would be repaired, but its provider only explains", x.ails())
	}
	return goes("Ours", "claim %s made it", x.n.Claim.Name)
}

// patience gives a step its time.
func patience(x *patient) disruption.Verdict {
	last := x.last()
	if last == nil {
		return goes("NothingTried", "nothing was tried yet")
	}
	if left := x.stepping(); left > 0 {
		x.health.State = Repairing
		return stays("StepRunning", "%s: %s was tried %s ago, and is given another %s", x.ails(), last.Step,
			span(max(0, x.in.Now.Sub(last.At.Time))), span(left))
	}
	return goes("StepFailed", "%s did not help within %s", last.Step, span(x.p.stepTimeout))
}

// nextStep chooses the first step that was not tried yet. A replacement that was written down and has not begun is begun again.
func nextStep(x *patient) disruption.Verdict {
	x.unreachable = x.in.Memory.unreachable(x.in.Now, x.n, x.h)
	if x.n.leaving() {
		x.step = v1alpha1.RepairReplace
		return goes("Replace", "its replacement is under way already")
	}
	tried := make([]string, 0, len(x.n.Claim.Status.Repairs))
	for _, s := range x.p.ladder {
		if !slices.ContainsFunc(x.n.Claim.Status.Repairs, func(a v1alpha1.RepairAttempt) bool { return a.Step == s }) {
			x.step = s
			break
		}
		tried = append(tried, string(s))
	}
	switch {
	case len(x.p.ladder) == 0:
		return stays("NoStep", "%s: its provider can take no step of the ladder", x.ails())
	case x.step == "" && slices.Contains(x.p.ladder, v1alpha1.RepairReplace):
		x.step = v1alpha1.RepairReplace
	case x.step == "":
		return stays("Exhausted", "%s: %s did not help, and the ladder has no further step", x.ails(), strings.Join(tried, " and "))
	}
	if len(tried) == 0 {
		return goes(string(x.step), "%s is the first step", x.step)
	}
	return goes(string(x.step), "%s comes after %s", x.step, strings.Join(tried, " and "))
}

// storming ends all repair in a group in which too many nodes are sick at once.
func storming(x *patient) disruption.Verdict {
	for _, zone := range []string{"", x.health.Zone} {
		if s := x.p.stopped[zone]; s != nil {
			return stays("Storm", "%s: %s would be next, but %s", x.ails(), x.step, s.Message)
		}
	}
	return goes("Calm", "few enough nodes are unhealthy")
}

// protection leaves pods alone that still run and ask for it. An agent's restart does them no harm, and on a node that nobody reaches
// there is nothing left to protect.
func protection(x *patient) disruption.Verdict {
	by := x.n.DoNotDisrupt
	if x.n.Node != nil {
		if key, ok := disruption.NodeRefuses(x.n.Node); ok {
			by = "its annotation " + key
		}
	}
	grace := x.p.Spec.Disruption.TerminationGracePeriod
	switch {
	case by == "":
		return goes("Unprotected", "nobody asks for it to be left alone")
	case x.step == v1alpha1.RepairRestartAgent:
		return goes("Harmless", "%s asks for it to be left alone, and a restart of the agent ends no pod", by)
	case x.unreachable:
		return goes("NothingRuns", "%s asks for it to be left alone, but nobody answers on it", by)
	case grace != nil:
		return goes("Forced", "%s asks for it to be left alone, which holds up its drain for %s at most", by, span(grace.Duration))
	}
	return stays("DoNotDisrupt", "%s: %s would be next, but %s asks for it to be left alone, and its pods still run", x.ails(), x.step, by)
}

// budget bounds how many nodes are disrupted at a time. A node that is due is not counted before something is done about it, although it
// may not be ready: the budget is for those like it.
func budget(x *patient) disruption.Verdict {
	if x.n.leaving() {
		return goes("Counted", "it counts as disrupted already")
	}
	n, why, err := disruption.Allowed(x.p.NodePolicy, v1alpha1.DisruptUnhealthy, x.p.nodes, x.p.disrupted, x.in.Now)
	switch {
	case err != nil:
		return stays("BudgetInvalid", "%s: %s would be next, but %v", x.ails(), x.step, err)
	case n <= 0:
		return stays("Budget", "%s: %s would be next, but %s", x.ails(), x.step, why)
	}
	x.p.disrupted++
	return goes("WithinBudget", "%s", why)
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
