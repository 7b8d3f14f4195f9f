package columnar

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// postings find the streams of one table by their labels, so that a query costs
// what it matches and not what is stored. They are guarded by the registry's lock.
//
// A stream has a slot. Slots are given out in ascending order, so the list of each
// label value is sorted by being appended to. A released stream leaves an empty
// slot behind; once most of them are empty the postings are built anew, which
// keeps the order.
type postings struct {
	slots  []*stream
	live   int
	values map[string]map[string][]uint32 // label name, value, slots
}

// minCompaction keeps small tables from being rebuilt again and again.
const minCompaction = 1024

func (p *postings) add(s *stream) {
	if p.values == nil {
		p.values = map[string]map[string][]uint32{}
	}
	slot := uint32(len(p.slots))
	s.slot = slot
	p.slots = append(p.slots, s)
	p.live++
	s.labels.Range(func(l labels.Label) {
		values := p.values[l.Name]
		if values == nil {
			values = map[string][]uint32{}
			p.values[l.Name] = values
		}
		values[l.Value] = append(values[l.Value], slot)
	})
}

func (p *postings) remove(s *stream) {
	p.slots[s.slot] = nil
	p.live--
	if empty := len(p.slots) - p.live; empty < minCompaction || empty < p.live {
		return
	}
	old := p.slots
	*p = postings{}
	for _, s := range old {
		if s != nil {
			p.add(s)
		}
	}
}

// maxDriver is a list so short that looking for a shorter one costs more than
// checking its streams.
const maxDriver = 64

// candidates calls fn for streams among which are all that match, in ascending
// order of their slots.
func (p *postings) candidates(ms []*labels.Matcher, fn func(*stream)) {
	list, found := p.shortest(ms)
	if !found {
		for _, s := range p.slots {
			if s != nil {
				fn(s)
			}
		}
		return
	}
	for _, slot := range list {
		if s := p.slots[slot]; s != nil {
			fn(s)
		}
	}
}

// shortest is the shortest list of slots that one of the matchers gives, and
// whether any gives one: those that hold for streams without the label do not.
func (p *postings) shortest(ms []*labels.Matcher) (list []uint32, found bool) {
	for _, m := range ms {
		if m.Matches("") {
			continue
		}
		var l []uint32
		switch {
		case m.Type == labels.MatchEqual:
			l = p.values[m.Name][m.Value]
		case m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0:
			l = p.union(m.Name, m.SetMatches())
		default:
			continue
		}
		if !found || len(l) < len(list) {
			list, found = l, true
		}
	}
	if found && len(list) <= maxDriver {
		return list, true
	}
	// A matcher that has to look at every value of its label is worth it when these
	// are fewer than the streams to check.
	for _, m := range ms {
		if m.Matches("") || m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0 {
			continue
		}
		values := p.values[m.Name]
		if found && len(values) >= len(list) {
			continue
		}
		var matching []string
		for v := range values {
			if m.Matches(v) {
				matching = append(matching, v)
			}
		}
		l := p.union(m.Name, matching)
		if !found || len(l) < len(list) {
			list, found = l, true
		}
	}
	return list, found
}

// union is the slots of several values of a label, each slot once.
func (p *postings) union(name string, values []string) []uint32 {
	var out []uint32
	for _, v := range values {
		out = append(out, p.values[name][v]...)
	}
	if len(values) > 1 {
		slices.Sort(out)
		out = slices.Compact(out) // a value may be named twice
	}
	return out
}
