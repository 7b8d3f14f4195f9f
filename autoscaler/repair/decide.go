package repair

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// Decide judges every node once. It changes the input's Memory and nothing else.
func Decide(in Input) Decision {
	if in.Memory == nil {
		in.Memory = NewMemory()
	}
	m := in.Memory
	m.tick++
	m.hear(&in)
	d := &deciding{in: &in, policies: make(map[string]*policy, len(in.Policies)), counts: make(map[group]count)}
	for _, p := range in.Policies {
		if p.NodePolicy != nil {
			d.policies[p.Name] = newPolicy(&in, p)
		}
	}
	d.out.Health = make([]Health, len(in.Nodes))
	d.out.Unhealthy = make(map[string]int)
	d.patients = make([]patient, len(in.Nodes))
	for i := range in.Nodes {
		d.patients[i] = patient{deciding: d, n: &in.Nodes[i], health: &d.out.Health[i]}
		d.patients[i].examine()
	}
	d.out.Stopped = m.weather(in.Now, d.counts, d.policies)
	for i := range d.out.Stopped {
		s := &d.out.Stopped[i]
		p := d.policies[s.Policy]
		if p.stopped == nil {
			p.stopped = make(map[string]*Stop)
		}
		p.stopped[s.Zone] = s
	}
	for i := range d.patients {
		d.patients[i].judge()
	}
	d.admit()
	m.forget()
	m.last = in.Now
	return d.out
}

// deciding is a decision in the making.
type deciding struct {
	in       *Input
	policies map[string]*policy
	counts   map[group]count
	patients []patient
	out      Decision
}

// patient is a node under judgement.
type patient struct {
	*deciding
	n      *Node
	p      *policy
	h      *history
	health *Health
	// sign is the one that the node is sick by, the most pressing of several; nil for a healthy one.
	sign  *sign
	spell *spell
	found finding
	due   bool
	// ignorance is what could not be found out about this node alone.
	ignorance string
	// step is the one to take, once a rule has chosen it.
	step        v1alpha1.RepairStep
	unreachable bool
}

// examine finds out by which rule the node is sick, and counts it.
func (x *patient) examine() {
	x.p = x.policies[x.n.policy()]
	x.health.Node, x.health.Policy, x.health.Zone = x.n.name(), x.n.policy(), x.n.zone()
	if x.n.Claim != nil {
		x.health.Claim = x.n.Claim.Name
	}
	if x.p == nil || x.p.spec == nil || x.n.booting() || (x.n.Node == nil && x.n.Claim == nil) {
		return
	}
	x.h = x.in.Memory.of(x.n)
	for _, s := range x.p.signs {
		x.ask(s)
	}
	x.count()
}

// ask asks one rule. The first one that has lasted long enough counts, else the one that is closest to it.
func (x *patient) ask(s *sign) {
	f := s.ask(x.in, s, x.n, x.h)
	if !f.known && s.unknown == "" {
		x.ignorance += "; " + s.name + " does not count: " + f.text
	}
	spell := s.look(x.in.Now, &f, x.h)
	if spell == nil || !f.bad {
		return
	}
	due := spell.due(x.in.Now, s.most)
	switch {
	case x.sign == nil, due && !x.due:
	case !due && !x.due && s.most-spell.lasts(x.in.Now) < x.sign.most-x.spell.lasts(x.in.Now):
	default:
		return
	}
	x.sign, x.spell, x.found, x.due = s, spell, f, due
}

// count counts the node in its groups. One that is taken away for another reason goes down on purpose, and says nothing about others.
func (x *patient) count() {
	x.p.nodes++
	replaced := x.n.leaving() && x.n.Claim != nil && x.n.Claim.Status.Disruption != nil &&
		x.n.Claim.Status.Disruption.Reason == v1alpha1.DisruptUnhealthy
	stepping := x.stepping() > 0
	if x.n.leaving() || stepping || (!x.n.ready() && !x.due) {
		x.p.disrupted++
	}
	if x.n.leaving() && !replaced {
		return
	}
	sick := x.sign != nil || replaced || stepping
	if sick {
		x.out.Unhealthy[x.p.Name]++
	}
	x.tally(group{policy: x.p.Name}, sick)
	if zone := x.n.zone(); zone != "" {
		x.tally(group{policy: x.p.Name, zone: zone}, sick)
	}
}

