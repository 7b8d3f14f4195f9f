package cluster

import (
	"context"
	"math"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster/device"
	"github.com/yagura-dev/yagura/autoscaler/cluster/volume"
)

// hold is what one pod takes besides room: volumes that serve no other claim, claims for one pod alone, and devices.
type hold struct {
	pod     *corev1.Pod
	class   *class
	needs   *volume.Needs
	node    device.Node
	picks   []volume.Pick
	devices device.Allocation
}

// sessions keep account of holds over one plan. They are made when the first pod asks.
type sessions struct {
	volumes   *volume.Reservations
	devices   *device.Allocator
	exclusive map[string]int
	// running are the pods on nodes by the claim for one pod alone that they use, nil before it is asked for.
	running map[string]int
	nodes   map[*site]device.Node
	// bySite are the holds on devices that the plan has put on a site, in order.
	bySite map[*site][]*hold
	// why is the last reason for which a pod had no place, for those that no offer takes.
	why Reason
}

func (p *planning) session() *sessions {
	if p.holds == nil {
		p.holds = &sessions{volumes: p.s.volumes.Reservations(), devices: p.s.devices.Allocator(), exclusive: map[string]int{}, nodes: map[*site]device.Node{}, bySite: map[*site][]*hold{}}
	}
	return p.holds
}

// putOne puts the batch's next pod on the site, and says whether it could.
func (p *planning) putOne(t *site, b *batch) bool {
	if p.room(t, b.class) < 1 || !p.allows(t, b.class) {
		return false
	}
	h, reason, ok := p.holdOn(t, b)
	if !ok {
		p.session().why = reason
		return false
	}
	p.take(t, h)
	p.put(t, b, 1)
	p.log[len(p.log)-1].hold = h
	return true
}

// putSingly puts as many pods of the batch on the site as it takes, at most n.
func (p *planning) putSingly(t *site, b *batch, n int) int {
	for i := range n {
		if b.left() == 0 || !p.putOne(t, b) {
			return i
		}
	}
	return n
}

// holdOn finds what the batch's next pod would take on the site.
func (p *planning) holdOn(t *site, b *batch) (*hold, Reason, bool) {
	h := &hold{pod: b.pod(), class: b.class, needs: &b.class.claims.needs, node: p.deviceNode(t)}
	s := p.session()
	for _, claim := range h.needs.Exclusive {
		if s.exclusive[claim]+p.users(claim) > 0 {
			return nil, Reason{Code: reasonVolume, Message: "claim " + claim + " is for one pod at a time, and another has it"}, false
		}
	}
	if len(h.needs.Unbound) > 0 {
		picks, why, ok := s.volumes.Fits(h.needs, h.node.Node)
		if !ok {
			return nil, Reason{Code: reasonVolume, Message: why}, false
		}
		h.picks = picks
	}
	if b.class.claims.devices {
		found, why, err := s.devices.Fits(context.Background(), h.pod, h.node)
		if err != nil {
			why = err.Error()
		}
		if why != "" {
			return nil, Reason{Code: reasonDevice, Message: why}, false
		}
		h.devices = found
		if !p.anyOrder(t, h) {
			return nil, Reason{Code: reasonDevice, Message: "others there could take its devices first"}, false
		}
	}
	return h, Reason{}, true
}

// anyOrder says whether the pods that the plan puts on the site find their devices also when this one comes first. The scheduler takes
// the first devices that will do, and which pod it looks at first nobody knows; so pods that ask for different devices share a node
// only if none can take what another needs.
func (p *planning) anyOrder(t *site, h *hold) bool {
	s := p.session()
	others := s.bySite[t]
	if !slices.ContainsFunc(others, func(o *hold) bool { return o.class != h.class }) {
		return true
	}
	for _, o := range others {
		s.devices.Undo(o.pod, o.devices)
	}
	var done []*hold
	for _, o := range append([]*hold{h}, others...) {
		found, why, err := s.devices.Fits(context.Background(), o.pod, h.node)
		if why != "" || err != nil {
			break
		}
		s.devices.Commit(o.pod, h.node, found)
		done = append(done, &hold{pod: o.pod, devices: found})
	}
	for _, o := range done {
		s.devices.Undo(o.pod, o.devices)
	}
	for _, o := range others {
		s.devices.Commit(o.pod, h.node, o.devices)
	}
	return len(done) == len(others)+1
}

func (p *planning) take(t *site, h *hold) {
	s := p.session()
	for _, claim := range h.needs.Exclusive {
		s.exclusive[claim]++
	}
	s.volumes.Take(h.needs, h.node.Node, h.picks)
	if !h.devices.Empty() {
		s.devices.Commit(h.pod, h.node, h.devices)
		s.bySite[t] = append(s.bySite[t], h)
	}
}

func (p *planning) give(t *site, h *hold) {
	s := p.session()
	for _, claim := range h.needs.Exclusive {
		s.exclusive[claim]--
	}
	s.volumes.Release(h.needs)
	if !h.devices.Empty() {
		s.devices.Undo(h.pod, h.devices)
		s.bySite[t] = slices.DeleteFunc(s.bySite[t], func(o *hold) bool { return o == h })
	}
}

// pod is the next one of the batch to get a place.
func (b *batch) pod() *corev1.Pod {
	if b.demand != nil {
		return b.demand.Pod
	}
	return b.members[b.placed].pod
}

