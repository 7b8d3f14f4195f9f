package balance

import (
	"fmt"
	"math"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Where one signal moves two things, they go by different clocks: what is quick follows the load within seconds, what is slow follows
// what was usually its highest over a while. Where replicas follow the load, sizes are the slow ones, and since replicas take the
// season of a day, a day is what sizes look back on. Where pods follow it, sizes still come down more slowly than they go up.
const (
	calmOfReplicas = 24 * time.Hour
	calmOfPods     = 2 * time.Hour
)

// slots is how many parts a window has. The oldest part leaves as a whole.
const slots = 24

// peak is the usual highest of a sliding window, in the memory of its slots. Its zero value is empty.
type peak struct {
	width   time.Duration
	newest  int64 // number of the newest slot since the beginning of time
	highest [slots]float64
}

// add takes a value and returns the highest of the window that ends now, the value itself or what was reached in two of its slots: a
// short peak is followed, but not for a day. Another window begins anew.
func (p *peak) add(at time.Time, window time.Duration, v float64) float64 {
	width := window / slots
	slot := at.UnixNano() / int64(width)
	switch {
	case p.width != width || slot-p.newest >= slots || slot < p.newest:
		*p = peak{width: width, newest: slot}
	default:
		for ; p.newest < slot; p.newest++ {
			p.highest[(p.newest+1)%slots] = 0
		}
	}
	p.highest[slot%slots] = math.Max(p.highest[slot%slots], v)
	most, second := 0.0, 0.0
	for _, h := range p.highest {
		if h > most {
			most, second = h, most
		} else {
			second = math.Max(second, h)
		}
	}
	return math.Max(v, second)
}

// calmKey names what an estimate is about.
type calmKey struct{ role, container string }

// maxCalmed bounds how many estimates are remembered. What is beyond follows its usage as it comes.
const maxCalmed = 256

// Cap is CapRole for pods that have no roles.
func (d *Decision) Cap(container string, e vertical.Estimate) vertical.Estimate {
	return d.CapRole("", container, e)
}

// CapRole brings an estimate of a container's CPU into line with the replicas. While those take more load, it is at most the
// container's share of the reference: pods use more than their target until more replicas are there, and a request beyond the
// reference would only follow what these are about to take away. And it is at least
// what was reached in two parts of a while.
func (d *Decision) CapRole(role, container string, e vertical.Estimate) vertical.Estimate {
	if d.memory == nil {
		return e
	}
	if most, ok := d.LargestCPU[container]; ok && e.Target > most {
		e.Reason = fmt.Sprintf("%s; no more than the reference of %s, since %s", e.Reason, cores(most), d.Reason)
		e.Target, e.Floor, e.Lower = most, math.Min(e.Floor, most), math.Min(e.Lower, most)
	}
	window := calmOfReplicas
	if d.Growth == v1alpha1.GrowthPods {
		window = calmOfPods
	}
	if highest := d.memory.calm(calmKey{role, container}, d.at, window, e.Target); highest > e.Target {
		e.Reason = fmt.Sprintf("%s; not below %s, reached twice in %.0fh, since %s", e.Reason, cores(highest), window.Hours(), d.Reason)
		e.Target, e.Upper = highest, math.Max(e.Upper, highest)
	}
	return e
}

func (m *Memory) calm(key calmKey, at time.Time, window time.Duration, v float64) float64 {
	p := m.peaks[key]
	if p == nil {
		if len(m.peaks) >= maxCalmed {
			return v
		}
		if m.peaks == nil {
			m.peaks = map[calmKey]*peak{}
		}
		p = &peak{}
		m.peaks[key] = p
	}
	return p.add(at, window, v)
}
