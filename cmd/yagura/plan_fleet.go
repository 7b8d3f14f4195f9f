package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/cluster/catalog"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// rounds bounds how often consolidation looks at what its last moves have left.
const rounds = 32

// everything is the policy when there is none: every available offer may be bought, and budgets hold nothing back.
func everything() *v1alpha1.NodePolicy {
	return &v1alpha1.NodePolicy{Spec: v1alpha1.NodePolicySpec{Disruption: v1alpha1.NodeDisruption{
		Budgets: []v1alpha1.DisruptionBudget{{Nodes: intstr.FromString("100%")}},
	}}}
}

// fleet is what a plan is made for.
type fleet struct {
	objects  *manifests
	offers   []cluster.Offer
	policies []*v1alpha1.NodePolicy
	prices   *catalog.Prices
	now      time.Time
	// ignored counts objects that planning does not look at, by kind.
	ignored map[string]int
}

// fleetPlan is the plan and what consolidation adds to it.
type fleetPlan struct {
	cluster.Plan
	// removed are names of nodes in lexical order, moves why they go, stays why the others do not.
	removed []string
	moves   []disruption.Move
	stays   map[string]disruption.Stay
	took    time.Duration
}

// newFleet applies the policies to the offers. Nodes count from here on as under them.
func newFleet(objects *manifests, offers []cluster.Offer, policies []*v1alpha1.NodePolicy, now time.Time) (*fleet, error) {
	f := &fleet{objects: objects, offers: offers, policies: policies, prices: catalog.NewPrices(offers), now: now, ignored: map[string]int{}}
	if len(policies) == 0 {
		f.policies = []*v1alpha1.NodePolicy{everything()}
		f.policies[0].Name = unnamed
		return f, nil
	}
	f.offers = nil
	for _, p := range policies {
		if err := catalog.Validate(p); err != nil {
			return nil, fmt.Errorf("NodePolicy %s: %w", p.Name, err)
		}
		f.offers = append(f.offers, catalog.Apply(p, offers)...)
	}
	return f, nil
}

// unnamed is the name of the policy when there is none. No object can have it.
const unnamed = "-"

// plan plans for pending pods first, then asks consolidation what could go once those pods have their places, and if there is anything,
// plans once more as if it had gone.
func (f *fleet) plan() (*fleetPlan, error) {
	state, err := f.state(nil)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	result := &fleetPlan{Plan: state.Plan(cluster.Options{})}
	before := result.Cost.Before
	if len(f.objects.nodes) > 0 {
		f.settle(state, result.Plan)
		f.consolidate(state, result)
	}
	result.took = time.Since(started)
	if len(result.removed) == 0 {
		return result, nil
	}
	for {
		again, took, err := f.without(result.removed)
		if err != nil {
			return nil, err
		}
		result.took += took
		if !worse(&again, &result.Plan) {
			again.Cost.Before = before
			result.Plan = again
			return result, nil
		}
		// What was simulated move by move does not hold as a whole: give up the last move.
		f.giveUp(result)
		if len(result.moves) == 0 {
			return result, nil
		}
	}
}

// without plans as if the nodes had gone and their pods waited.
func (f *fleet) without(removed []string) (cluster.Plan, time.Duration, error) {
	state, err := f.state(sets.New(removed...))
	if err != nil {
		return cluster.Plan{}, 0, err
	}
	started := time.Now()
	plan := state.Plan(cluster.Options{})
	return plan, time.Since(started), nil
}

// worse says that a plan leaves more pods without a place than another one, or is dearer.
func worse(a, than *cluster.Plan) bool {
	const tolerance = 1e-9
	return len(a.Unschedulable) > len(than.Unschedulable) || len(a.Preempting) > len(than.Preempting) || a.Cost.After > than.Cost.After+tolerance
}

func (f *fleet) giveUp(result *fleetPlan) {
	last := result.moves[len(result.moves)-1]
	result.moves = result.moves[:len(result.moves)-1]
	result.removed = slices.DeleteFunc(result.removed, func(name string) bool { return slices.Contains(last.Remove, name) })
	for _, name := range last.Remove {
		result.stays[name] = disruption.Stay{Node: name, Code: "NotTogether", Message: "together with the other moves its pods would have no place"}
	}
}

