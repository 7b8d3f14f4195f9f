package nodes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// foreignBook is what providers that only read say of machines that somebody else makes. It explains nodes and nothing else: no
// decision looks at it.
type foreignBook struct {
	pages map[string]*foreignPage // by the provider's name
}

// foreignPage is what one provider has answered.
type foreignPage struct {
	asked, answered time.Time
	asking          bool
	byNode          map[string]provider.Machine
	// unborn are machines that have no node.
	unborn []provider.Machine
}

// refreshForeign asks the providers that only read, as often as others are asked for offers. It does not wait for them.
func (c *Controller) refreshForeign(ctx context.Context, now time.Time) {
	for name, p := range c.deps.Providers {
		if !p.Capabilities().ReadOnly {
			continue
		}
		page := c.foreign.pages[name]
		if page == nil {
			page = &foreignPage{}
			c.foreign.pages[name] = page
		}
		if now.Sub(page.answered) > maxOfferAge {
			page.byNode, page.unborn = nil, nil
		}
		if page.asking || !page.asked.IsZero() && now.Sub(page.asked) < time.Duration(c.cfg.OffersInterval) {
			continue
		}
		page.asked, page.asking = now, true
		c.background.Go(func() {
			limited, cancel := context.WithTimeout(ctx, time.Duration(c.cfg.ProviderTimeout))
			defer cancel()
			machines, err := p.List(limited)
			at := c.deps.Clock.Now()
			c.post(ctx, func() { page.answer(machines, err, at) })
			if err != nil && ctx.Err() == nil {
				c.deps.Metrics.foreignFailed.WithLabelValues(name).Inc()
				c.deps.Logger.Warn("cannot list the machines of a provider that only reads", "provider", name, "err", err)
			}
		})
	}
}

// answer notes what a provider has said; after an error what it said before holds on for a while.
func (f *foreignPage) answer(machines []provider.Machine, err error, at time.Time) {
	f.asking = false
	if err != nil {
		return
	}
	f.answered, f.byNode, f.unborn = at, make(map[string]provider.Machine, len(machines)), nil
	for _, m := range machines {
		if m.NodeName == "" {
			f.unborn = append(f.unborn, m)
		} else {
			f.byNode[m.NodeName] = m
		}
	}
}

// explainForeign says of a node that no claim of ours has made whose it is, and what its maker says of it.
func (c *Controller) explainForeign(n *NodeView) {
	for _, name := range slices.Sorted(maps.Keys(c.foreign.pages)) {
		if m, ok := c.foreign.pages[name].byNode[n.Name]; ok {
			n.Why, n.Stay = foreignWhy(name, m), foreignStay(m)
			return
		}
	}
}

// showForeign adds the machines of others that have no node.
func (c *Controller) showForeign(v *View) {
	for _, name := range slices.Sorted(maps.Keys(c.foreign.pages)) {
		for i, m := range c.foreign.pages[name].unborn {
			v.Nodes = append(v.Nodes, NodeView{
				Name: cmp.Or(m.ID, fmt.Sprintf("%s (no node yet, %d)", m.Group, i+1)), Phase: string(m.State), Created: m.Created, Version: m.Version,
				Why: foreignWhy(name, m), Stay: foreignStay(m),
			})
		}
	}
}

func foreignWhy(provider string, m provider.Machine) string {
	return "it was made by " + provider + " for " + cmp.Or(m.Group, "no group") + ", not under a policy"
}

func foreignStay(m provider.Machine) StayView {
	return StayView{Code: "Foreign", Message: cmp.Or(m.Message, "its maker says nothing of it ("+string(m.State)+")")}
}

// isForeign reports whether a node is neither ours nor expected by us.
func isForeign(view *cluster.NodeView) bool { return view.Claim == "" && !view.Expected }
