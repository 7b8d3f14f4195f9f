package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// codeForecast is the code of nodes that were bought for a forecast.
const codeForecast = "Forecast"

// aheadRetry is how long no node is bought for forecasts after that has failed.
const aheadRetry = 30 * time.Second

// withForecasts does something while the planner counts foreseen pods: the room for them is not to be given away. Only savings are
// decided so. Repair, renewal and drains are never held up by pods that may not come.
func (c *Controller) withForecasts(do func()) {
	if len(c.ahead.demand) == 0 {
		do()
		return
	}
	c.world.state.SetDemand(slices.Concat(c.round.demand.list, c.ahead.demand))
	do()
	c.world.state.SetDemand(c.round.demand.list)
}

// buyAhead buys for what is foreseen, once nothing has to be bought for anybody else: a plan of its own, after the others' and among the
// offers of policies that want forecasts. While somebody waits because a limit is reached, or has just come, nothing is taken from it.
func (c *Controller) buyAhead(ctx context.Context, others *cluster.Plan, now time.Time) {
	if len(c.ahead.demand) == 0 || len(others.Create) > 0 || len(c.world.unjudged) > 0 || now.Before(c.ahead.retryAt) || limited(others) {
		return
	}
	var offers []cluster.Offer
	for i := range c.book.force {
		p := c.world.policies[c.book.force[i].Policy]
		if applies(p) && p.Spec.Forecast != nil && p.DeletionTimestamp == nil && !now.Before(c.round.retryAt[p.Name]) {
			offers = append(offers, c.book.force[i])
		}
	}
	if len(offers) == 0 {
		return
	}
	var planned cluster.Plan
	c.withForecasts(func() {
		c.world.state.SetOffers(offers)
		planned = c.world.state.Plan(cluster.Options{MaxNodes: c.cfg.MaxNodesPerPlan, SkipBound: true})
		c.world.state.SetOffers(c.book.force)
	})
	for name, nodes := range byPolicy(planned.Create) {
		c.buyAheadFor(ctx, c.world.policies[name], nodes, now)
	}
	c.settle()
}

// limited reports whether somebody has no place because a policy has reached a limit.
func limited(p *cluster.Plan) bool {
	return slices.ContainsFunc(p.Unschedulable, func(u cluster.Unschedulable) bool {
		return slices.ContainsFunc(u.Reasons, func(r cluster.Reason) bool { return r.Code == "Limit" })
	})
}

func (c *Controller) buyAheadFor(ctx context.Context, policy *v1alpha1.NodePolicy, nodes []cluster.NewNode, now time.Time) {
	claims, err := c.buy(ctx, policy, nodes, "ahead of time", nil)
	if len(claims) > 0 {
		c.deps.Metrics.boughtAhead.WithLabelValues(policy.Name).Add(float64(len(claims)))
		c.moves.memory.Grew(policy.Name, now)
		c.tellAhead(policy, nodes[:min(len(nodes), len(claims))], claims)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	// Purchases for pods that are there do not wait for this one's fault to be over.
	c.ahead.retryAt = now.Add(aheadRetry)
	outcome := "error"
	var limit *claim.LimitExceeded
	switch conflict := (*claim.Conflict)(nil); {
	case errors.As(err, &conflict):
		outcome = "conflict"
		c.refreshClaims(ctx)
	case errors.As(err, &limit):
		outcome = "limit"
	}
	c.deps.Metrics.refused.WithLabelValues(outcome).Inc()
	c.deps.Logger.Info("nodes were not bought ahead of time", "policy", policy.Name, "outcome", outcome, "err", err)
}

// maxReasons is how many forecasts one record quotes.
const maxReasons = 3

// tellAhead tells of nodes that were asked for because of forecasts.
func (c *Controller) tellAhead(policy *v1alpha1.NodePolicy, nodes []cluster.NewNode, claims []*v1alpha1.NodeClaim) {
	pods, price := 0, 0.0
	wanted := map[string]bool{}
	for i := range nodes {
		price += nodes[i].Offer.PricePerHour
		for j := range nodes[i].Pods {
			pods++
			wanted[nodes[i].Pods[j].Demand] = true
		}
	}
	var why []string
	for i := range c.ahead.demand {
		if d := &c.ahead.demand[i]; wanted[d.Name] && len(why) < maxReasons {
			why = append(why, c.ahead.shown[i].Workload+": "+c.ahead.shown[i].Reason)
		}
	}
	reason := fmt.Sprintf("Asked for %s for %s that %s foreseen, %.4g per hour: %s. %s",
		count(len(nodes), "node"), count(pods, "pod"), isOrAre(pods), price, summary(nodes), strings.Join(why, "; "))
	c.tell.act(policy.Name, decision.Provisioned, codeForecast, reason, createActions(nodes, claims, codeForecast)...)
	c.events.add(regardingPolicy(policy), corev1.EventTypeNormal, string(decision.Provisioned), reason)
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
