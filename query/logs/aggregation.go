package logs

import (
	"math"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logql/vector"
	"github.com/prometheus/prometheus/promql"
)

// aggregation is the function of a range aggregation. Its arithmetic is LogQL's,
// operation by operation and in the order of the samples, so that results are the
// same to the last bit.
type aggregation struct {
	op      string
	seconds float64 // of the window, for rates
	unwrap  bool
	q       float64 // of quantile_over_time
}

func newAggregation(r *syntax.RangeAggregationExpr) (aggregation, bool) {
	a := aggregation{op: r.Operation, seconds: r.Left.Interval.Seconds(), unwrap: r.Left.Unwrap != nil}
	switch r.Operation {
	case syntax.OpRangeTypeCount, syntax.OpRangeTypeRate, syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate,
		syntax.OpRangeTypeSum, syntax.OpRangeTypeAvg, syntax.OpRangeTypeMin, syntax.OpRangeTypeMax,
		syntax.OpRangeTypeStddev, syntax.OpRangeTypeStdvar, syntax.OpRangeTypeFirst, syntax.OpRangeTypeLast,
		syntax.OpRangeTypeAbsent:
		return a, true
	case syntax.OpRangeTypeQuantile:
		if r.Params == nil {
			return a, false
		}
		a.q = *r.Params
		return a, true
	}
	return a, false
}

// ofLines reports whether the result follows from how many lines and bytes there
// are, whatever their order.
func (a aggregation) ofLines() bool {
	switch a.op {
	case syntax.OpRangeTypeCount, syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate, syntax.OpRangeTypeAbsent:
		return true
	case syntax.OpRangeTypeRate:
		return !a.unwrap
	}
	return false
}

// ofBytes reports whether lines count by their bytes.
func (a aggregation) ofBytes() bool {
	return a.op == syntax.OpRangeTypeBytes || a.op == syntax.OpRangeTypeBytesRate
}

// total is the result for so many lines, or bytes of them. They are whole numbers,
// which a float64 adds exactly up to 2^53, as LogQL does one by one.
func (a aggregation) total(n int64) float64 {
	switch a.op {
	case syntax.OpRangeTypeRate, syntax.OpRangeTypeBytesRate:
		return float64(n) / a.seconds
	case syntax.OpRangeTypeAbsent:
		return 1
	}
	return float64(n)
}

// accumulator holds the samples of one series in one window.
type accumulator struct {
	n      float64
	x, y   float64 // what they are depends on the function
	values []float64
}

// reset forgets the samples but keeps the memory.
func (c *accumulator) reset() { *c = accumulator{values: c.values[:0]} }

// add takes the next sample in.
func (a aggregation) add(c *accumulator, v float64) {
	c.n++
	switch a.op {
	case syntax.OpRangeTypeSum, syntax.OpRangeTypeRate, syntax.OpRangeTypeBytes, syntax.OpRangeTypeBytesRate:
		c.x += v
	case syntax.OpRangeTypeAvg:
		a.addMean(c, v)
	case syntax.OpRangeTypeMin:
		if c.n == 1 || c.x > v || math.IsNaN(c.x) {
			c.x = v
		}
	case syntax.OpRangeTypeMax:
		if c.n == 1 || c.x < v || math.IsNaN(c.x) {
			c.x = v
		}
	case syntax.OpRangeTypeStddev, syntax.OpRangeTypeStdvar: // Welford's: x is the mean, y the squares
		delta := v - c.x
		c.x += delta / c.n
		c.y += delta * (v - c.x)
	case syntax.OpRangeTypeFirst:
		if c.n == 1 {
			c.x = v
		}
	case syntax.OpRangeTypeLast:
		c.x = v
	case syntax.OpRangeTypeQuantile:
		c.values = append(c.values, v)
	}
}

// addMean moves the mean x. Once it is infinite, only an infinity of the other
// sign or NaN changes it.
func (aggregation) addMean(c *accumulator, v float64) {
	if math.IsInf(c.x, 0) {
		same := math.IsInf(v, 0) && (c.x > 0) == (v > 0)
		if finite := !math.IsInf(v, 0) && !math.IsNaN(v); same || finite {
			return
		}
	}
	c.x += v/c.n - c.x/c.n
}

// result is the value of the window.
func (a aggregation) result(c *accumulator) float64 {
	switch a.op {
	case syntax.OpRangeTypeCount:
		return c.n
	case syntax.OpRangeTypeRate:
		if !a.unwrap {
			return c.n / a.seconds
		}
		return c.x / a.seconds
	case syntax.OpRangeTypeBytesRate:
		return c.x / a.seconds
	case syntax.OpRangeTypeStddev:
		return math.Sqrt(c.y / c.n)
	case syntax.OpRangeTypeStdvar:
		return c.y / c.n
	case syntax.OpRangeTypeAbsent:
		return 1
	case syntax.OpRangeTypeQuantile:
		samples := make(vector.HeapByMaxValue, len(c.values))
		for i, v := range c.values {
			samples[i] = promql.Sample{F: v}
		}
		return logql.Quantile(a.q, samples)
	}
	return c.x
}
