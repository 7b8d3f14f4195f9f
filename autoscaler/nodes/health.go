package nodes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/repair"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// maxAnswerAge is how old the answer of a query may be and still say something.
const maxAnswerAge = time.Minute

// healthKeeper is what is known of the health of nodes, and of what upgrades wait for.
type healthKeeper struct {
	memory *repair.Memory
	// answers to repair rules, and to the pauses of upgrades by policy and name.
	answers    map[repair.RuleID]repair.Answer
	pauses     map[repair.RuleID]upgrade.Answer
	collectors repair.Heard
	asked      time.Time
	answered   time.Time
	asking     bool
	last       repair.Decision
	byNode     map[string]*repair.Health
}

func newHealthKeeper() healthKeeper {
	return healthKeeper{
		memory: repair.NewMemory(), answers: map[repair.RuleID]repair.Answer{}, pauses: map[repair.RuleID]upgrade.Answer{},
		collectors: repair.Heard{State: decision.Missing, Reason: "it was not asked yet"}, byNode: map[string]*repair.Health{},
	}
}

// question is one query of a policy.
type question struct {
	id           repair.RuleID
	promql, text string
	pause        bool
}

// questions are all queries that policies ask, and whether anybody asks for the collectors.
func (c *Controller) questions() (asked []question, collectors bool) {
	for name, p := range c.world.policies {
		if p.Spec.Repair != nil {
			for i := range p.Spec.Repair.Rules {
				r := &p.Spec.Repair.Rules[i]
				switch {
				case r.PromQL != "":
					asked = append(asked, question{id: repair.RuleID{Policy: name, Rule: r.Name}, promql: r.PromQL})
				case r.LogQL != "":
					asked = append(asked, question{id: repair.RuleID{Policy: name, Rule: r.Name}, text: r.LogQL})
				case r.Silence != nil && *r.Silence == v1alpha1.SilentCollector:
					collectors = true
				}
			}
		}
		if p.Spec.Upgrade != nil {
			for _, q := range p.Spec.Upgrade.PauseOn {
				asked = append(asked, question{id: repair.RuleID{Policy: name, Rule: q.Name}, promql: q.PromQL, pause: true})
			}
		}
	}
	slices.SortFunc(asked, func(a, b question) int {
		return cmp.Or(cmp.Compare(a.id.Policy, b.id.Policy), cmp.Compare(a.id.Rule, b.id.Rule))
	})
	return asked, collectors
}

// ask has the queries of repair rules and upgrades answered in the background.
func (c *Controller) ask(ctx context.Context, now time.Time) {
	h := &c.health
	if h.asking || now.Sub(h.asked) < time.Duration(c.cfg.QueryInterval) {
		return
	}
	asked, collectors := c.questions()
	if len(asked) == 0 && !collectors {
		return
	}
	h.asked = now
	if c.deps.Signals == nil {
		h.collectors = repair.Heard{State: decision.Missing, Reason: "no query service is configured"}
		clear(h.answers)
		clear(h.pauses)
		return
	}
	h.asking = true
	term := ctx
	c.background.Go(func() {
		ctx, cancel := context.WithTimeout(term, maxAnswerAge/2)
		defer cancel()
		answers, pauses := map[repair.RuleID]repair.Answer{}, map[repair.RuleID]upgrade.Answer{}
		for _, q := range asked {
			if q.pause {
				pauses[q.id] = c.pause(ctx, q)
			} else {
				answers[q.id] = c.answer(ctx, q)
			}
		}
		heard := repair.Heard{State: decision.Missing, Reason: "no policy asks for it"}
		if collectors {
			heard = c.hear(ctx)
		}
		at := c.deps.Clock.Now()
		c.post(term, func() { h.answers, h.pauses, h.collectors, h.answered, h.asking = answers, pauses, heard, at, false })
	})
}

// answer asks the query of a repair rule. Series without a label node count for nobody.
func (c *Controller) answer(ctx context.Context, q question) repair.Answer {
	points, err := c.points(ctx, q)
	if err != nil {
		return repair.Answer{State: unanswered(err), Reason: fmt.Sprintf("no answer: %v", err)}
	}
	answer := repair.Answer{State: decision.Fresh}
	for _, p := range points {
		answer.Add(p.Labels["node"], p.Value)
	}
	return answer
}

