package cluster

import (
	corev1 "k8s.io/api/core/v1"
)

// topology interns topology keys, their values and the tallies over them.
type topology struct {
	keys   map[string]int
	values map[string]int32
	// widened is true once a key has come that offers were not grouped by.
	widened bool
	tallies []*tally
	byKey   map[string]*tally
	// dead counts tallies that no class asks for any more; stale is true when all must be made anew.
	dead  int
	stale bool
	// epoch counts changes of where nodes are.
	epoch uint64
}

// Domains are numbered from 1 by their value, whatever the key. What a plan would buy has hostnames of its own, below nowhere.
const (
	notKnown int32 = 0
	nowhere  int32 = -1
)

func (t *topology) keyOf(key string) int {
	if t.keys == nil {
		t.keys, t.values = map[string]int{corev1.LabelHostname: 0}, map[string]int32{}
	}
	id, ok := t.keys[key]
	if !ok {
		id = len(t.keys)
		t.keys[key] = id
		t.widened = true
	}
	return id
}

// hostnameKey is the id of kubernetes.io/hostname.
const hostnameKey = 0

func (t *topology) valueOf(value string) int32 {
	id, ok := t.values[value]
	if !ok {
		id = int32(len(t.values) + 1)
		t.values[value] = id
	}
	return id
}

// domainIn is the domain that labels are in for a key.
func (t *topology) domainIn(labels map[string]string, key string) int32 {
	v, ok := labels[key]
	if !ok {
		return nowhere
	}
	return t.valueOf(v)
}

// domain is the site's domain for a tally's key.
func (s *State) domain(t *site, y *tally) int32 {
	if t.variety != nil && y.keyID == hostnameKey {
		return -2 - t.index
	}
	for len(t.domains) <= y.keyID {
		t.domains = append(t.domains, notKnown)
	}
	if t.domains[y.keyID] == notKnown {
		t.domains[y.keyID] = s.topology.domainIn(t.node.Labels, y.key)
	}
	return t.domains[y.keyID]
}

// forget makes all tallies anew: namespaces have changed.
func (t *topology) forget() { t.stale = true }

// drop takes a class without pods out.
func (t *topology) drop(c *class) {
	for _, y := range c.relation.owned {
		if y.owners--; y.owners == 0 {
			t.dead++
		}
	}
	if t.dead > 64 && t.dead > len(t.tallies)/2 {
		t.stale = true
	}
	c.relation = relations{}
	c.gone = true
}

// moved makes all counts anew: nodes have come, gone or changed.
func (t *topology) moved() { t.epoch++ }

// resolve brings all classes and tallies together.
func (s *State) resolve() {
	t := &s.topology
	if t.stale {
		t.tallies, t.byKey, t.dead, t.stale = nil, nil, 0, false
		for _, c := range s.classes {
			s.relate(c)
		}
	}
	for _, c := range s.classes {
		for i := c.relation.known; i < len(t.tallies); i++ {
			s.introduce(c, t.tallies[i])
		}
		c.relation.known = len(t.tallies)
	}
}

// introduce finds out what a class is for a tally.
func (s *State) introduce(c *class, y *tally) {
	if y.owners == 0 {
		return
	}
	matches := y.match.matches(s, c)
	switch {
	case y.carriers && matches:
		c.relation.bars = append(c.relation.bars, y)
	case !y.carriers && matches && !(y.scope != nil && c.sample.DeletionTimestamp != nil):
		c.relation.adds = append(c.relation.adds, y)
		y.classes = append(y.classes, c)
		if y.holds(s) {
			for t, n := range c.sites {
				y.add(s, t, n)
			}
		}
	}
}
