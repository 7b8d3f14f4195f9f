package replay

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Columns is how many points a trace has at most.
const Columns = 64

// kept is how many kills and changes a digest keeps.
const kept = 20

// Digest thins steps to what people can read, in memory that does not grow with the history: each series over time, the first kills
// and the largest changes. Its zero value is not ready for use. It is not safe for concurrent use.
type Digest struct {
	First, Last time.Time
	Samples     int
	// OOMs are the first kills after the warm-up.
	OOMs   []Step
	traces map[seriesKey]*Trace
	// largest are the largest changes after the warm-up by ratio, the smallest of them first.
	largest []Step
}

// NewDigest makes an empty one.
func NewDigest() *Digest { return &Digest{traces: map[seriesKey]*Trace{}} }

// Add takes the next step. Of a series they come in the order of time.
func (d *Digest) Add(s *Step) {
	d.Samples++
	if d.First.IsZero() || s.Time.Before(d.First) {
		d.First = s.Time
	}
	if s.Time.After(d.Last) {
		d.Last = s.Time
	}
	key := seriesKey{s.Resource, s.Container}
	t := d.traces[key]
	if t == nil {
		t = &Trace{First: s.Time, width: time.Second}
		d.traces[key] = t
	}
	t.add(s)
	if s.Warmup {
		return
	}
	if s.OOM && len(d.OOMs) < kept {
		d.OOMs = append(d.OOMs, *s)
	}
	if s.Change {
		d.addChange(s)
	}
}

func (d *Digest) addChange(s *Step) {
	i, _ := slices.BinarySearchFunc(d.largest, s, func(a Step, b *Step) int { return cmp.Compare(ratio(&a), ratio(b)) })
	switch {
	case len(d.largest) < kept:
		d.largest = slices.Insert(d.largest, i, *s)
	case i > 0:
		copy(d.largest, d.largest[1:i])
		d.largest[i-1] = *s
	}
}

// ratio is how large a change is, either way.
func ratio(s *Step) float64 { return math.Abs(math.Log(*s.Next / *s.Request)) }

// Changes are the largest changes, by time.
func (d *Digest) Changes() []Step {
	changes := slices.Clone(d.largest)
	slices.SortStableFunc(changes, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return changes
}

// Trace is the course of one series, nil when there is none.
func (d *Digest) Trace(container string, resource vertical.Resource) *Trace {
	return d.traces[seriesKey{resource, container}]
}

// Trace is what one series used and requested over time. Each point stands for as long as the others.
type Trace struct {
	First, Last time.Time
	width       time.Duration
	points      [Columns]Point
	used        int
}

// Point is the highest usage and the highest request of some time. Both are NaN where there is no sample.
type Point struct{ Usage, Request float64 }

func (t *Trace) add(s *Step) {
	t.Last = s.Time
	i := int(s.Time.Sub(t.First) / t.width)
	for i >= Columns {
		t.halve()
		i = int(s.Time.Sub(t.First) / t.width)
	}
	for ; t.used <= i; t.used++ {
		t.points[t.used] = Point{math.NaN(), math.NaN()}
	}
	p := &t.points[i]
	p.Usage = highest(p.Usage, s.Usage)
	if s.Request != nil {
		p.Request = highest(p.Request, *s.Request)
	}
}

// halve makes each point stand for twice the time.
func (t *Trace) halve() {
	t.width *= 2
	n := (t.used + 1) / 2
	for i := range n {
		p := t.points[2*i]
		if 2*i+1 < t.used {
			q := t.points[2*i+1]
			p = Point{highest(p.Usage, q.Usage), highest(p.Request, q.Request)}
		}
		t.points[i] = p
	}
	t.used = n
}

func highest(a, b float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	}
	return max(a, b)
}

// Points are in the order of time.
func (t *Trace) Points() []Point { return t.points[:t.used] }