// pause asks a query that stops upgrades: every series counts.
func (c *Controller) pause(ctx context.Context, q question) upgrade.Answer {
	points, err := c.points(ctx, q)
	if err != nil {
		return upgrade.Answer{State: unanswered(err), Reason: fmt.Sprintf("no answer: %v", err)}
	}
	answer := upgrade.Answer{State: decision.Fresh}
	for _, p := range points {
		answer.Values = append(answer.Values, p.Value)
	}
	return answer
}

func unanswered(err error) decision.State {
	if signal.Refused(err) {
		return decision.Invalid
	}
	return decision.Missing
}

func (c *Controller) points(ctx context.Context, q question) ([]signal.Point, error) {
	if q.promql != "" {
		return c.deps.Signals.PromQL(ctx, q.promql)
	}
	return c.deps.Signals.LogQL(ctx, q.text)
}

// hear asks when each node's collector has measured last.
func (c *Controller) hear(ctx context.Context) repair.Heard {
	points, err := c.deps.Signals.PromQL(ctx, collectorsQuery)
	if err != nil {
		return repair.Heard{State: decision.Missing, Reason: fmt.Sprintf("no answer: %v", err)}
	}
	heard := repair.Heard{State: decision.Fresh, At: map[string]time.Time{}}
	for _, p := range points {
		if node := p.Labels["node"]; node != "" {
			heard.At[node] = time.UnixMilli(int64(p.Value * 1000))
		}
	}
	return heard
}

// examine judges the health of all nodes.
func (c *Controller) examine(now time.Time) {
	h := &c.health
	in := repair.Input{Now: now, Memory: h.memory, Answers: h.answers, Collectors: h.collectors,
		Leases: repair.Heard{State: decision.Fresh, At: maps.Clone(c.world.leases)}}
	if now.Sub(h.answered) > maxAnswerAge {
		stale := fmt.Sprintf("the newest answer is older than %s", maxAnswerAge)
		in.Answers = map[repair.RuleID]repair.Answer{}
		for id := range h.answers {
			in.Answers[id] = repair.Answer{State: decision.Stale, Reason: stale}
		}
		if h.collectors.State == decision.Fresh {
			in.Collectors = repair.Heard{State: decision.Stale, Reason: stale}
		}
	}
	for _, p := range c.world.policies {
		in.Policies = append(in.Policies, c.repairPolicy(p))
	}
	slices.SortFunc(in.Policies, func(a, b repair.Policy) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range slices.Sorted(maps.Keys(c.world.nodes)) {
		node := repair.Node{Node: c.world.nodes[name], Claim: c.world.claims[c.world.claimOfNode[name]]}
		if health := h.byNode[name]; health == nil || health.State == repair.Watching || health.State == repair.Unhealthy || health.State == repair.Repairing {
			node.DoNotDisrupt = c.refusal(name)
		}
		in.Nodes = append(in.Nodes, node)
	}
	for _, name := range slices.Sorted(maps.Keys(c.world.claims)) {
		if c.world.nodeOfClaim[name] == "" {
			in.Nodes = append(in.Nodes, repair.Node{Claim: c.world.claims[name]})
		}
	}
	started := time.Now()
	h.last = repair.Decide(in)
	c.deps.Metrics.decideSeconds.WithLabelValues("repair").Observe(time.Since(started).Seconds())
	clear(h.byNode)
	for i := range h.last.Health {
		h.byNode[h.last.Health[i].Node] = &h.last.Health[i]
	}
}

func (c *Controller) repairPolicy(p *v1alpha1.NodePolicy) repair.Policy {
	out := repair.Policy{NodePolicy: p, ReadOnly: true}
	if known := c.deps.Providers[p.Spec.Provider.Name]; known != nil {
		capabilities := known.Capabilities()
		out.ReadOnly = capabilities.ReadOnly
		if _, ok := known.(provider.Repairer); ok {
			out.Steps = capabilities.Steps
		}
	}
	return out
}

// refusal names the pod that asks for its node to be left alone, empty when none does.
func (c *Controller) refusal(node string) string {
	view, ok := c.world.state.NodeView(node)
	if !ok {
		return ""
	}
	for _, pod := range view.Pods {
		if pod.Annotations[v1alpha1.AnnotationDoNotDisrupt] == "true" && pod.DeletionTimestamp == nil {
			return "pod " + pod.Namespace + "/" + pod.Name
		}
	}
	return ""
}

// isReady reports whether a node takes pods.
func isReady(node *corev1.Node) bool {
	if node == nil {
		return false
	}
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
