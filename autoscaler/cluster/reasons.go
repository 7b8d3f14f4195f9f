package cluster

import (
	"cmp"
	"fmt"
	"slices"
)

// The codes of reasons.
const (
	reasonResources    = "Resources"
	reasonNodeSelector = "NodeSelector"
	reasonTaint        = "Taint"
	reasonLimit        = "Limit"
	reasonUnavailable  = "Unavailable"
	reasonGate         = "SchedulingGate"
	reasonNoOffers     = "NoOffers"
	reasonMaxNodes     = "MaxNodes"
	reasonSpread       = "TopologySpread"
	reasonAffinity     = "PodAffinity"
	reasonAnti         = "PodAntiAffinity"
	reasonVolume       = "Volume"
	reasonVolumeLimit  = "VolumeLimit"
	reasonHostPort     = "HostPort"
	reasonDevice       = "Device"
	reasonGang         = "Gang"
	reasonPriority     = "Priority"
)

// reasons says why no offer takes the rest of a batch, the one that holds for most offers first.
func (p *planning) reasons(b *batch) []Reason {
	if reason, held := p.held(b); held {
		return []Reason{reason}
	}
	if expendable(b) {
		return []Reason{{Code: reasonPriority, Message: fmt.Sprintf("pods of priority %d run where there is room: nothing is bought for them", b.priority)}}
	}
	if len(p.s.varieties) == 0 {
		return []Reason{{Code: reasonNoOffers, Message: "nothing is offered"}}
	}
	counts := map[Reason]int{}
	for _, v := range p.s.varieties {
		counts[p.refusal(b, v)]++
	}
	out := make([]Reason, 0, len(counts))
	for r, n := range counts {
		r.Offers = n
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Offers, a.Offers), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// refusal is the first reason for which a node of the variety is not bought for the class.
func (p *planning) refusal(b *batch, v *variety) Reason {
	c := b.class
	switch c.filter.on(v.shape, v.node) {
	case wrongLabels:
		return Reason{Code: reasonNodeSelector, Message: "the pod's node selector or required node affinity does not select it"}
	case tainted:
		return Reason{Code: reasonTaint, Message: "the pod does not tolerate its taints"}
	case unreachable:
		return Reason{Code: reasonVolume, Message: "the pod's volumes cannot be reached from there"}
	case portTaken:
		return Reason{Code: reasonHostPort, Message: "a DaemonSet's pod takes the pod's host port there"}
	}
	request := c.request
	if c.singly() {
		request = p.asked(c, v.offer.Allocatable)
	}
	if d := v.free.short(request); d >= 0 {
		if p.s.dims.isAttach(d) {
			return Reason{Code: reasonVolumeLimit, Message: "the pod's volumes are more than can be attached there"}
		}
		why := ""
		if v.capacity.at(d) >= request.at(d) {
			why = " besides its DaemonSets' pods"
		}
		return Reason{Code: reasonResources, Message: p.say("the pod requests more %s than it has%s", string(p.s.dims.names[d]), why)}
	}
	if c.singly() {
		if reason, ok := p.refusalSingly(b, v); ok {
			return reason
		}
	}
	if !v.offer.Available {
		why := v.offer.Unavailable
		if why == "" {
			why = "it is sold out"
		}
		return Reason{Code: reasonUnavailable, Message: why}
	}
	if !p.withinStock(v) {
		return Reason{Code: reasonUnavailable, Message: "its stock is used up"}
	}
	if l := p.limit(v); l != "" {
		return Reason{Code: reasonLimit, Message: p.say("policy %s has reached its limit of %s", v.offer.Policy, l)}
	}
	if reason, ok := p.keptOff(v, c); ok {
		return reason
	}
	return Reason{Code: reasonMaxNodes, Message: "the plan may not buy more nodes"}
}

// say puts words together once for all offers for which they are the same.
func (p *planning) say(format, a, b string) string {
	key := [3]string{format, a, b}
	said, ok := p.sentences[key]
	if !ok {
		if p.sentences == nil {
			p.sentences = map[[3]string]string{}
		}
		said = fmt.Sprintf(format, a, b)
		p.sentences[key] = said
	}
	return said
}

// keptOff says which other pods keep the class off a new node of the variety, false when none do.
func (p *planning) keptOff(v *variety, c *class) (Reason, bool) {
	t, r := v.site(), &c.relation
	t.index = p.s.nextSite + p.serial
	for i := range r.spread {
		y := r.spread[i].tally
		switch d := p.s.domain(t, y); {
		case d == nowhere:
			return Reason{Code: reasonSpread, Message: fmt.Sprintf("the pod is to be spread over %s, a label that it does not have", y.key)}, true
		case y.counts[d]+r.spread[i].self-y.least(r.spread[i].minDomains) > r.spread[i].maxSkew:
			return Reason{Code: reasonSpread, Message: fmt.Sprintf("one more pod there would break its spread over %s", y.key)}, true
		}
	}
	for _, y := range r.anti {
		if y.counts[p.s.domain(t, y)] > 0 {
			return Reason{Code: reasonAnti, Message: fmt.Sprintf("pods that it must not share %s with are there", y.key)}, true
		}
	}
	for _, y := range r.bars {
		if y.counts[p.s.domain(t, y)] > 0 {
			return Reason{Code: reasonAnti, Message: fmt.Sprintf("pods there must not share %s with it", y.key)}, true
		}
	}
	if !p.near(r, func(y *tally) int32 { return p.s.domain(t, y) }, -1) {
		return Reason{Code: reasonAffinity, Message: "the pods that it must be near are elsewhere, or nowhere"}, true
	}
	return Reason{}, false
}
