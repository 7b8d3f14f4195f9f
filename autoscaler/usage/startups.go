package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/grafana/regexp"

	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

const (
	// startSpan is how long after its start a container is looked at. The second half says what it settled at.
	startSpan = 6 * time.Minute
	// maxStarts is how many starts of a container are remembered, the newest.
	maxStarts = 10
	// startQuantile is the share of starts that are shorter than what is reported.
	startQuantile = 0.9
)

// start is how one start went.
type start struct {
	at            time.Time
	length        time.Duration
	peak, settled float64
}

// startLog is what is known about the starts of the containers of one name.
type startLog struct {
	starts []start
	// asked holds the starts that were measured or are being measured, by pod; those of pods that are gone are dropped.
	asked map[string]time.Time
}

// noteStarts has starts measured that lie far enough back. The workload's lock is held.
func (f *Feeder) noteStarts(w *workload, now time.Time) {
	for name, p := range w.pods {
		for i := range p.containers {
			c := &p.containers[i]
			age := now.Sub(c.started)
			if c.started.IsZero() || age < startSpan || age > defaultHistory || !w.wantsStarts(c.name) {
				continue
			}
			log := w.starts[c.name]
			if log == nil {
				log = &startLog{asked: map[string]time.Time{}}
				w.starts[c.name] = log
			}
			if log.asked[name].Equal(c.started) || len(log.asked) >= maxStarts && !log.newer(c.started) {
				continue
			}
			for pod := range log.asked {
				if w.pods[pod] == nil {
					delete(log.asked, pod)
				}
			}
			log.asked[name] = c.started
			container, started := c.name, c.started
			f.queue.put(startMeasurement, func(ctx context.Context) { f.measureStart(ctx, w, name, container, started) })
		}
	}
}

// newer reports whether a start is newer than the oldest one that is known, so that it is worth a query.
func (l *startLog) newer(at time.Time) bool {
	for _, s := range l.starts {
		if at.After(s.at) {
			return true
		}
	}
	return false
}

func (w *workload) wantsStarts(container string) bool {
	for _, s := range w.subs {
		if s.target.Starts != nil && s.target.Starts(container) {
			return true
		}
	}
	return false
}

// measureStart reads how one start went.
func (f *Feeder) measureStart(ctx context.Context, w *workload, pod, container string, started time.Time) {
	s := podSelector([]string{w.key.Namespace}, []string{pod})
	if err := f.findResolution(ctx, s); err != nil {
		f.deps.Metrics.starts.WithLabelValues("failed").Inc()
		return
	}
	step := max(time.Second, f.spacing())
	window := max(5*time.Second, 4*f.spacing())
	s = selector(fmt.Sprintf("%s,container=~%s", s, strconv.Quote(regexp.QuoteMeta(container))))
	series, err := f.deps.Signals.Range(ctx, signal.RangeQuery{
		Query: "max(rate(" + s.over("container_cpu_usage_seconds_total", window) + "))",
		Start: started, End: started.Add(startSpan), Step: step, Timeout: time.Duration(f.cfg.QueryTimeout),
	})
	result := "measured"
	var measured start
	ok := false
	switch {
	case err != nil:
		result = "failed"
	case len(series) != 1:
		result = "unknown"
	default:
		if measured, ok = settle(started, series[0].Points); !ok {
			result = "unknown"
		}
	}
	f.deps.Metrics.starts.WithLabelValues(result).Inc()
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.starts[container]
	log.starts = append(log.starts, measured)
	slices.SortFunc(log.starts, func(a, b start) int { return a.at.Compare(b.at) })
	if len(log.starts) > maxStarts {
		log.starts = slices.Delete(log.starts, 0, len(log.starts)-maxStarts)
	}
}

const (
	// settledFactor and settledExtra say how far above what it settles at a container may be and still has settled.
	settledFactor = 1.25
	settledExtra  = 0.05 // cores
	// settledFor is how long it must stay there.
	settledFor = 30 * time.Second
)

// settle finds out how long CPU use took to settle. What it settles at is the median of the second half; it has settled at the
// first time from which on it stays at or below 1.25 times that, or 0.05 cores above it, for 30 seconds.
func settle(started time.Time, points []signal.TimePoint) (start, bool) {
	points = slices.DeleteFunc(slices.Clone(points), func(p signal.TimePoint) bool { return !usable(p.Value) })
	half := started.Add(startSpan / 2).UnixMilli()
	var late []float64
	for _, p := range points {
		if p.Time >= half {
			late = append(late, p.Value)
		}
	}
	if len(late) < 3 {
		return start{}, false
	}
	slices.Sort(late)
	s := start{at: started, settled: (late[(len(late)-1)/2] + late[len(late)/2]) / 2}
	bound := max(settledFactor*s.settled, s.settled+settledExtra)
	since := int64(-1) // from when it has been at or below the bound
	for _, p := range points {
		if p.Value > bound {
			since = -1
			continue
		}
		if since < 0 {
			since = p.Time
		}
		if p.Time-since >= settledFor.Milliseconds() {
			break
		}
	}
	if since < 0 {
		since = points[len(points)-1].Time
	}
	s.length = max(0, time.Duration(since-started.UnixMilli())*time.Millisecond)
	for _, p := range points {
		if p.Time > since && p.Time > points[0].Time {
			break
		}
		s.peak = max(s.peak, p.Value)
	}
	return s, true
}

// startup sums up the starts of a container.
func (l *startLog) startup() (sizing.Startup, bool) {
	if len(l.starts) == 0 {
		return sizing.Startup{}, false
	}
	lengths := make([]time.Duration, len(l.starts))
	settled := make([]float64, len(l.starts))
	out := sizing.Startup{Starts: len(l.starts)}
	for i, s := range l.starts {
		lengths[i], settled[i] = s.length, s.settled
		out.Peak = max(out.Peak, s.peak)
	}
	slices.SortFunc(lengths, func(a, b time.Duration) int { return cmp.Compare(a, b) })
	slices.Sort(settled)
	out.Length = lengths[min(len(lengths)-1, int(startQuantile*float64(len(lengths))))]
	out.Settled = settled[len(settled)/2]
	return out, true
}
