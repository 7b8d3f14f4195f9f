package cluster

// cost compares the fleet before and after with what it must cost.
func (p *planning) cost(batches []*batch, o Options) Cost {
	var c Cost
	for _, t := range p.s.sites() {
		c.Before += t.view.PricePerHour
	}
	c.After = c.Before
	for _, t := range p.bought {
		c.After += t.variety.offer.PricePerHour
	}
	if !o.SkipBound {
		bound, name := p.bound(batches)
		c.LowerBound, c.Bound = c.Before+bound, name
	}
	return c
}
