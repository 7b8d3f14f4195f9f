package cluster

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// settlement is where pending pods and demand go on the nodes that there are: room that a simulation must not give away.
type settlement struct {
	generation uint64
	valid      bool
	placements []step
	batches    []*batch
}

// stays says that the pod ends with its node: DaemonSets' and static pods have nowhere else to go, and those that are being
// deleted need nothing.
func stays(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return true
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return true
	}
	owner := metav1.GetControllerOf(pod)
	return owner != nil && owner.Kind == "DaemonSet"
}

// settle finds where pending pods go, once for each generation.
func (s *State) settle() {
	s.classifyDemand()
	s.readClaims()
	s.refreshOffers()
	s.countAttached()
	if s.settled.valid && s.settled.generation == s.generation {
		return
	}
	p, batches := s.begin()
	p.nominate(batches)
	for _, b := range batches {
		if b.left() > 0 {
			p.onNodes(b)
		}
	}
	placements := slices.Clone(p.log)
	p.end()
	s.settled = settlement{generation: s.generation, valid: true, placements: placements, batches: batches}
}

// Simulate implements Planner. Pending pods keep the room that they will take: the pods of removed nodes go beside them, and those
// that would have gone to a removed node are moved as well.
func (s *State) Simulate(r Removal) Outcome {
	s.settle()
	removed := make([]*site, 0, len(r.Nodes))
	for _, name := range r.Nodes {
		t := s.nodes[name]
		if t == nil {
			return Outcome{Reason: fmt.Sprintf("node %s is not known", name)}
		}
		if !slices.Contains(removed, t) {
			removed = append(removed, t)
		}
	}
	was := make([]bool, len(removed))
	for i, t := range removed {
		was[i] = t.closed
		t.closed = true
	}
	p := &planning{s: s, spent: map[*Policy]*spending{}, sold: map[*variety]int{}, allOrNone: true}
	batches := p.displace(removed)
	out := p.resettle(batches, r)
	for _, t := range removed {
		out.Saving += t.view.PricePerHour
	}
	for _, n := range out.Create {
		out.Saving -= n.Offer.PricePerHour
	}
	p.rewind(0)
	for i, t := range removed {
		t.closed, t.absent = was[i], false
		p.enter(t, 1)
	}
	p.end()
	if !out.Feasible {
		out.Saving = 0
	}
	return out
}

// displace takes the pods off the removed nodes and gives the pending ones their places elsewhere; what needs a place is returned.
func (p *planning) displace(removed []*site) []*batch {
	var batches []*batch
	byClass := map[*class]*batch{}
	for _, t := range removed {
		for _, pod := range t.pods() {
			if stays(pod) {
				continue
			}
			m := p.s.pods[key(pod)]
			if m.class.claims != nil && m.class.claims.devices {
				p.session().devices.Release(pod)
			}
			b := byClass[m.class]
			if b == nil {
				b = &batch{class: m.class, priority: m.class.priority}
				byClass[m.class] = b
				batches = append(batches, b)
			}
			b.members = append(b.members, m)
			b.count++
		}
	}
	p.watch(batches)
	p.watch(p.s.settled.batches)
	for _, t := range removed {
		for c, n := range t.counts {
			st := step{site: t, class: c, n: -n}
			t.occupy(c, -n)
			p.relate(st, -n)
			p.log = append(p.log, st)
		}
		p.enter(t, -1)
		t.absent = true
	}
	next := map[*batch]int{}
	for _, st := range p.s.settled.placements {
		b := *st.batch
		b.count, b.placed = st.n, 0
		if i := next[st.batch]; b.demand == nil {
			b.members = b.members[i : i+st.n]
		}
		next[st.batch] += st.n
		if slices.Contains(removed, st.site) {
			batches = append(batches, &b)
			continue
		}
		if st.hold == nil || !p.putOne(st.site, &b) {
			p.put(st.site, &b, st.n)
		}
	}
	slices.SortFunc(batches, compareBatches)
	return batches
}

// enter makes a removed node count among its domains again, or not any more.
func (p *planning) enter(t *site, n int32) {
	for _, y := range p.live {
		y.enter(p.s, t, n)
	}
}

// resettle finds places for the displaced pods: on nodes first, then on what may be bought.
func (p *planning) resettle(batches []*batch, r Removal) Outcome {
	start := len(p.log)
	for _, b := range batches {
		p.onNodes(b)
	}
	if left(batches) > 0 && r.Buy && r.MaxNew > 0 {
		p.buy(batches, Options{MaxNodes: r.MaxNew})
		p.settleOn(batches, Options{MaxNodes: r.MaxNew})
	}
	for _, b := range batches {
		if b.left() > 0 {
			if !r.Buy {
				return Outcome{Blocking: b.ref(b.placed), Reason: p.noRoom(b)}
			}
			reason := "no other node has room for it"
			if reasons := p.reasons(b); len(reasons) > 0 {
				reason = reasons[0].Message
			}
			return Outcome{Blocking: b.ref(b.placed), Reason: reason}
		}
	}
	sum := 0.0
	for _, t := range p.bought {
		sum += t.variety.offer.PricePerHour
	}
	if len(p.bought) > 0 && sum >= r.MaxPrice {
		return Outcome{Blocking: batches[0].ref(0), Reason: fmt.Sprintf("what it needs instead costs %.4g per hour, not below %.4g", sum, r.MaxPrice)}
	}
	out := Outcome{Feasible: true}
	plan := p.resultOf(batches, p.log[start:])
	out.Moves, out.Create = plan.Placed, plan.Create
	for i, n := range out.Create {
		for _, ref := range n.Pods {
			out.Moves = append(out.Moves, Placement{Pod: ref, Node: fmt.Sprintf("new-%d", i)})
		}
	}
	slices.SortFunc(out.Moves, func(a, b Placement) int {
		return cmp.Or(cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name))
	})
	return out
}
