package nodes

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

const (
	// buyTimeout is how long one purchase may take at the API server.
	buyTimeout = 20 * time.Second
	// replan is how often pods that have no place are looked at although nothing has changed.
	replan = 10 * time.Second
	// recount is how often the lower bound is computed when nothing asks for a plan.
	recount = 30 * time.Second
	// recountChanged is how often it is computed while the fleet is another one than it was computed with.
	recountChanged = 5 * time.Second
)

// provisioning is what the newest plans have said.
type provisioning struct {
	demand demandBook
	plan   cluster.Plan
	// planned is when the plan was made, bounded when the lower bound was.
	planned, bounded time.Time
	seconds          float64
	// bound is the lower bound, and boundOf the price of the fleet that it was computed with, what was planned then included. It says
	// nothing of any other fleet, and outdated says that there is another one by now.
	bound, boundOf float64
	outdated       bool
	// places are the nodes that pods are going to.
	places map[types.NamespacedName]string
	// grew is when nodes were bought for pods, by policy.
	grew map[string]time.Time
	// failures in a row delay the next purchase of a policy.
	failures map[string]int
	retryAt  map[string]time.Time
	// recommended is what policies in mode Recommend would buy, and when that was asked last.
	recommended   map[string][]cluster.NewNode
	recommendedAt time.Time
}

// provision plans for the pods that have no place, and buys.
func (c *Controller) provision(ctx context.Context) {
	now := c.deps.Clock.Now()
	if why := c.hold(); why != "" {
		c.tell.holdAll(c.world.policies, why)
		c.batch.note(now.Add(time.Second))
		return
	}
	c.setOffers(now)
	c.setPolicies()
	c.settle()
	state := c.world.state
	state.SetTime(now)
	bound := c.recountDue(now)
	started := time.Now()
	result := state.Plan(cluster.Options{MaxNodes: c.cfg.MaxNodesPerPlan, SkipBound: !bound})
	c.round.seconds = time.Since(started).Seconds()
	c.deps.Metrics.planSeconds.Observe(c.round.seconds)
	c.round.plan, c.round.planned = result, now
	if bound {
		c.round.bounded, c.round.bound, c.round.boundOf = now, result.Cost.LowerBound, result.Cost.After
	}
	c.round.places = placesOf(&result)
	for name, nodes := range byPolicy(result.Create) {
		c.buyFor(ctx, name, nodes, now)
	}
	c.settle()
	c.buyAhead(ctx, &result, now)
	if len(result.Create) >= c.cfg.MaxNodesPerPlan {
		c.batch.note(now) // there is more to buy
	}
	c.recommend(now)
}

// recountDue reports whether the lower bound is to be computed anew.
func (c *Controller) recountDue(now time.Time) bool {
	age := now.Sub(c.round.bounded)
	return age >= recount || c.round.outdated && age >= recountChanged
}

// boundFor is the lower bound beside a fleet of a price, false when it was computed with another fleet.
func (r *provisioning) boundFor(cost float64, nodes int) (bound float64, known bool) {
	// Prices of claims are rounded up to a millionth.
	if math.Abs(cost-r.boundOf) > 1e-6*float64(nodes+1) {
		return 0, false
	}
	return r.bound, true
}

// recommend says what policies would buy that only recommend, for the pods that are left.
func (c *Controller) recommend(now time.Time) {
	if !slices.ContainsFunc(c.book.all, func(o cluster.Offer) bool { return recommends(c.world.policies[o.Policy]) }) {
		c.round.recommended = nil
		return
	}
	if now.Sub(c.round.recommendedAt) < replan && c.round.recommended != nil {
		return
	}
	c.round.recommendedAt = now
	state := c.world.state
	state.SetOffers(c.book.all)
	all := state.Plan(cluster.Options{MaxNodes: c.cfg.MaxNodesPerPlan, SkipBound: true})
	state.SetOffers(c.book.force)
	c.round.recommended = map[string][]cluster.NewNode{}
	for name, nodes := range byPolicy(all.Create) {
		if recommends(c.world.policies[name]) {
			c.round.recommended[name] = nodes
		}
	}
}

func byPolicy(nodes []cluster.NewNode) map[string][]cluster.NewNode {
	by := map[string][]cluster.NewNode{}
	for _, n := range nodes {
		by[n.Offer.Policy] = append(by[n.Offer.Policy], n)
	}
	return by
}

