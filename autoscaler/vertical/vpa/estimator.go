package vpa

import (
	"math"
	"time"
)

// The smallest weight of a sample, and that below which a bucket counts as empty: small enough for a sample of eight half-lives ago.
const (
	sampleWeight = 0.1
	epsilon      = 0.001 * sampleWeight
	growth       = 1.05
)

// CPUBuckets are those of CPU usage, in cores: the first ends at 0.01, the last begins at 1000 or above.
func CPUBuckets() *Buckets { return must(ExponentialBuckets(1000, 0.01, growth, epsilon)) }

// MemoryBuckets are those of memory usage, in bytes: the first ends at 10 MB, the last begins at 1 TB or above.
func MemoryBuckets() *Buckets { return must(ExponentialBuckets(1e12, 1e7, growth, epsilon)) }

// must is for arguments that are written above.
func must(b *Buckets, _ error) *Buckets { return b }

// Estimator recommends one resource for the containers of one name. Make it with New. It is not safe for concurrent use.
type Estimator struct {
	options  Options
	resource ResourceOptions
	// unit is how many of the integers that are computed with make one core or byte.
	unit      float64
	histogram *Histogram
	history   history
	// peaks is nil for CPU.
	peaks *peaks
}

// Recommendation is what an Estimator says, in cores or bytes.
type Recommendation struct {
	Target, Lower, Upper float64
	// Percentile is what the target was made of, by margin and floor.
	Percentile float64
	// Recent is the highest memory usage of the current and of the previous interval, 0 for CPU.
	Recent float64
	// Days is the history's length in units of ResourceOptions.Confidence, or that of a history of as many samples at one a minute,
	// whichever is shorter.
	Days float64
	// Samples is how many there were since First.
	Samples int
	First   time.Time
}

// NewCPU makes an estimator of CPU.
func NewCPU(o Options) (*Estimator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Estimator{options: o, resource: o.CPU, unit: 1000, histogram: NewHistogram(CPUBuckets(), o.CPU.HalfLife)}, nil
}

// NewMemory makes an estimator of memory.
func NewMemory(o Options) (*Estimator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Estimator{options: o, resource: o.Memory, unit: 1, histogram: NewHistogram(MemoryBuckets(), o.Memory.HalfLife),
		peaks: &peaks{interval: o.Interval}}, nil
}

// Options are those that the estimator was made with.
func (e *Estimator) Options() Options { return e.options }

// Add takes a usage, in cores or bytes, of one container at a time, and says whether it counted. One that is negative, not a number
// or older than the newest is refused, and of CPU also a second one for the same time.
func (e *Estimator) Add(usage float64, at time.Time) bool {
	if !(usage >= 0) || math.IsInf(usage, 0) {
		return false
	}
	if e.history.samples > 0 && at.Sub(e.history.last) >= e.options.Interval*time.Duration(e.options.Intervals) {
		e.forget()
	}
	used := toAmount(usage * e.unit)
	fresh := e.history.samples == 0 || at.After(e.history.last)
	switch {
	case e.peaks != nil:
		if !e.peaks.add(e.histogram, used, at) {
			return false
		}
	case !fresh:
		return false
	default:
		e.histogram.Add(float64(used)/e.unit, sampleWeight, at)
	}
	// The original counts the samples of CPU, which come together with those of memory.
	if fresh {
		e.history.add(at)
	}
	return true
}

// forget drops what is too old to count. The phase of the intervals stays, as it does when the recommender collects garbage.
func (e *Estimator) forget() {
	e.histogram = NewHistogram(e.histogram.buckets, e.resource.HalfLife)
	e.history = history{}
}

// AddOOM takes a kill for memory of a container that had the given bytes, and says whether it counted. One that is older than the
// newest sample by more than an interval is refused, and each by an estimator of CPU.
func (e *Estimator) AddOOM(had float64, at time.Time) bool {
	if e.peaks == nil || !(had >= 0) || math.IsInf(had, 0) {
		return false
	}
	return e.peaks.kill(e.histogram, toAmount(had), at, e.options.OOMRatio, e.options.OOMBump)
}

// Recommend says what the request should be. It reports false while nothing is known, also when the newest sample is so old at
// now that it is forgotten.
func (e *Estimator) Recommend(now time.Time) (Recommendation, bool) {
	if e.histogram.Empty() {
		return Recommendation{}, false
	}
	if e.history.samples > 0 && now.Sub(e.history.last) >= e.options.Interval*time.Duration(e.options.Intervals) {
		return Recommendation{}, false
	}
	// The pod's floor is an integer before it is divided among its containers.
	floor := toAmount(e.resource.Floor * e.unit).times(1 / float64(max(e.options.Containers, 1)))
	days := e.history.confidence(e.resource.Confidence)
	base := func(p float64) amount {
		return toAmount(e.histogram.Percentile(p) * e.unit).withMargin(e.options.Margin)
	}
	r := Recommendation{
		Target:     e.quantity(max(base(e.resource.Target), floor)),
		Lower:      e.quantity(max(base(e.resource.Lower).widened(0.001, -2, days), floor)),
		Upper:      e.quantity(max(base(e.resource.Upper).widened(1, 1, days), floor)),
		Percentile: e.histogram.Percentile(e.resource.Target),
		Days:       days,
		Samples:    e.history.samples,
		First:      e.history.first,
	}
	if e.peaks != nil {
		r.Recent = e.quantity(e.peaks.recent())
	}
	return r, true
}

func (e *Estimator) quantity(a amount) float64 { return float64(a) / e.unit }
