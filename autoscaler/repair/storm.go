package repair

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// calm is how long no more nodes than tolerated must have been sick before repair goes on after it had stopped.
const calm = 5 * time.Minute

// smallGroup is the size up to which a group of nodes tolerates one that is sick, whatever its share.
const smallGroup = 5

// group is the nodes of a policy in a zone, or all of them when zone is empty.
type group struct{ policy, zone string }

// storm is a group in which repair has stopped.
type storm struct {
	tick  uint64
	since time.Time
	// over is when more nodes were sick than tolerated for the last time.
	over time.Time
}

// count is how many nodes of a group are sick.
type count struct{ sick, nodes int }

// Tolerated is how many of so many nodes may be sick at once, by the policy's share in percent: nodes·percent/100, rounded down, and at
// least one in groups of up to five.
func Tolerated(nodes int, percent int32) int {
	n := int(int64(nodes) * int64(percent) / 100)
	if n < 1 && nodes <= smallGroup {
		return 1
	}
	return n
}

// weather says which groups have stopped, in the order of their names.
func (m *Memory) weather(now time.Time, counts map[group]count, policies map[string]*policy) []Stop {
	var stops []Stop
	for g, c := range counts {
		p := policies[g.policy]
		if p == nil || p.spec == nil {
			continue
		}
		tolerated := Tolerated(c.nodes, p.maxUnhealthy)
		s := m.storms[g]
		if c.sick > tolerated {
			if s == nil {
				s = &storm{since: now}
				m.storms[g] = s
			}
			s.over = now
		}
		if s == nil {
			continue
		}
		quiet := now.Sub(s.over)
		if quiet >= calm {
			delete(m.storms, g)
			continue
		}
		s.tick = m.tick
		stop := Stop{Policy: g.policy, Zone: g.zone, Unhealthy: c.sick, Nodes: c.nodes, Tolerated: tolerated, Since: s.since}
		stop.Message = fmt.Sprintf("%d of %d nodes%s are unhealthy at once, and no more than %d may be (%d%%): that is no matter of single nodes",
			c.sick, c.nodes, where(g), tolerated, p.maxUnhealthy)
		if c.sick <= tolerated {
			stop.Message = fmt.Sprintf("too many nodes%s were unhealthy at once; now %d of %d are, and repair goes on when it has stayed so for another %s",
				where(g), c.sick, c.nodes, span(calm-quiet))
		}
		stops = append(stops, stop)
	}
	slices.SortFunc(stops, func(a, b Stop) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Zone, b.Zone))
	})
	return stops
}

func where(g group) string {
	if g.zone == "" {
		return " of the policy"
	}
	return " in zone " + g.zone
}

// span is a duration for people: whole seconds.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	text := d.String()
	if d >= time.Hour && d%time.Minute == 0 {
		return text[:len(text)-len("0s")]
	}
	if d >= time.Minute && d%time.Minute == 0 {
		return text[:len(text)-len("0s")]
	}
	return text
}