// setPolicies tells the planner what each policy may still own.
func (c *Controller) setPolicies() {
	claims := make([]*v1alpha1.NodeClaim, 0, len(c.world.claims))
	owned := map[string]map[string]int{}
	for _, k := range c.world.claims {
		claims = append(claims, k)
		if owned[k.Spec.Policy] == nil {
			owned[k.Spec.Policy] = map[string]int{}
		}
		owned[k.Spec.Policy][k.Spec.Offer.Zone]++
	}
	policies := make([]cluster.Policy, 0, len(c.world.policies))
	for name, p := range c.world.policies {
		policies = append(policies, cluster.Policy{Name: name, Expander: string(p.Spec.Expander), Left: claim.Left(p, claims), Owned: owned[name]})
	}
	slices.SortFunc(policies, func(a, b cluster.Policy) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	c.world.state.SetPolicies(policies)
}

// buyFor buys what was planned for one policy.
func (c *Controller) buyFor(ctx context.Context, name string, nodes []cluster.NewNode, now time.Time) {
	policy := c.world.policies[name]
	if !applies(policy) || now.Before(c.round.retryAt[name]) {
		return
	}
	claims, err := c.buy(ctx, policy, nodes, "", nil)
	if len(claims) > 0 {
		if c.round.grew == nil {
			c.round.grew = map[string]time.Time{}
		}
		c.round.grew[name] = now
		c.moves.memory.Grew(name, now)
		c.tell.bought(c, policy, nodes, claims)
	}
	if err == nil {
		delete(c.round.failures, name)
		delete(c.round.retryAt, name)
		return
	}
	c.failedToBuy(ctx, policy, err, now)
}

// buy charges and makes claims, and takes them in ahead of the watch.
func (c *Controller) buy(ctx context.Context, policy *v1alpha1.NodePolicy, nodes []cluster.NewNode, reason string, replaces []string) ([]*v1alpha1.NodeClaim, error) {
	ctx, cancel := context.WithTimeout(ctx, buyTimeout)
	defer cancel()
	known := make(map[string]struct{}, len(c.world.claims))
	for k := range c.world.claims {
		known[k] = struct{}{}
	}
	started := c.deps.Clock.Now()
	claims, err := c.deps.Keeper.Buy(ctx, claim.Order{Policy: policy, Nodes: nodes, Reason: reason, Replaces: replaces, Known: known})
	c.deps.Metrics.buySeconds.Observe(c.deps.Clock.Since(started).Seconds())
	c.deps.Metrics.bought.WithLabelValues(policy.Name).Add(float64(len(claims)))
	for _, k := range claims {
		c.world.setClaim(k, started)
	}
	// The ledger has changed, and the next purchase must be planned from it.
	c.reread(ctx, policy.Name)
	return claims, err
}

// reread reads a policy past the cache.
func (c *Controller) reread(ctx context.Context, name string) {
	var policy v1alpha1.NodePolicy
	if err := c.deps.Client.Get(ctx, client.ObjectKey{Name: name}, &policy); err != nil {
		if !apierrors.IsNotFound(err) && ctx.Err() == nil {
			c.deps.Logger.Warn("cannot read a node policy", "policy", name, "err", err)
		}
		return
	}
	policy.SetManagedFields(nil)
	c.world.setPolicy(&policy)
}

// failedToBuy decides when to try again. A plan that the world has overtaken is made anew at once.
func (c *Controller) failedToBuy(ctx context.Context, policy *v1alpha1.NodePolicy, err error, now time.Time) {
	if ctx.Err() != nil {
		return
	}
	if c.round.failures == nil {
		c.round.failures, c.round.retryAt = map[string]int{}, map[string]time.Time{}
	}
	c.round.failures[policy.Name]++
	failures := c.round.failures[policy.Name]
	outcome := "error"
	wait := min(time.Duration(failures)*time.Second, 30*time.Second)
	var limit *claim.LimitExceeded
	switch conflict := (*claim.Conflict)(nil); {
	case errors.As(err, &conflict):
		outcome = "conflict"
		c.refreshClaims(ctx)
		if failures <= 3 {
			wait = 0
		} else {
			wait = min(wait, 2*time.Second)
		}
	case errors.As(err, &limit):
		outcome = "limit"
		c.tell.act(policy.Name, decision.Held, "Limit", err.Error())
	default:
		c.tell.act(policy.Name, decision.Failed, "PurchaseFailed", fmt.Sprintf("Failed to ask for nodes: %v; will be tried again", err))
		c.events.add(regardingPolicy(policy), corev1.EventTypeWarning, "PurchaseFailed", err.Error())
	}
	c.deps.Metrics.refused.WithLabelValues(outcome).Inc()
	c.round.retryAt[policy.Name] = now.Add(wait)
	if wait == 0 {
		c.batch.note(now.Add(-c.batch.idle))
	}
	c.deps.Logger.Info("nodes were not bought", "policy", policy.Name, "outcome", outcome, "err", err)
}

// refreshClaims reads all claims past the cache: somebody has made some that no watch has shown yet.
func (c *Controller) refreshClaims(ctx context.Context) {
	var list v1alpha1.NodeClaimList
	if err := c.deps.Client.List(ctx, &list); err != nil {
		return
	}
	now := c.deps.Clock.Now()
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
		c.world.setClaim(&list.Items[i], now)
	}
	c.settle()
}

// placesOf are the nodes, or the offers, that the pods of a plan go to.
func placesOf(p *cluster.Plan) map[types.NamespacedName]string {
	places := map[types.NamespacedName]string{}
	for _, set := range [][]cluster.Placement{p.Placed, p.Preempting} {
		for i := range set {
			if set[i].Pod.Demand == "" {
				places[set[i].Pod.NamespacedName] = set[i].Node
			}
		}
	}
	return places
}
