package repair

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// DefaultRules are those of a policy that names none.
func DefaultRules() []v1alpha1.RepairRule {
	return []v1alpha1.RepairRule{{
		Name: "ready",
		Condition: &v1alpha1.UnhealthyCondition{
			Type: string(corev1.NodeReady), Statuses: []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionUnknown},
		},
		For: metav1.Duration{Duration: 5 * time.Minute},
	}}
}

// finding is what one rule finds on one node.
type finding struct {
	// known is false when the rule has nothing to go by. text says why then, and else what was found.
	known, bad bool
	// since is when it began, by whoever wrote it; zero when nobody did.
	since  time.Time
	status string
	text   string
}

// sign is one rule of a policy, ready to be asked for every node.
type sign struct {
	name string
	rule *v1alpha1.RepairRule
	most time.Duration
	ask  func(in *Input, s *sign, n *Node, h *history) finding
	// answer is the query's. unknown says why it has none, and is the same for all nodes.
	answer  Answer
	unknown string
	source  source
}

func newSign(in *Input, policy string, r *v1alpha1.RepairRule) *sign {
	s := &sign{name: r.Name, rule: r, most: max(0, r.For.Duration)}
	switch {
	case r.Condition != nil:
		s.ask = askCondition
	case r.Silence != nil:
		s.ask, s.source = askSilence, sourceOf(*r.Silence)
		s.unknown = in.Memory.sources[s.source].unknown
	case r.PromQL != "" || r.LogQL != "":
		s.ask = askQuery
		a, ok := in.Answers[RuleID{policy, r.Name}]
		s.answer = a
		switch {
		case !ok:
			s.unknown = "the query was not answered yet"
		case a.State != decision.Fresh:
			s.unknown = fmt.Sprintf("the query's answer is %s: %s", lower(a.State), a.Reason)
		}
	default:
		// The API's validation refuses it; a rule that says nothing applies to nothing.
		s.ask, s.unknown = askQuery, "the rule names no sign"
	}
	return s
}

// askCondition compares a condition with the statuses that mean trouble. One that is not reported is no trouble: a problem detector that
// was taken away takes its conditions with it.
func askCondition(_ *Input, s *sign, n *Node, _ *history) finding {
	want := s.rule.Condition
	c := n.condition(want.Type)
	if c == nil || !slices.Contains(want.Statuses, c.Status) {
		return finding{known: true}
	}
	return finding{known: true, bad: true, since: c.LastTransitionTime.Time, status: string(c.Status), text: want.Type + " is " + string(c.Status)}
}

// askQuery takes the query's value for the node. No series is no problem.
func askQuery(_ *Input, s *sign, n *Node, _ *history) finding {
	if s.unknown != "" {
		return finding{text: s.unknown}
	}
	v, ok := s.answer.Values[n.name()]
	if !ok || !(v > 0) {
		return finding{known: true}
	}
	return finding{known: true, bad: true, status: "above 0", text: fmt.Sprintf("the query gives %.4g", v)}
}

// askSilence looks how long nothing new was heard.
func askSilence(in *Input, s *sign, _ *Node, h *history) finding {
	if s.unknown != "" {
		return finding{text: s.unknown}
	}
	said := h.heard[s.source]
	if said.changed.IsZero() {
		return finding{text: "nothing was ever heard of it through its " + s.source.String()}
	}
	since := said.changed
	if back := in.Memory.sources[s.source].back; back.After(since) {
		since = back
	}
	if in.Now.Sub(since) < s.source.grace() {
		return finding{known: true}
	}
	return finding{known: true, bad: true, since: since, status: "silent", text: "its " + s.source.String() + " is silent"}
}

// look takes what a rule finds into the node's history. It returns the rule's spell, nil while there is none.
func (s *sign) look(now time.Time, f *finding, h *history) *spell {
	p := h.spells[s.name]
	if p == nil && (!f.known || !f.bad) {
		return nil
	}
	if p == nil {
		if h.spells == nil {
			h.spells = make(map[string]*spell)
		}
		p = &spell{}
		h.spells[s.name] = p
	}
	switch {
	case !f.known:
		p.skip(now)
	case !f.bad:
		if p.clear(now, s.most); p.debt == 0 {
			delete(h.spells, s.name)
			return nil
		}
	default:
		if s.unwatched(p, now) {
			p.skip(now)
		}
		p.apply(now, f.since, f.status, s.most)
	}
	return p
}

// unwatched reports whether nobody looked for too long at what has no time of its own: a query's answer is about its moment only.
func (s *sign) unwatched(p *spell, now time.Time) bool {
	return s.rule != nil && s.rule.Condition == nil && s.rule.Silence == nil && p.bad && now.Sub(p.at) > gap
}

func lower(s decision.State) string {
	switch s {
	case decision.Stale:
		return "stale"
	case decision.Missing, "":
		return "missing"
	case decision.Invalid:
		return "invalid"
	}
	return string(s)
}