func (x *patient) tally(g group, sick bool) {
	c := x.counts[g]
	c.nodes++
	if sick {
		c.sick++
	}
	x.counts[g] = c
}

// last is the attempt that was made last, nil when there is none.
func (x *patient) last() *v1alpha1.RepairAttempt {
	if x.n.Claim == nil || len(x.n.Claim.Status.Repairs) == 0 {
		return nil
	}
	return &x.n.Claim.Status.Repairs[len(x.n.Claim.Status.Repairs)-1]
}

// stepping is how much time the last attempt still has to show its effect, 0 when there is none. An attempt in the future was written by
// a clock that is ahead of this one, and counts as one of now as long as it may.
func (x *patient) stepping() time.Duration {
	last := x.last()
	if last == nil {
		return 0
	}
	left := x.p.stepTimeout - x.in.Now.Sub(last.At.Time)
	if left > 2*x.p.stepTimeout {
		return 0
	}
	return max(0, min(left, x.p.stepTimeout))
}

// judge takes the node through the rules. What is left is wanting of a step.
func (x *patient) judge() {
	if x.h != nil && x.sign == nil && !x.n.leaving() {
		x.healthy()
		return
	}
	for _, r := range rules() {
		v := r.judge(x)
		v.Rule = r.name
		x.health.Verdicts = append(x.health.Verdicts, v)
		if v.Stays {
			x.health.Code, x.health.Message = v.Code, v.Message
			return
		}
	}
	x.p.wanting = append(x.p.wanting, x)
}

// healthy is the answer for most nodes, and costs next to nothing.
func (x *patient) healthy() {
	x.health.State, x.health.Code = Healthy, string(Healthy)
	x.health.Message, x.health.Verdicts = x.p.well, x.p.fine
	if last := x.last(); last != nil {
		x.ignorance += fmt.Sprintf("; %s was tried %s ago", last.Step, span(x.in.Now.Sub(last.At.Time)))
		if len(x.h.spells) == 0 && x.stepping() == 0 {
			x.out.Recovered = append(x.out.Recovered, x.n.Claim.Name)
		}
	}
	if x.ignorance != "" {
		x.health.Message += x.ignorance
		x.health.Verdicts = []disruption.Verdict{{Rule: "signs", Stays: true, Code: string(Healthy), Message: x.health.Message}}
	}
}

// admit gives steps to those that want one, the sickest first, as far as budgets go.
func (d *deciding) admit() {
	var wanting []*patient
	for _, p := range d.policies {
		wanting = append(wanting, p.wanting...)
	}
	slices.SortFunc(wanting, func(a, b *patient) int {
		return cmp.Or(a.health.Since.Compare(b.health.Since), cmp.Compare(a.health.Node, b.health.Node), cmp.Compare(a.health.Claim, b.health.Claim))
	})
	for _, x := range wanting {
		v := budget(x)
		v.Rule = "budget"
		x.health.Verdicts = append(x.health.Verdicts, v)
		if v.Stays {
			x.health.State, x.health.Code, x.health.Message = Unhealthy, v.Code, v.Message
			continue
		}
		x.act()
	}
}

// act writes the step down.
func (x *patient) act() {
	a := Action{Node: x.health.Node, Claim: x.n.Claim.Name, Policy: x.p.Name, Zone: x.health.Zone, Step: x.step, Rule: x.health.Rule,
		Code: string(Unhealthy)}
	how := ""
	switch {
	case x.n.booting():
		a.Way, a.AvoidOffer, a.Code = Delete, true, "BootFailed"
		how = "it is deleted, and its offer avoided for a while"
	case x.step == v1alpha1.RepairRestartAgent:
		how = "its agent is restarted"
	case x.step == v1alpha1.RepairReboot && x.unreachable:
		how = "it is rebooted; nobody is there to drain it"
	case x.step == v1alpha1.RepairReboot:
		a.Drain, how = true, "it is drained and rebooted"
	case x.unreachable:
		a.Way, how = Force, "it is replaced; nobody is there to drain it, so its machine is deleted first and its pods after that"
	default:
		a.Way, a.Drain, how = Surge, true, "it is replaced: a new node comes first, then it is drained"
	}
	a.Message = x.ails() + ": " + how
	x.health.State, x.health.Code, x.health.Message = Repairing, string(x.step), a.Message
	x.out.Actions = append(x.out.Actions, a)
}
