package usage

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// aggregateStep is what the aggregates cover that are sent back.
const aggregateStep = 5 * time.Minute

// extent is what the containers of one name and role use of one resource at one time.
type extent struct {
	peak, sum           float64
	count               int
	throttled, pressure float64
}

func (e *extent) add(value, throttled, pressure float64) {
	e.peak = max(e.peak, value)
	e.sum += value
	e.count++
	e.throttled, e.pressure = max(e.throttled, throttled), max(e.pressure, pressure)
}

// span collects extents over time. There are four for each container name, so times are milliseconds.
type span struct {
	last                         int64
	peak, mean, throttled, press float64 // sums, but for the peak
	count                        int32
}

func (s *span) add(at int64, e extent) {
	s.last = at
	s.peak = max(s.peak, e.peak)
	s.mean += e.sum / float64(e.count)
	s.throttled += e.throttled
	s.press += e.pressure
	s.count++
}

func (s *span) sample() vertical.Sample {
	n := float64(s.count)
	return vertical.Sample{Time: time.UnixMilli(s.last).UTC(), Value: s.peak, Mean: min(s.mean/n, s.peak), Throttled: s.throttled / n, Pressure: s.press / n}
}

// accumulator turns measurements of one resource into samples for models and aggregates for the store.
type accumulator struct {
	resource corev1.ResourceName
	now      extent
	minute   span
	// five is the running aggregate, slot the end of the five minutes that it is of.
	five span
	slot int64
	// flushed is when the last sample was given, at when the newest value was measured.
	flushed, at int64
	newest      float64
}

// close ends a round of measurements. It returns a sample when one is due, and the aggregate that ended before it with the end of its five
// minutes.
func (a *accumulator) close(at time.Time, interval, sampleInterval time.Duration) (sample vertical.Sample, due bool, ended span, slot time.Time) {
	e, now := a.now, at.UnixMilli()
	a.now = extent{}
	if end := slotOf(at).UnixMilli(); end != a.slot {
		ended, slot = a.five, time.UnixMilli(a.slot).UTC()
		a.five, a.slot = span{}, end
	}
	if e.count == 0 {
		return sample, false, ended, slot
	}
	a.newest, a.at = e.peak, now
	a.five.add(now, e)
	a.minute.add(now, e)
	if now < a.flushed { // the clock was set back
		a.flushed = 0
	}
	if now-a.flushed >= (sampleInterval - interval/2).Milliseconds() {
		sample, due = a.minute.sample(), true
		a.minute, a.flushed = span{}, now
	}
	return sample, due, ended, slot
}

// slotOf is the end of the five minutes that a time is in.
func slotOf(t time.Time) time.Time { return t.Truncate(aggregateStep).Add(aggregateStep) }
