package traceql

import (
	"errors"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// The errors of an Aggregator that is at one of its Bounds.
var (
	ErrTooManySeries  = errors.New("too many series")
	ErrTooManySamples = errors.New("too many samples")
)

// Bounds limit the memory of an Aggregator, its answer included.
type Bounds struct {
	Series  int // of the answer, before second stages drop any
	Samples int // of all series, and what is kept to compute them in samples' worth of memory
	// Exemplars is how many to keep in all.
	Exemplars int
}

// Interval is the time of a metrics query: (Start, End] in steps, all in nanoseconds.
// A step's samples stand at its end. Without a step all is one.
type Interval struct {
	Start, End, Step int64

	// closed means that the one step holds its start too: it is a nanosecond longer than
	// what was asked for.
	closed bool
}

// NewInterval aligns a range to its step, outwards. An instant query (one step for
// all) is not aligned, and holds its start.
func NewInterval(start, end, step int64) Interval {
	if step <= 0 || end-start <= step {
		return Interval{Start: start - 1, End: end, Step: end - start + 1, closed: true}
	}
	start -= mod(start, step)
	if m := mod(end, step); m != 0 {
		end += step - m
	}
	return Interval{Start: start, End: end, Step: step}
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }

// Steps is how many samples a series has.
func (i Interval) Steps() int { return int((i.End - i.Start + i.Step - 1) / i.Step) }

// Time is where sample n stands, Unix nanoseconds.
func (i Interval) Time(n int) int64 { return i.Start + int64(n+1)*i.Step }

// seconds is how long the step is that was asked for.
func (i Interval) seconds() float64 {
	if i.closed {
		return float64(max(1, i.Step-1)) / 1e9
	}
	return float64(i.Step) / 1e9
}

// index is the step of a time, -1 outside.
func (i Interval) index(t int64) int {
	if t <= i.Start || t > i.End {
		return -1
	}
	return int((t - i.Start - 1) / i.Step)
}

// Series is one series of a metrics query's answer. Values has one per step, NaN for
// none.
type Series struct {
	Labels    []SpansetAttribute
	Values    []float64
	Exemplars []Exemplar
}

// Exemplar is one span behind a series.
type Exemplar struct {
	TraceID string
	Value   float64
	Time    int64 // Unix nanoseconds
}

// Aggregator computes the series of a metrics stage from spans, in any order. It is
// not safe for concurrent use.
type Aggregator struct {
	m        *Metrics
	interval Interval
	left     Bounds // what may still come

	series map[string]*accumulator
	order  []*accumulator
	groups [2]comparedGroup // of Compare: the baseline and the selection
	scope  scope            // of the span at hand
	key    []byte
	buf    [4]Value
}

type accumulator struct {
	by        []Value
	values    []float64
	counts    []float64            // of AvgOverTime
	buckets   map[bucketKey]int    // of quantiles and histograms
	bounds    map[float64]struct{} // of histograms: those that have a series
	exemplars []Exemplar
	lastStep  int // of the last exemplar
}

type bucketKey struct {
	step   int
	bucket int
}

// NewAggregator makes an aggregator for a stage over a time.
func NewAggregator(m *Metrics, interval Interval, bounds Bounds) *Aggregator {
	return &Aggregator{m: m, interval: interval, left: bounds, series: map[string]*accumulator{}}
}

// Observe counts a span on its own that starts at the time.
func (a *Aggregator) Observe(start int64, span Values) error {
	a.scope.span, a.scope.trace = span, nil
	return a.observe(start)
}

// ObserveIn counts span i of a trace.
func (a *Aggregator) ObserveIn(t *Trace, i int) error {
	a.scope.span, a.scope.trace, a.scope.index = t.Spans[i].Values, t, i
	return a.observe(t.Spans[i].Start)
}

func (a *Aggregator) observe(start int64) error {
	s := &a.scope
	step := a.interval.index(start)
	if step < 0 {
		return nil
	}
	if a.m.Func == Compare {
		return a.compare(start, step)
	}
	value := 1.0
	if f := a.m.Attribute; f != nil {
		v := first(s.values(f, a.buf[:0]))
		number, ok := v.Number()
		if !ok || math.IsNaN(number) {
			return nil // NaN stands for no sample
		}
		if value = number; v.typ == Duration {
			value /= 1e9
		}
	}
	acc, err := a.accumulator(s)
	if err != nil {
		return err
	}
	if a.left.Exemplars > 0 && acc.lastStep != step {
		a.exemplar(acc, step, start, value, s)
	}
	return a.add(acc, step, value)
}

// Add counts so many spans of a step at once, for Rate and CountOverTime whose spans
// are counted elsewhere. by has the value of each of Metrics.By.
func (a *Aggregator) Add(time int64, by []Value, count float64) error {
	step := a.interval.index(time)
	if step < 0 || count == 0 {
		return nil
	}
	acc, err := a.find(by)
	if err != nil {
		return err
	}
	acc.values[step] += count
	return nil
}

func first(vs []Value) Value {
	if len(vs) == 0 {
		return Value{}
	}
	return vs[0]
}

func (a *Aggregator) accumulator(s *scope) (*accumulator, error) {
	var by [maxGroupBy]Value
	for i := range a.m.By {
		by[i] = first(s.values(&a.m.By[i], a.buf[:0]))
	}
	return a.find(by[:len(a.m.By)])
}

func (a *Aggregator) find(by []Value) (*accumulator, error) {
	a.key = a.key[:0]
	for _, v := range by {
		a.key = append(a.key, byte(v.typ))
		a.key = strconv.AppendUint(a.key, v.bits, 36)
		a.key = append(a.key, ':')
		a.key = strconv.AppendInt(a.key, int64(len(v.str)), 36)
		a.key = append(a.key, ':')
		a.key = append(a.key, v.str...)
	}
	if acc := a.series[string(a.key)]; acc != nil {
		return acc, nil
	}
	if err := a.charge(a.seriesOf()); err != nil {
		return nil, err
	}
	acc := &accumulator{by: slices.Clone(by), lastStep: -1}
	for i := range acc.by {
		acc.by[i].str = strings.Clone(acc.by[i].str)
	}
	if a.m.Func == QuantileOverTime || a.m.Func == HistogramOverTime {
		acc.buckets = map[bucketKey]int{}
		if a.m.Func == HistogramOverTime {
			acc.bounds = map[float64]struct{}{}
		}
	} else {
		acc.values = make([]float64, a.interval.Steps())
		if a.m.Func > CountOverTime {
			fill(acc.values, math.NaN())
		}
		if a.m.Func == AvgOverTime {
			acc.counts = make([]float64, len(acc.values))
		}
	}
	a.series[string(a.key)] = acc
	a.order = append(a.order, acc)
	return acc, nil
}

// bucketSamples is what a bucket in its map takes, in samples of 8 bytes.
const bucketSamples = 5

// seriesOf says how many series an accumulator makes at once, and how many samples with
// them.
func (a *Aggregator) seriesOf() (series, samples int) {
	steps := a.interval.Steps()
	switch a.m.Func {
	case QuantileOverTime:
		return len(a.m.Quantiles), len(a.m.Quantiles) * steps
	case HistogramOverTime:
		return 0, 0 // its series come with the values
	case AvgOverTime:
		return 1, 2 * steps
	}
	return 1, steps
}

// charge takes from what may still come, before the memory is taken.
func (a *Aggregator) charge(series, samples int) error {
	if a.left.Series -= series; a.left.Series < 0 {
		return ErrTooManySeries
	}
	if a.left.Samples -= samples; a.left.Samples < 0 {
		return ErrTooManySamples
	}
	return nil
}

func fill(values []float64, v float64) {
	for i := range values {
		values[i] = v
	}
}

func (a *Aggregator) add(acc *accumulator, step int, v float64) error {
	if acc.buckets != nil {
		key := bucketKey{step, bucketOf(v)}
		n := acc.buckets[key]
		if n == 0 {
			if err := a.newBucket(acc, key.bucket); err != nil {
				return err
			}
		}
		acc.buckets[key] = n + 1
		return nil
	}
	old := acc.values[step]
	switch {
	case math.IsNaN(old):
		acc.values[step] = v
	case a.m.Func == MinOverTime:
		acc.values[step] = math.Min(old, v)
	case a.m.Func == MaxOverTime:
		acc.values[step] = math.Max(old, v)
	default:
		acc.values[step] = old + v
	}
	if acc.counts != nil {
		acc.counts[step]++
	}
	return nil
}

// newBucket pays for a bucket, and for the series that it begins in a histogram.
func (a *Aggregator) newBucket(acc *accumulator, bucket int) error {
	if err := a.charge(0, bucketSamples); err != nil || a.m.Func != HistogramOverTime {
		return err
	}
	bound := powerOfTwo(bucket)
	if _, known := acc.bounds[bound]; known {
		return nil
	}
	acc.bounds[bound] = struct{}{}
	return a.charge(1, a.interval.Steps())
}

// exemplar keeps a span when it is the first of a run of spans of one step.
func (a *Aggregator) exemplar(acc *accumulator, step int, start int64, value float64, s *scope) {
	f := intrinsicField("trace:id")
	id := first(s.values(&f, a.buf[:0]))
	if id.IsNil() {
		return
	}
	a.left.Exemplars--
	acc.lastStep = step
	acc.exemplars = append(acc.exemplars, Exemplar{TraceID: strings.Clone(id.str), Value: value, Time: start})
}

// Buckets are powers of two, each split in 2^subBits equal parts: a quantile is off by
// less than 1.6 percent.
const subBits = 6

// bucketOf numbers buckets in the order of their values; below zero nothing is told
// apart.
func bucketOf(v float64) int {
	if !(v > 0) {
		return math.MinInt32
	}
	if math.IsInf(v, 1) {
		return math.MaxInt32
	}
	b := math.Float64bits(v)
	return int(b >> (52 - subBits)) // exponent and first bits of the mantissa
}

// bucketBounds are the values between which those of a bucket lie: [low, high).
func bucketBounds(bucket int) (low, high float64) {
	switch bucket {
	case math.MinInt32:
		return 0, 0
	case math.MaxInt32:
		return math.Inf(1), math.Inf(1)
	}
	return math.Float64frombits(uint64(bucket) << (52 - subBits)), math.Float64frombits(uint64(bucket+1) << (52 - subBits))
}

// powerOfTwo is the least power of two that is not below a bucket's values.
func powerOfTwo(bucket int) float64 {
	low, high := bucketBounds(bucket)
	if low == 0 || math.IsInf(low, 1) {
		return low
	}
	b := math.Float64bits(high)
	if bits.TrailingZeros64(b) >= 52 {
		return high
	}
	return math.Float64frombits((b>>52 + 1) << 52)
}