// state holds everything but the removed nodes, whose pods wait.
func (f *fleet) state(removed sets.Set[string]) (*cluster.State, error) {
	s := cluster.NewState()
	s.SetTime(f.now.Add(-24 * time.Hour)) // pods have been where they are for long enough
	clear(f.ignored)
	for _, o := range f.objects.others {
		if _, ok := o.(*policyv1.PodDisruptionBudget); ok {
			continue
		}
		if err := s.Upsert(o); errors.Is(err, cluster.ErrUnknownKind) {
			f.ignored[kindOf(o)]++
		} else if err != nil {
			return nil, err
		}
	}
	for _, n := range f.objects.nodes {
		if !removed.Has(n.Name) {
			s.SetNode(f.node(n))
		}
	}
	for _, pod := range f.objects.pods {
		if removed.Has(pod.Spec.NodeName) {
			if disruption.Stationary(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			pod = pod.DeepCopy()
			pod.Spec.NodeName = ""
		}
		if err := s.Upsert(pod); err != nil {
			return nil, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	var policies []cluster.Policy
	for _, p := range f.policies {
		limits := catalog.Limits(p)
		limits.Owned = f.owned(p, removed)
		policies = append(policies, limits)
	}
	s.SetPolicies(policies)
	s.SetOffers(f.offers)
	return s, nil
}

func kindOf(o any) string {
	if u, ok := o.(interface{ GetKind() string }); ok {
		return u.GetKind()
	}
	return fmt.Sprintf("%T", o)
}

func (f *fleet) node(n *corev1.Node) cluster.Node {
	price, _ := f.prices.Of(n)
	return cluster.Node{Node: n, PricePerHour: price, Policy: f.policyOf(n), Claim: n.Labels[v1alpha1.LabelNodeClaim]}
}

// policyOf is the policy whose node this is: that of its label, and for nodes without one the first policy that could have bought it.
// Without policies it is anybody's whose price is known.
func (f *fleet) policyOf(n *corev1.Node) string {
	if _, priced := f.prices.Of(n); f.policies[0].Name == unnamed {
		if priced {
			return unnamed
		}
		return ""
	}
	if name := n.Labels[v1alpha1.LabelNodePolicy]; name != "" {
		return name
	}
	for _, p := range f.policies {
		own := cluster.Offer{Labels: n.Labels}
		if len(catalog.Apply(withoutGroups(p), []cluster.Offer{own})) > 0 {
			return p.Name
		}
	}
	return ""
}

// withoutGroups leaves the provider's groups out, which a node does not tell.
func withoutGroups(p *v1alpha1.NodePolicy) *v1alpha1.NodePolicy {
	if len(p.Spec.Provider.Groups) == 0 {
		return p
	}
	p = p.DeepCopy()
	p.Spec.Provider.Groups = nil
	return p
}

func (f *fleet) owned(p *v1alpha1.NodePolicy, removed sets.Set[string]) map[string]int {
	owned := map[string]int{}
	for _, n := range f.objects.nodes {
		if !removed.Has(n.Name) && f.policyOf(n) == p.Name {
			owned[n.Labels[corev1.LabelTopologyZone]]++
		}
	}
	return owned
}

// settle puts pods where the plan says.
func (f *fleet) settle(s *cluster.State, plan cluster.Plan) {
	for i, n := range plan.Create {
		name := fmt.Sprintf("new-%d", i)
		f.expect(s, name, &n)
	}
	for _, p := range plan.Placed {
		s.Bind(p.Pod.NamespacedName, p.Node)
	}
}

// expect adds a node that is bought, with its pods, as if it were there already: what moves onto it moves once it is. It belongs to no
// policy, so that it is not taken away again.
func (f *fleet) expect(s *cluster.State, name string, n *cluster.NewNode) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for k, v := range n.Offer.Labels {
		node.Labels[k] = v
	}
	node.Labels[corev1.LabelHostname] = name
	node.Spec.Taints = n.Offer.Taints
	node.Status.Allocatable, node.Status.Capacity = n.Offer.Allocatable, n.Offer.Allocatable
	s.SetNode(cluster.Node{Node: node, PricePerHour: n.Offer.PricePerHour, AttachLimits: n.Offer.AttachLimits, Slices: n.Offer.Slices})
	for _, pod := range n.Pods {
		s.Bind(pod.NamespacedName, name)
	}
}

// consolidate asks what could go, as if it went, until nothing more can. It changes the state.
func (f *fleet) consolidate(s *cluster.State, result *fleetPlan) {
	result.stays = map[string]disruption.Stay{}
	world := f.world()
	existing := make(sets.Set[string])
	for _, n := range f.objects.nodes {
		existing.Insert(n.Name)
	}
	for round := range rounds {
		decision := consolidation.Decide(consolidation.Input{World: world, Planner: s, Candidates: f.candidates(s), Memory: consolidation.NewMemory()})
		for name, stay := range decision.Stays {
			if existing.Has(name) {
				result.stays[name] = stay
			}
		}
		if len(decision.Moves) == 0 {
			return
		}
		for i, move := range decision.Moves {
			names := make(map[string]string, len(move.Create))
			for j := range move.Create {
				name := fmt.Sprintf("new-%d-%d-%d", round, i, j)
				names[fmt.Sprintf("new-%d", j)] = name
				f.expect(s, name, &move.Create[j])
			}
			for _, p := range move.Place {
				node := p.Node
				if bought, ok := names[node]; ok {
					node = bought
				}
				s.Bind(p.Pod.NamespacedName, node)
			}
			for _, name := range move.Remove {
				s.DeleteNode(name)
				existing.Delete(name)
				result.removed = append(result.removed, name)
			}
			result.moves = append(result.moves, move)
		}
		slices.Sort(result.removed)
	}
}

func (f *fleet) candidates(s *cluster.State) []disruption.Candidate {
	var candidates []disruption.Candidate
	for _, name := range s.Nodes() {
		view, ok := s.NodeView(name)
		if !ok {
			continue
		}
		view.LastPodChange = time.Time{} // what came in the meantime came in thought only
		candidates = append(candidates, disruption.Candidate{NodeView: view, Reason: v1alpha1.DisruptUnderutilized, Ready: ready(view.Node.Node.Status.Conditions), Created: view.Node.Node.CreationTimestamp.Time})
	}
	return candidates
}

// ready is true as well for nodes that say nothing of it, as those written by hand.
func ready(conditions []corev1.NodeCondition) bool {
	for _, c := range conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

func (f *fleet) world() disruption.World {
	w := disruption.World{Now: f.now, Policies: f.policies}
	for _, o := range f.objects.others {
		if pdb, ok := o.(*policyv1.PodDisruptionBudget); ok {
			w.PDBs = append(w.PDBs, pdb)
		}
	}
	replicas := map[string]int{}
	for _, pod := range f.objects.pods {
		if owner := metav1.GetControllerOf(pod); owner != nil && pod.Spec.NodeName != "" {
			replicas[string(owner.UID)]++
		}
	}
	w.Replicas = func(owner string) int { return replicas[owner] }
	return w
}
