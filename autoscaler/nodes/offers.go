package nodes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/cluster/catalog"
)

// maxOfferAge is how old an answer of a provider may be before nothing is bought by it any more.
const maxOfferAge = 10 * time.Minute

// offerBook is what providers have answered, by policy.
type offerBook struct {
	pages map[string]*offerPage
	// stale means that what can be bought has to be put together anew.
	stale bool
	// all are the offers of policies that plan, in force those of them that the planner may use: of policies in mode Apply.
	all, force []cluster.Offer
	// shut is which of all were avoided when the planner was told last.
	shut []string
}

// offerPage is a provider's answer for one policy.
type offerPage struct {
	asked, answered time.Time
	asking          bool
	generation      int64
	raw             []cluster.Offer
	err             error
}

func newOfferBook() offerBook { return offerBook{pages: map[string]*offerPage{}} }

// errNoProvider is what a policy is told whose provider is not configured.
var errNoProvider = errors.New("no such provider is configured")

// refreshOffers asks providers whose answers are getting old. It does not wait for them.
func (c *Controller) refreshOffers(ctx context.Context, now time.Time) {
	for name := range c.book.pages {
		if c.world.policies[name] == nil {
			delete(c.book.pages, name)
			c.book.stale = true
		}
	}
	for name, policy := range c.world.policies {
		page := c.book.pages[name]
		if page == nil {
			page = &offerPage{}
			c.book.pages[name] = page
		}
		if page.raw != nil && now.Sub(page.answered) > maxOfferAge {
			page.raw, c.book.stale = nil, true
		}
		due := now.Sub(page.asked) >= time.Duration(c.cfg.OffersInterval)
		if page.err != nil {
			due = now.Sub(page.asked) >= min(5*time.Second, time.Duration(c.cfg.OffersInterval))
		}
		if page.asking || !due && page.generation == policy.Generation {
			continue
		}
		page.asked, page.generation = now, policy.Generation
		p := c.deps.Providers[policy.Spec.Provider.Name]
		if p == nil {
			page.err = fmt.Errorf("%w: %q", errNoProvider, policy.Spec.Provider.Name)
			continue
		}
		page.asking = true
		c.background.Go(func() {
			limited, cancel := context.WithTimeout(ctx, time.Duration(c.cfg.ProviderTimeout))
			defer cancel()
			raw, err := p.Offers(limited, policy)
			at := c.deps.Clock.Now()
			c.post(ctx, func() {
				page.asking, page.err = false, err
				if err == nil {
					page.raw, page.answered = raw, at
					c.book.stale = true
					c.batch.note(at)
				}
			})
		})
	}
}

// setOffers tells the planner what can be bought, when that has changed.
func (c *Controller) setOffers(now time.Time) {
	b := &c.book
	if b.stale {
		b.stale, b.shut = false, nil
		b.all, b.force = nil, nil
		for name, page := range b.pages {
			policy := c.world.policies[name]
			if policy == nil || policy.DeletionTimestamp != nil || observes(policy) || now.Sub(page.answered) > maxOfferAge {
				continue
			}
			b.all = append(b.all, catalog.Apply(policy, page.raw)...)
		}
		for i := range b.all {
			// What is planned costs what will be charged.
			price := claim.Price(b.all[i].PricePerHour)
			b.all[i].PricePerHour = price.AsApproximateFloat64()
		}
		c.world.setOffers(b.all)
	}
	shut := make([]string, len(b.all))
	changed := b.shut == nil
	for i := range b.all {
		if why, avoided := c.deps.Keeper.Avoided(b.all[i].ID(), now); avoided {
			shut[i] = why
		}
		changed = changed || shut[i] != "" != (b.shut[i] != "")
	}
	if !changed {
		return
	}
	b.shut = shut
	b.force = b.force[:0:0]
	for i := range b.all {
		o := b.all[i]
		if shut[i] != "" {
			o.Available, o.Unavailable = false, shut[i]
		}
		if applies(c.world.policies[o.Policy]) {
			b.force = append(b.force, o)
		}
	}
	c.world.state.SetOffers(b.force)
}

func applies(p *v1alpha1.NodePolicy) bool { return p != nil && p.Spec.Mode == v1alpha1.Apply }

func observes(p *v1alpha1.NodePolicy) bool { return p.Spec.Mode == v1alpha1.Observe }

// recommends reports whether a policy only says what it would do. That is the default.
func recommends(p *v1alpha1.NodePolicy) bool { return !applies(p) && !observes(p) }
