package repair

import "time"

const (
	// gap is how long ago the previous decision may be. What happened in a longer pause was not watched.
	gap = time.Minute
	// recovery is how many times slower bad times are forgotten than they are gathered: a node that is bad for more than a fifth of
	// the time is repaired in the end.
	recovery = 4
	// glance is how long a sign must have been seen here at least, where the rule's own time is not shorter: transition times are
	// written by others, whose clocks may be behind.
	glance = 30 * time.Second
)

// Memory is what decisions have in common over time: bad times that a node has behind it, when it was heard of, and which groups have
// stopped. It is not needed for safety: after a start with a new one silence counts from then, flaps are counted anew, and all else comes
// from the API's objects. The zero value is not usable. Not safe for concurrent use.
type Memory struct {
	last    time.Time
	tick    uint64
	nodes   map[string]*history
	storms  map[group]*storm
	sources [2]pipe
}

// NewMemory returns one that knows nothing.
func NewMemory() *Memory {
	return &Memory{nodes: make(map[string]*history), storms: make(map[group]*storm)}
}

// history is what is remembered of one node.
type history struct {
	identity string
	tick     uint64
	heard    [2]sighting
	// spells are by rule, and only of rules that have applied since the node was well.
	spells map[string]*spell
}

// sighting is what a source last said of a node, and when that was new here; renewed once it was new more than once.
type sighting struct {
	said, changed time.Time
	renewed       bool
}

// of returns the history of a node. One that came under a known name is another one.
func (m *Memory) of(n *Node) *history {
	name := n.name()
	h := m.nodes[name]
	if id := n.identity(); h == nil || h.identity != id {
		h = &history{identity: id}
		m.nodes[name] = h
	}
	h.tick = m.tick
	return h
}

// forget drops nodes and groups that were not seen in this tick.
func (m *Memory) forget() {
	for name, h := range m.nodes {
		if h.tick != m.tick {
			delete(m.nodes, name)
		}
	}
	for g, s := range m.storms {
		if s.tick != m.tick {
			delete(m.storms, g)
		}
	}
}

// spell is a time in which a rule applies to a node, and what is left of earlier ones.
type spell struct {
	bad bool
	// since is when it began, seen when it was first seen here, at when it was looked at last.
	since, seen, at time.Time
	status          string
	// debt is how long earlier spells were seen here, less a quarter of the time in between.
	debt time.Duration
}

// apply takes in that the rule applies since a time, in a status such as a condition's. The same status with a later beginning means that
// the node was well in between.
func (s *spell) apply(now, since time.Time, status string, most time.Duration) {
	if since.IsZero() || since.After(now) {
		// A clock ahead of ours, or none: what counts is when it was seen.
		since = now
		if s.bad && s.status == status {
			since = s.since
		}
	}
	switch {
	case !s.bad:
		s.heal(now)
		s.bad, s.since, s.seen = true, since, now
	case status == s.status && since.After(s.since):
		s.end(s.at, most)
		s.bad, s.since, s.seen = true, since, now
	}
	s.status, s.at = status, now
}

// clear takes in that the rule does not apply.
func (s *spell) clear(now time.Time, most time.Duration) {
	if s.bad {
		s.end(s.at, most)
	} else {
		s.heal(now)
	}
	s.at = now
}

// skip takes in that nothing is known: neither bad times nor good ones pass.
func (s *spell) skip(now time.Time) {
	if d := now.Sub(s.at); d > 0 && s.bad {
		s.since, s.seen = s.since.Add(d), s.seen.Add(d)
	}
	s.at = now
}

func (s *spell) end(at time.Time, most time.Duration) {
	s.debt = min(most, s.debt+max(0, at.Sub(later(s.since, s.seen))))
	s.bad = false
}

func (s *spell) heal(now time.Time) {
	if !s.at.IsZero() {
		s.debt = max(0, s.debt-max(0, now.Sub(s.at))/recovery)
	}
}

// lasts is how long the rule applies, earlier spells included.
func (s *spell) lasts(now time.Time) time.Duration { return s.debt + max(0, now.Sub(s.since)) }

// due reports whether that is long enough.
func (s *spell) due(now time.Time, most time.Duration) bool {
	return s.bad && s.lasts(now) >= most && s.debt+now.Sub(s.seen) >= min(glance, most)
}
