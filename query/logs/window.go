package logs

import (
	"fmt"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
)

// windowBuckets is how finely a window guard remembers times.
const windowBuckets = 64

// windowGuard bounds the samples that the engine holds at once: when the windows
// of steps overlap, or the aggregation must see all values together, it keeps
// every sample of a window in memory. It counts to 1/64 of the window's width.
type windowGuard struct {
	limit, bucket int64 // samples; nanoseconds
	head          int64 // the newest bucket's number
	counts        [windowBuckets + 1]int64
	total         int64
}

// newWindowGuard returns nil for queries that keep no samples.
func newWindowGuard(limit int, expr syntax.SampleExpr, req Request) *windowGuard {
	var r *syntax.RangeAggregationExpr
	expr.Walk(func(e syntax.Expr) bool {
		if found, ok := e.(*syntax.RangeAggregationExpr); ok && r == nil {
			r = found
		}
		return r == nil
	})
	if r == nil || limit <= 0 {
		return nil
	}
	overlap := r.Left.Interval >= req.Step && !req.Start.Equal(req.End)
	all := r.Operation == syntax.OpRangeTypeQuantile || r.Operation == syntax.OpRangeTypeRateCounter
	if !overlap && !all {
		return nil
	}
	return &windowGuard{limit: int64(limit), bucket: max(1, int64(r.Left.Interval/windowBuckets))}
}

// add counts a sample. Samples come in the order of their time.
func (g *windowGuard) add(ts int64) error {
	if g == nil {
		return nil
	}
	n := ts / g.bucket
	if g.total == 0 {
		g.head = n
	}
	for ; g.head < n; g.head++ {
		if g.total == 0 {
			g.head = n
			break
		}
		next := &g.counts[slot(g.head+1)]
		g.total -= *next
		*next = 0
	}
	g.counts[slot(n)]++
	if g.total++; g.total > g.limit {
		return &LimitError{Limit: "maxWindowSamples", Detail: fmt.Sprintf(
			"it holds more than %d samples within %s; shorten the range in brackets or filter more", g.limit, time.Duration(g.bucket*windowBuckets))}
	}
	return nil
}

func slot(n int64) int64 {
	const size = windowBuckets + 1
	return (n%size + size) % size
}
