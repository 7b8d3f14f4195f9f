package forecast

import (
	"math"
	"slices"
	"time"
)

// Model names a way to foresee.
type Model string

const (
	// Trend goes on along the line of the last minutes.
	Trend Model = "Trend"
	// Daily adds what was added at the same time yesterday.
	Daily Model = "Daily"
	// Weekly adds what was added at the same time a week ago.
	Weekly Model = "Weekly"
)

const (
	day = 24 * time.Hour
	// maxPoints bounds the points of a line, and so its work: 210 slopes.
	maxPoints = 21
	minWindow = 10 * time.Minute
	maxWindow = 30 * time.Minute
)

// model foresees the highest number within a number of steps from one on, as it could have done then: it looks at nothing that came
// later. It answers false when it cannot.
type model struct {
	name Model
	// trials is at how many times in the past it is tried at least, reach over how long they are spread.
	trials int
	reach  time.Duration
	ask    func(h *History, from, steps int64) (float64, bool)
}

// models in the order in which ties are broken.
func models() []model {
	return []model{
		{Trend, 20, 30 * time.Minute, trend},
		{Daily, 96, day + time.Hour, season(day)},
		{Weekly, 96, day + time.Hour, season(7 * day)},
	}
}

// window is how far back a line looks for a horizon.
func window(step time.Duration, steps int64) int64 {
	return int64(min(max(2*time.Duration(steps)*step, minWindow), maxWindow) / step)
}

// trend is the value at the end of the line through the last minutes, or what is asked for when it falls.
func trend(h *History, from, steps int64) (float64, bool) {
	slope, level, ok := line(h, from, steps)
	if !ok {
		return 0, false
	}
	return max(0, level, level+slope*float64(steps)), true
}

// line is the slope for each step and the value at a step.
func line(h *History, from, steps int64) (slope, level float64, ok bool) {
	reach := window(h.step, steps)
	stride := max(1, (reach+maxPoints-2)/(maxPoints-1))
	var x, y [maxPoints]float64
	n, asked := 0, int64(0)
	for back := int64(0); back <= reach && asked < maxPoints; back += stride {
		asked++
		if v, known := h.smooth(from - back); known {
			x[n], y[n] = float64(-back), v
			n++
		}
	}
	if n < 5 || !enough(int64(n), asked) {
		return 0, 0, false
	}
	var slopes [maxPoints * (maxPoints - 1) / 2]float64
	k := 0
	for i := range n {
		for j := range i {
			slopes[k] = (y[i] - y[j]) / (x[i] - x[j])
			k++
		}
	}
	slope = median(slopes[:k])
	var rest [maxPoints]float64
	for i := range n {
		rest[i] = y[i] - slope*x[i]
	}
	return slope, median(rest[:n]), true
}

// median sorts its argument.
func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// season foresees the rise of one period ago.
func season(period time.Duration) func(h *History, from, steps int64) (float64, bool) {
	return func(h *History, from, steps int64) (float64, bool) {
		ago := int64(period / h.step)
		now, ok1 := h.smooth(from)
		then, ok2 := h.smooth(from - ago)
		highest, ok3 := h.most(from-ago, from-ago+steps)
		if !ok1 || !ok2 || !ok3 {
			return 0, false
		}
		return now + max(0, highest-then), true
	}
}

// Skill is how a model did where the answer is known by now.
type Skill struct {
	// Trials is how often it was tried.
	Trials int
	// Error is the root of its mean squared error, Reference that of the forecast that all stays as it is, both in replicas. Squares
	// weigh the rises that pods would wait for more than noise, of which there is some at any time.
	Error, Reference float64
	// rise is the sum of what persistence did not foresee.
	rise float64
}

// Ratio is Error over Reference, infinite when nothing has changed: then nothing can be told.
func (s Skill) Ratio() float64 {
	if s.Reference == 0 {
		return math.Inf(1)
	}
	return s.Error / s.Reference
}

// try asks a model at times in the past, the last of them a horizon ago and no two further apart than that: a rise that comes once is
// then seen by one of them. All is how often that would be if nothing were missing.
func (m *model) try(h *History, now, steps int64, reach time.Duration) (s Skill, all int) {
	length := int64(reach / h.step)
	stride := max(1, min(length/int64(m.trials), steps))
	all = int(max(1, length/stride))
	for i := range int64(all) {
		from := now - steps - i*stride
		if from < h.newest-h.filled {
			break // and so are all others
		}
		actual, ok1 := h.most(from, from+steps)
		level, ok2 := h.smooth(from)
		if !ok1 || !ok2 {
			continue
		}
		foreseen, ok3 := m.ask(h, from, steps)
		if !ok3 {
			continue
		}
		s.Trials++
		off, rise := foreseen-max(actual, level), max(0, actual-level)
		s.Error += off * off
		s.Reference += rise * rise
		s.rise += rise
	}
	if s.Trials > 0 {
		s.Error = math.Sqrt(s.Error / float64(s.Trials))
		s.Reference = math.Sqrt(s.Reference / float64(s.Trials))
	}
	return s, all
}
