package cluster

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// batch is pods of one class that have no place yet.
type batch struct {
	class *class
	// members are pods that exist; without any, demand is what foresees them.
	members []*member
	demand  *Demand
	count   int
	// placed of them have a place already.
	placed int
	// value is what their request is worth, for ordering.
	priority int32
	rank     int
}

func (b *batch) left() int { return b.count - b.placed }

func (b *batch) ref(i int) PodRef {
	if b.demand != nil {
		return PodRef{NamespacedName: types.NamespacedName{Namespace: b.demand.Pod.Namespace, Name: b.demand.Pod.Name}, Demand: b.demand.Name}
	}
	pod := b.members[i].pod
	return PodRef{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}}
}

var demandRanks = map[DemandKind]int{Decided: 1, Forecast: 2, Headroom: 3}

// batches are all pods without a place, in the order in which they get one: by priority, pods that exist before those that are
// foreseen, headroom last, and then the large before the small, because the small fit into what is left.
func (s *State) batches() []*batch {
	var out []*batch
	for _, c := range s.classes {
		if len(c.pending) > 0 && c.sample.DeletionTimestamp == nil {
			q := c.queue()
			out = append(out, &batch{class: c, members: q, count: len(q), priority: c.priority})
		}
	}
	for i := range s.demand {
		d := &s.demand[i]
		if d.Pod == nil || d.Count <= 0 {
			continue
		}
		c := s.demandClasses[i]
		out = append(out, &batch{class: c, demand: d, count: d.Count, priority: c.priority, rank: demandRanks[d.Kind]})
	}
	slices.SortFunc(out, compareBatches)
	return out
}

func compareBatches(a, b *batch) int {
	if d := cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.rank, b.rank), cmp.Compare(a.class.turn(), b.class.turn())); d != 0 {
		return d
	}
	for _, dim := range []int{dimCPU, dimMemory} {
		if d := cmp.Compare(b.class.request.at(dim), a.class.request.at(dim)); d != 0 {
			return d
		}
	}
	if d := cmp.Compare(a.class.key, b.class.key); d != 0 {
		return d
	}
	if a.demand != nil && b.demand != nil {
		return cmp.Compare(a.demand.Name, b.demand.Name)
	}
	return 0
}

// turn orders classes of one priority: first those that must be away from others, for which places are scarce, and last those that
// must be near others, which have to be somewhere by then.
func (c *class) turn() int {
	switch {
	case len(c.relation.affinity) > 0:
		return 2
	case c.constrained() > 0:
		return 0
	}
	return 1
}

// classifyDemand holds the classes of pods that are foreseen.
func (s *State) classifyDemand() {
	if s.demandClasses != nil {
		return
	}
	s.demandClasses = make([]*class, len(s.demand))
	for i := range s.demand {
		if pod := s.demand[i].Pod; pod != nil {
			s.demandClasses[i] = s.classOf(pod)
			s.demandClasses[i].members++
		}
	}
}

func (s *State) forgetDemand() {
	for _, c := range s.demandClasses {
		if c != nil {
			s.leave(c)
		}
	}
	s.demandClasses = nil
}
