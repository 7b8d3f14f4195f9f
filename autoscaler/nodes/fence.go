package nodes

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// A process that was stopped for a while may find itself beside its successor, with a cache of before. What follows keeps the promises
// that no version of one object can keep, and tidies up after calls that were answered too late.

// crowded says why a move that has been noted in its claims must be taken back: somebody else has begun another one meanwhile, and both
// together exceed the budget. Everybody notes first and reads past the cache afterwards, so that of two at least one sees the other.
func (c *Controller) crowded(ctx context.Context, policy *v1alpha1.NodePolicy, m *disruption.Move, now time.Time) string {
	var list v1alpha1.NodeClaimList
	if err := c.deps.Client.List(ctx, &list); err != nil {
		return fmt.Sprintf("it could not be made sure that nobody else disrupts nodes: %v", err)
	}
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
		c.world.setClaim(&list.Items[i], now)
	}
	c.settle()
	nodes, disrupted := disruption.Count(policy.Name, c.candidates(), c.surroundings(now))
	allowed, why, err := disruption.Allowed(policy, m.Reason, nodes, max(0, disrupted-len(m.Remove)), now)
	switch {
	case err != nil:
		return err.Error()
	case allowed < len(m.Remove):
		return "another move was begun at the same time: " + why
	}
	return ""
}

// reopen takes cordons back that belong to no move: of a drain whose move was taken back while it was asking, or that another process
// had under way.
func (c *Controller) reopen(ctx context.Context) {
	for name, k := range c.world.claims {
		if k.DeletionTimestamp != nil || k.Status.Disruption != nil || c.moves.draining[name] {
			continue
		}
		node := c.world.nodes[c.world.nodeOfClaim[name]]
		if node == nil || !disrupted(node) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		if err := c.deps.Drainer.Uncordon(limited, node); err != nil {
			c.couldNot(err, "have a node take pods again", node.Name)
		}
		cancel()
	}
}

// disrupted reports whether a node bears the taint of a move.
func disrupted(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.TaintDisrupted })
}
