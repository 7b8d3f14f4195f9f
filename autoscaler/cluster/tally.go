package cluster

import "math"

// tally counts pods by the domains of one topology key: those that a term or constraint is about or, for carriers, those that have
// the anti-affinity term themselves.
type tally struct {
	key      string
	keyID    int
	match    matcher
	carriers bool
	// scope confines a spread constraint's tally to nodes; nil counts everywhere.
	scope *scope
	// owners counts the classes that ask for it, classes are those that it counts.
	owners  int
	classes []*class

	// epoch is the topology's for which the counts and domains hold. As long as they do, they are kept up to date.
	epoch  uint64
	counts map[int32]int32
	total  int
	// smallest is the least count of a domain, -1 until it is asked for.
	smallest int32
	// domains counts the nodes in scope by domain; extra are domains that a plan makes or may make.
	domains map[int32]int32
	extra   map[int32]bool
	// offered are the domains that can be bought in.
	offered map[int32]bool
	// open is true while a plan may add an empty domain at any time: no domain's count is the least then but none.
	open bool
	// live is the plan that asks for it.
	live *planning
}

// scope is the nodes that a spread constraint looks at.
type scope struct {
	filter           *filter
	affinity, taints bool
	keys             []string
}

func (y *scope) includes(t *site) bool {
	for _, k := range y.keys {
		if _, ok := t.node.Labels[k]; !ok && !(t.variety != nil && k == "kubernetes.io/hostname") {
			return false
		}
	}
	switch y.filter.on(t.shape, t.node) {
	case passes:
		return true
	case wrongLabels:
		return !y.affinity && (!y.taints || y.filter.toleratesTaints(t.node))
	}
	return !y.taints || y.filter.toleratesTaints(t.node)
}

// add counts n pods on a site.
func (y *tally) add(s *State, t *site, n int) {
	if y.scope != nil && !y.scope.includes(t) {
		return
	}
	d := s.domain(t, y)
	if d == nowhere {
		return
	}
	y.addTo(d, n)
}

func (y *tally) addTo(d int32, n int) {
	y.total += n
	y.smallest = -1
	if k := y.counts[d] + int32(n); k == 0 {
		delete(y.counts, d)
	} else {
		y.counts[d] = k
	}
}

// holds says whether the counts hold.
func (y *tally) holds(s *State) bool { return y.epoch == s.topology.epoch }

// ready makes the counts those of the state as it is.
func (y *tally) ready(s *State) {
	if y.holds(s) {
		return
	}
	y.epoch = s.topology.epoch
	y.counts, y.total, y.domains, y.extra, y.offered, y.open, y.smallest = map[int32]int32{}, 0, nil, nil, nil, false, -1
	live := y.classes[:0]
	for _, c := range y.classes {
		if c.gone {
			continue
		}
		live = append(live, c)
		for t, n := range c.sites {
			y.add(s, t, n)
		}
	}
	y.classes = live
	if y.scope == nil {
		return
	}
	y.domains = map[int32]int32{}
	for _, t := range s.sites() {
		y.enter(s, t, 1)
	}
}

// enter makes a node count as one of its domain, or takes it out.
func (y *tally) enter(s *State, t *site, n int32) {
	if y.scope == nil || !y.scope.includes(t) {
		return
	}
	d := s.domain(t, y)
	if d == nowhere {
		return
	}
	y.smallest = -1
	if y.domains[d] += n; y.domains[d] == 0 {
		delete(y.domains, d)
	}
}

// expect makes a domain count that a plan makes or may make.
func (y *tally) expect(d int32) {
	if d == nowhere || y.domains[d] > 0 {
		return
	}
	if y.extra == nil {
		y.extra = map[int32]bool{}
	}
	y.extra[d] = true
}

// least is the smallest count of a domain.
func (y *tally) least(minDomains int32) int32 {
	n := len(y.domains) + len(y.extra)
	if y.open || n < int(minDomains) || len(y.counts) < n {
		return 0
	}
	if y.smallest < 0 {
		y.smallest = math.MaxInt32
		for _, k := range y.counts {
			y.smallest = min(y.smallest, k)
		}
		if len(y.counts) == 0 {
			y.smallest = 0
		}
	}
	return y.smallest
}
