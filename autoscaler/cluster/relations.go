package cluster

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
)

// relations are what a class demands of where other pods are, and what it is for others' demands.
type relations struct {
	spread []spreadRule
	// affinity has a tally for each required term. All are about the pods that match all terms; itself says that the class does.
	affinity []*tally
	itself   bool
	// anti are tallies of the pods that its anti-affinity terms are about, carries those of pods that have the same term.
	anti, carries []*tally
	// bars are tallies of pods that do not tolerate the class near them.
	bars []*tally
	// adds are the tallies that count the class.
	adds []*tally
	// owned are all tallies that exist because of the class, known how many tallies it has been introduced to.
	owned []*tally
	known int
}

// spreadRule is a topology spread constraint that must hold.
type spreadRule struct {
	tally      *tally
	maxSkew    int32
	minDomains int32
	// self is 1 when the constraint counts the class itself.
	self int32
}

// constrained is 1 when it matters to the class where other pods are.
func (c *class) constrained() int {
	r := &c.relation
	if len(r.spread)+len(r.affinity)+len(r.anti)+len(r.bars) > 0 {
		return 1
	}
	return 0
}

// relate finds or makes the tallies that the class asks for.
func (s *State) relate(c *class) {
	c.relation = relations{}
	pod := c.sample
	s.relateSpread(c, pod)
	a := pod.Spec.Affinity
	if a == nil {
		return
	}
	r := &c.relation
	if a.PodAffinity != nil {
		terms := a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		var all matcher
		for i := range terms {
			all = append(all, s.partOf(&terms[i], pod))
		}
		for i := range terms {
			r.affinity = append(r.affinity, s.tallyOf(c, terms[i].TopologyKey, all, false, nil))
		}
		r.itself = len(all) > 0 && all.matches(s, c)
	}
	if a.PodAntiAffinity != nil {
		terms := a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		for i := range terms {
			m := matcher{s.partOf(&terms[i], pod)}
			r.anti = append(r.anti, s.tallyOf(c, terms[i].TopologyKey, m, false, nil))
			carried := s.tallyOf(c, terms[i].TopologyKey, m, true, nil)
			r.carries = append(r.carries, carried)
			carried.classes = append(carried.classes, c)
			if len(c.sites) > 0 {
				carried.epoch = 0
			}
		}
	}
}

func (s *State) relateSpread(c *class, pod *corev1.Pod) {
	keys := sets.New[string]()
	for i := range pod.Spec.TopologySpreadConstraints {
		if k := &pod.Spec.TopologySpreadConstraints[i]; k.WhenUnsatisfiable == corev1.DoNotSchedule {
			keys.Insert(k.TopologyKey)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		k := &pod.Spec.TopologySpreadConstraints[i]
		if k.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		m := matcher{{namespaces: sets.New(pod.Namespace), pods: s.selectorWith(k.LabelSelector, pod, k.MatchLabelKeys, nil)}}
		sc := &scope{filter: c.filter, keys: sets.List(keys),
			affinity: ptr.Deref(k.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor) == corev1.NodeInclusionPolicyHonor,
			taints:   ptr.Deref(k.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore) == corev1.NodeInclusionPolicyHonor}
		rule := spreadRule{tally: s.tallyOf(c, k.TopologyKey, m, false, sc), maxSkew: k.MaxSkew, minDomains: ptr.Deref(k.MinDomains, 1)}
		if m.matches(s, c) {
			rule.self = 1
		}
		c.relation.spread = append(c.relation.spread, rule)
	}
}

// tallyOf interns a tally and makes the class one of its owners.
func (s *State) tallyOf(c *class, key string, m matcher, carriers bool, sc *scope) *tally {
	e := &s.enc
	e.reset()
	e.str(key)
	e.yes(carriers)
	for i := range m {
		e.part(&m[i])
	}
	if sc != nil {
		e.tag('s')
		e.strs(sc.keys)
		e.yes(sc.affinity)
		e.yes(sc.taints)
		if sc.affinity || sc.taints {
			e.int(int64(sc.filter.id))
		}
	}
	t := &s.topology
	if t.byKey == nil {
		t.byKey = map[string]*tally{}
	}
	y := t.byKey[string(e.buf)]
	if y == nil {
		y = &tally{smallest: -1, key: key, keyID: t.keyOf(key), match: m, carriers: carriers, scope: sc}
		t.byKey[string(e.buf)] = y
		t.tallies = append(t.tallies, y)
	}
	if y.owners == 0 && c != nil && t.dead > 0 && len(y.classes) > 0 {
		t.stale = true // it was dead, and classes came that it was not introduced to
	}
	y.owners++
	c.relation.owned = append(c.relation.owned, y)
	return y
}

// asks are the tallies that decide where the class may go.
func (r *relations) asks(visit func(*tally)) {
	for i := range r.spread {
		visit(r.spread[i].tally)
	}
	for _, list := range [][]*tally{r.affinity, r.anti, r.bars} {
		for _, y := range list {
			visit(y)
		}
	}
}

// allows says whether the pods that are where they are allow one more of the class on the site.
func (p *planning) allows(t *site, c *class) bool {
	return p.allowsIn(c, func(y *tally) int32 { return p.s.domain(t, y) }, -1)
}

// allowsIn is allows for the domains that a function tells. Tallies of the key skip are left out.
func (p *planning) allowsIn(c *class, domain func(*tally) int32, skip int) bool {
	r := &c.relation
	for i := range r.spread {
		rule := &r.spread[i]
		if rule.tally.keyID == skip {
			continue
		}
		d := domain(rule.tally)
		if d == nowhere || rule.tally.counts[d]+rule.self-rule.tally.least(rule.minDomains) > rule.maxSkew {
			return false
		}
	}
	for _, list := range [][]*tally{r.anti, r.bars} {
		for _, y := range list {
			if y.keyID != skip && y.counts[domain(y)] > 0 {
				return false
			}
		}
	}
	return p.near(r, domain, skip)
}

// near is required pod affinity. The first pod of a group that is to be near itself may go anywhere.
func (p *planning) near(r *relations, domain func(*tally) int32, skip int) bool {
	if len(r.affinity) == 0 {
		return true
	}
	found, total := true, 0
	for _, y := range r.affinity {
		total += y.total
		if y.keyID == skip {
			continue
		}
		d := domain(y)
		if d == nowhere {
			return false
		}
		found = found && y.counts[d] > 0
	}
	return found || total == 0 && r.itself
}
