package consolidation

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// fleet is the input, prepared for one decision.
type fleet struct {
	in        Input
	now       time.Time
	config    Config
	memory    *Memory
	inspector *disruption.Inspector
	// nodes are sorted by name, so that equal inputs give equal decisions.
	nodes  []*node
	byName map[string]*node
	pools  map[string]*pool
	// going are the names of nodes on their way out whose pods need room too.
	going  []string
	effort effort
	moves  []*disruption.Move
}

// node is a candidate with what was found out about it.
type node struct {
	candidate *disruption.Candidate
	name      string
	pool      *pool
	// price is the node's, or the pool's average where it is not known.
	price float64
	// cost is what emptying it is worth, in money per hour.
	cost      float64
	inspected bool
	verdict   disruption.NodeVerdict
	verdicts  []disruption.Verdict
	// eligible nodes have passed all rules that need no simulation.
	eligible bool
	taken    bool
}

// pool is what there is under one policy.
type pool struct {
	policy *v1alpha1.NodePolicy
	// nodes are those that exist, disrupted those of them that are disrupted already, pods those that could be evicted.
	nodes, disrupted, pods int
	// price is per hour over all nodes, those whose price is not known taken for average; known counts the others. priced is false
	// when no price is known: nodes count as 1 each then, which serves to weigh removals and never to compare offers.
	price    float64
	known    int
	priced   bool
	podHour  float64
	budgets  map[v1alpha1.DisruptionReason]allowance
	planned  int
	eligible []*node
}

// allowance is what a policy's budgets leave for one reason.
type allowance struct {
	nodes int
	why   string
}

