package cluster

import (
	"fmt"
	"strings"
)

// purpose is what the reason for a node depends on.
type purpose struct {
	variety      *variety
	batch        *batch
	pods         int
	others, only bool
}

// reason says for what a node is bought and why this offer.
func (p *planning) reason(t *site, pods, alternatives int) string {
	key := purpose{t.variety, t.planned[0].batch, pods, len(t.planned) > 1, alternatives == 0}
	if said, ok := p.purposes[key]; ok {
		return said
	}
	if p.purposes == nil {
		p.purposes = map[purpose]string{}
	}
	p.purposes[key] = p.reasonFor(t, pods, alternatives)
	return p.purposes[key]
}

func (p *planning) reasonFor(t *site, pods, alternatives int) string {
	var b strings.Builder
	first := t.planned[0].batch
	fmt.Fprintf(&b, "room for %d pods", pods)
	if pods == 1 {
		b.Reset()
		b.WriteString("room for 1 pod")
	}
	if name := first.name(); name != "" {
		fmt.Fprintf(&b, " (%s", name)
		if len(t.planned) > 1 {
			b.WriteString(" and others")
		}
		b.WriteString(")")
	}
	fmt.Fprintf(&b, " that no node has; %s in %s (%s) at %.4g per hour", t.variety.offer.Name, t.variety.offer.Zone, t.variety.offer.CapacityType, t.variety.offer.PricePerHour)
	if alternatives == 0 {
		b.WriteString(" is the only offer that takes them")
	} else {
		fmt.Fprintf(&b, " was chosen %s", p.expanderWords(t.variety.offer))
	}
	return b.String()
}

func (b *batch) name() string {
	if b.demand != nil {
		return b.demand.Name
	}
	return podKey(b.members[0].pod)
}

func (p *planning) expanderWords(o *Offer) string {
	switch p.s.policies[o.Policy].Expander {
	case leastWaste:
		return "because least of it stays unused"
	case byPriority:
		return "because the policy's priorities put it first"
	case balanced:
		return "because its zone has the fewest nodes"
	}
	return "because it costs least for what it takes"
}
