package oracle

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// PolicyName is the policy of all offers.
const PolicyName = "oracle"

// limits draws what may be bought, and of some offers how many there are.
func (g *generator) limits() {
	g.c.Policy.Name = PolicyName
	for i := range g.c.Offers {
		o := &g.c.Offers[i]
		o.Policy = PolicyName
		if g.with("stock", 24) {
			o.Stock = g.IntN(3)
		}
	}
	if !g.with("policy limits", 3) {
		return
	}
	left := &g.c.Policy.Left
	switch g.IntN(4) {
	case 0:
		n := g.IntN(4)
		left.Nodes = &n
	case 1:
		n := int64(1000 + g.IntN(12000))
		left.MilliCPU = &n
	case 2:
		n := int64(1+g.IntN(24)) << 30
		left.Memory = &n
	case 3:
		n := 0.03 + 0.6*g.Float64()
		left.PricePerHour = &n
	}
}

// Account is what has been bought of a case's offers.
type Account struct {
	Offers map[cluster.OfferID]int
	Nodes  int
	// MilliCPU and Memory (bytes) are what the nodes bought let pods request, PricePerHour what they cost.
	MilliCPU, Memory int64
	PricePerHour     float64
}

// Buy adds nodes of the offer.
func (a *Account) Buy(o *cluster.Offer, nodes int) {
	if a.Offers == nil {
		a.Offers = map[cluster.OfferID]int{}
	}
	a.Offers[o.ID()] += nodes
	a.Nodes += nodes
	a.MilliCPU += int64(nodes) * o.Allocatable.Cpu().MilliValue()
	a.Memory += int64(nodes) * o.Allocatable.Memory().Value()
	a.PricePerHour += float64(nodes) * o.PricePerHour
}

// Exceeds names the limit that the account is above, empty when it is above none.
func (a *Account) Exceeds(c *Case) string {
	left := c.Policy.Left
	switch {
	case left.Nodes != nil && a.Nodes > *left.Nodes:
		return "nodes"
	case left.MilliCPU != nil && a.MilliCPU > *left.MilliCPU:
		return string(corev1.ResourceCPU)
	case left.Memory != nil && a.Memory > *left.Memory:
		return string(corev1.ResourceMemory)
	case left.PricePerHour != nil && a.PricePerHour > *left.PricePerHour*(1+1e-9):
		return "price"
	}
	for i := range c.Offers {
		if o := &c.Offers[i]; o.Stock >= 0 && a.Offers[o.ID()] > o.Stock {
			return "stock of " + o.Name
		}
	}
	return ""
}

// Allows says whether one more node of the offer may be bought.
func (a *Account) Allows(c *Case, o *cluster.Offer) bool {
	if !o.Available {
		return false
	}
	a.Buy(o, 1)
	defer a.Buy(o, -1)
	return a.Exceeds(c) == ""
}

// Left is what remains of the policy.
func (a *Account) Left(c *Case) cluster.Policy {
	p := c.Policy
	if p.Left.Nodes != nil {
		n := max(0, *p.Left.Nodes-a.Nodes)
		p.Left.Nodes = &n
	}
	if p.Left.MilliCPU != nil {
		n := max(0, *p.Left.MilliCPU-a.MilliCPU)
		p.Left.MilliCPU = &n
	}
	if p.Left.Memory != nil {
		n := max(0, *p.Left.Memory-a.Memory)
		p.Left.Memory = &n
	}
	if p.Left.PricePerHour != nil {
		n := max(0, *p.Left.PricePerHour-a.PricePerHour)
		p.Left.PricePerHour = &n
	}
	return p
}