func newFleet(in Input) *fleet {
	if in.Memory == nil {
		in.Memory = NewMemory()
	}
	if in.Config == (Config{}) {
		in.Config = DefaultConfig()
	}
	f := &fleet{
		in: in, now: in.World.Now, config: in.Config, memory: in.Memory, inspector: disruption.NewInspector(in.World),
		byName: make(map[string]*node, len(in.Candidates)), pools: map[string]*pool{},
		effort: effort{maxSimulations: in.Config.MaxSimulations, maxPods: in.Config.MaxSimulatedPods},
	}
	for _, p := range in.World.Policies {
		if p != nil {
			f.pools[p.Name] = &pool{policy: p}
		}
	}
	for _, name := range in.Growing {
		f.memory.Grew(name, f.now)
	}
	for i := range in.Candidates {
		f.add(&in.Candidates[i])
	}
	slices.SortFunc(f.nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	for _, p := range f.pools {
		f.appraise(p)
	}
	f.price()
	return f
}

// add takes a candidate in. Two of one name would be two answers for one node: the first counts.
func (f *fleet) add(c *disruption.Candidate) {
	n := &node{candidate: c, name: c.Name()}
	if n.name == "" || f.byName[n.name] != nil {
		return
	}
	f.nodes, f.byName[n.name] = append(f.nodes, n), n
	n.pool = f.pools[c.Policy]
	if f.leaving(n) && !c.Expected {
		f.going = append(f.going, n.name)
	}
	if n.pool == nil || c.Expected {
		return
	}
	n.pool.nodes++
	if c.PricePerHour > 0 {
		n.pool.price += c.PricePerHour
		n.pool.priced = true
		n.pool.known++
	}
	for _, pod := range c.Pods {
		if !disruption.Stationary(pod) {
			n.pool.pods++
		}
	}
}

func (f *fleet) leaving(n *node) bool {
	return n.candidate.Leaving || slices.Contains(f.in.World.Disrupted[n.candidate.Policy], n.name)
}

// appraise finds what a pool's pods cost and what its budgets leave.
func (f *fleet) appraise(p *pool) {
	if p.priced {
		p.price *= float64(p.nodes) / float64(p.known)
	} else {
		p.price = float64(p.nodes)
	}
	p.podHour = disruption.PodHour(p.price, p.pods)
	_, p.disrupted = disruption.Count(p.policy.Name, f.in.Candidates, f.in.World)
	p.budgets = map[v1alpha1.DisruptionReason]allowance{}
	for _, reason := range []v1alpha1.DisruptionReason{v1alpha1.DisruptEmpty, v1alpha1.DisruptUnderutilized} {
		n, why, err := disruption.Allowed(p.policy, reason, p.nodes, p.disrupted, f.now)
		if err != nil {
			n, why = 0, err.Error()
		}
		p.budgets[reason] = allowance{n, why}
	}
}

// price gives every node a price.
func (f *fleet) price() {
	for _, n := range f.nodes {
		switch p := n.pool; {
		case p == nil:
		case !p.priced:
			n.price = 1
		case n.candidate.PricePerHour > 0:
			n.price = n.candidate.PricePerHour
		case p.nodes > 0:
			n.price = p.price / float64(p.nodes)
		}
	}
}

// inspect judges a node's pods once.
func (f *fleet) inspect(n *node) *disruption.NodeVerdict {
	if !n.inspected {
		n.inspected = true
		n.verdict = f.inspector.Node(&n.candidate.NodeView)
		n.cost = disruption.Cost(n.verdict.Weight, n.pool.podHour, f.config.Horizon.Duration)
	}
	return &n.verdict
}

func (f *fleet) empty(n *node) bool {
	v := f.inspect(n)
	return len(v.Evict) == 0 && v.Blocker == nil
}

func (f *fleet) reason(n *node) v1alpha1.DisruptionReason {
	if f.empty(n) {
		return v1alpha1.DisruptEmpty
	}
	return v1alpha1.DisruptUnderutilized
}

// left is how many more nodes of the pool may be planned away for a reason.
func (p *pool) left(reason v1alpha1.DisruptionReason) int {
	return max(p.budgets[reason].nodes-p.planned, 0)
}

// order is in which pools are looked at: those that act first, since those that only recommend must not count on each other.
func (f *fleet) order() []*pool {
	var pools []*pool
	for _, p := range f.pools {
		if len(p.eligible) > 0 {
			pools = append(pools, p)
		}
	}
	slices.SortFunc(pools, func(a, b *pool) int {
		return cmp.Or(-compareBool(a.acts(), b.acts()), cmp.Compare(a.policy.Name, b.policy.Name))
	})
	return pools
}

func (p *pool) acts() bool { return p.policy.Spec.Mode == v1alpha1.Apply }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// stay is the node's answer: that of the rule that kept it, or of the move that takes it.
func (n *node) stay() disruption.Stay {
	s := disruption.Stay{Node: n.name, Verdicts: n.verdicts}
	if len(n.verdicts) > 0 {
		last := n.verdicts[len(n.verdicts)-1]
		s.Code, s.Message = last.Code, last.Message
	}
	return s
}

// keeps records that a rule keeps the node.
func (n *node) keeps(rule, code, message string) {
	n.verdicts = append(n.verdicts, disruption.Verdict{Rule: rule, Stays: true, Code: code, Message: message})
}

// passes records that a rule lets it go.
func (n *node) passes(rule, code, message string) {
	n.verdicts = append(n.verdicts, disruption.Verdict{Rule: rule, Code: code, Message: message})
}

// object is the node's, nil while it is being made.
func (n *node) object() *corev1.Node { return n.candidate.NodeView.Node.Node }

// shape is what makes two nodes like for like: the instance type and the contract, whatever the zone.
type shape struct{ name, capacityType string }

func (n *node) shape() shape {
	o := n.object()
	if o == nil {
		return shape{}
	}
	return shape{o.Labels[corev1.LabelInstanceTypeStable], o.Labels[labelCapacityType]}
}

func shapeOf(o *cluster.Offer) shape { return shape{o.Name, o.CapacityType} }

// labelCapacityType says on-demand, spot or reserved, on nodes and in requirements.
const labelCapacityType = "karpenter.sh/capacity-type"