// users is how many pods that stay where they are use a claim for one pod alone.
func (p *planning) users(claim string) int {
	s := p.session()
	if s.running == nil {
		s.running = map[string]int{}
		for c := range p.s.references.all {
			for _, name := range c.claims.needs.Exclusive {
				for t, n := range c.sites {
					if !t.absent {
						s.running[name] += n
					}
				}
			}
		}
	}
	return s.running[claim]
}

// deviceNode is the site as the allocator sees it.
func (p *planning) deviceNode(t *site) device.Node {
	s := p.session()
	n, ok := s.nodes[t]
	if !ok {
		n = device.Node{Name: t.name, Node: t.node, Slices: t.view.Slices}
		if t.variety != nil {
			object := *t.node
			object.Name, object.Status.Allocatable = t.name, t.variety.offer.Allocatable
			n.Node, n.Slices = &object, t.variety.offer.Slices
		}
		s.nodes[t] = n
	}
	return n
}

// roomSingly is room for a class that is placed one at a time.
func (p *planning) roomSingly(t *site, c *class) int {
	if !t.free.fits(p.asked(c, p.deviceNode(t).Node.Status.Allocatable)) {
		return 0
	}
	return 1
}

// asked is what a pod of the class asks of a node with so much of everything: what devices can stand behind is not asked of one that
// has none of it.
func (p *planning) asked(c *class, allocatable corev1.ResourceList) vector {
	request := c.request
	for d := fixedDims; d < len(request); d++ {
		if q := allocatable[p.s.dims.names[d]]; request[d] == 0 || !q.IsZero() || !p.s.devices.Backs(p.s.dims.names[d]) {
			continue
		}
		if &request[0] == &c.request[0] {
			request = request.clone()
		}
		request[d] = 0
	}
	return request
}

// trialPods bounds how many pods of a batch are tried on an offer to see what it is worth.
const trialPods = 64

// buySingly buys for pods that are placed one at a time: each time the offer that costs least for each pod that it takes.
func (p *planning) buySingly(b *batch, o Options) {
	if _, held := p.held(b); held {
		return
	}
	p.onBought(b)
	for b.left() > 0 && (o.MaxNodes <= 0 || len(p.bought) < o.MaxNodes) {
		var best *variety
		bestScore := score{first: math.MaxInt, second: math.MaxInt, cost: math.Inf(1)}
		weight := int32(math.MinInt32)
		for _, v := range p.s.varieties {
			if v.offer.Weight < weight || !p.purchasable(v) || b.class.filter.on(v.shape, v.node) != passes {
				continue
			}
			n := p.trial(v, b)
			if n == 0 {
				continue
			}
			sc := p.rate(v, n, b.class.request)
			if best == nil || v.offer.Weight > weight || sc.less(bestScore) {
				best, bestScore, weight = v, sc, v.offer.Weight
			}
		}
		if best == nil {
			return
		}
		p.putSingly(p.purchase(best), b, b.left())
	}
}

// trial is how many of the batch's pods a node of the variety would take.
func (p *planning) trial(v *variety, b *batch) int {
	mark := len(p.log)
	t := &site{index: p.s.nextSite + p.serial, name: "trial", node: v.node, shape: v.shape, free: v.free.clone(), variety: v}
	var entered []*tally
	for _, y := range p.live {
		if y.scope == nil || !y.scope.includes(t) {
			continue
		}
		if d := p.s.domain(t, y); d != nowhere && y.domains[d] == 0 && !y.extra[d] {
			y.expect(d)
			entered = append(entered, y)
		}
	}
	n := p.putSingly(t, b, min(b.left(), trialPods))
	p.rewind(mark)
	for _, y := range entered {
		delete(y.extra, p.s.domain(t, y))
	}
	delete(p.session().nodes, t)
	delete(p.session().bySite, t)
	return n
}

// refusalSingly is why a new node of the variety would not take one more of the class, false when it would.
func (p *planning) refusalSingly(b *batch, v *variety) (Reason, bool) {
	s := p.session()
	s.why = Reason{}
	if p.trial(v, &batch{class: b.class, members: b.members, demand: b.demand, count: b.count, placed: b.placed}) > 0 {
		return Reason{}, false
	}
	return s.why, s.why.Code != ""
}

// sameHolds says whether pods that were placed one at a time would find the same on a node of the variety.
func (p *planning) sameHolds(v *variety, t *site) bool {
	for _, pl := range t.planned {
		c := pl.batch.class
		if !c.singly() {
			continue
		}
		if len(c.claims.needs.Choices) > 0 || c.claims.shared ||
			c.claims.devices && !reflect.DeepEqual(v.offer.Slices, t.variety.offer.Slices) {
			return false
		}
	}
	return true
}

// driversOn says whether the drivers that insist on it have registered with the node. Nodes to come are expected to have them.
func (p *planning) driversOn(t *site, c *class) bool {
	if t.variety != nil || t.view.Expected {
		return true
	}
	return !slices.ContainsFunc(c.claims.needs.Drivers, func(driver string) bool { return !p.s.volumes.Installed(t.name, driver) })
}

// bound is how many pods of the class are on nodes.
func (c *class) bound() int {
	n := 0
	for _, k := range c.sites {
		n += k
	}
	return n
}
