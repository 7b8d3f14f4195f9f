package catalog

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Prices finds what nodes cost by their labels. It is safe for concurrent use.
type Prices struct {
	byName map[string][]*cluster.Offer
}

// NewPrices returns the prices of the offers, those that are not available included: a node may have been bought before.
func NewPrices(offers []cluster.Offer) *Prices {
	p := &Prices{byName: make(map[string][]*cluster.Offer)}
	for i := range offers {
		p.byName[offers[i].Name] = append(p.byName[offers[i].Name], &offers[i])
	}
	return p
}

// Of returns the price per hour of a node, and false when no offer has its instance type, zone and capacity type. Labels that the node
// does not have are not compared; without a capacity type it is taken to be on demand where that is offered. Of several offers that
// match, the cheapest counts.
func (p *Prices) Of(node *corev1.Node) (float64, bool) {
	name := node.Labels[corev1.LabelInstanceTypeStable]
	if name == "" {
		name = node.Labels[corev1.LabelInstanceType]
	}
	if name == "" {
		return 0, false
	}
	var best *cluster.Offer
	for _, o := range p.byName[name] {
		if !describes(o, node) {
			continue
		}
		if best == nil || cheaper(o, best, node.Labels[LabelCapacityType] == "") {
			best = o
		}
	}
	if best == nil {
		return 0, false
	}
	return best.PricePerHour, true
}

// Price is Prices.Of for a single node.
func Price(node *corev1.Node, offers []cluster.Offer) (float64, bool) {
	return NewPrices(offers).Of(node)
}

func describes(o *cluster.Offer, node *corev1.Node) bool {
	zone := node.Labels[corev1.LabelTopologyZone]
	if zone == "" {
		zone = node.Labels[corev1.LabelFailureDomainBetaZone]
	}
	for _, pair := range [][2]string{
		{o.Zone, zone},
		{o.CapacityType, node.Labels[LabelCapacityType]},
		{o.Labels[corev1.LabelArchStable], node.Labels[corev1.LabelArchStable]},
		{o.Labels[corev1.LabelOSStable], node.Labels[corev1.LabelOSStable]},
	} {
		if pair[0] != "" && pair[1] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

func cheaper(a, b *cluster.Offer, onDemandFirst bool) bool {
	if onDemandFirst && (a.CapacityType == onDemand) != (b.CapacityType == onDemand) {
		return a.CapacityType == onDemand
	}
	return a.PricePerHour < b.PricePerHour
}

const onDemand = "on-demand"
