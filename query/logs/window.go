package logs

import (
	"fmt"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
)

// windowBuckets is how finely a window guard remembers times.
const windowBuckets = 64

// quantileReads is what LogQL's own quantile_over_time counts for one sample: it
// sorts each window, and does not look at the query's timeout between two of them.
const quantileReads = 16

// windowGuard bounds the samples that the engine holds at once: when the windows
// of steps overlap, or the aggregation must see all values together, it keeps
// every sample of a window in memory. It counts to 1/64 of the window's width.
type windowGuard struct {
	limit, bucket int64 // samples; nanoseconds
	head          int64 // the newest bucket's number
	counts        [windowBuckets + 1]int64
	total         int64
	memory        heldItems
	// reads is how many samples all the windows together go through, at most: each is in
	// perSample of them.
	reads, perSample, maxReads int64
}

// newWindowGuard returns nil for queries that keep no samples.
func newWindowGuard(limit int, maxReads int64, expr syntax.SampleExpr, req Request) *windowGuard {
	var r *syntax.RangeAggregationExpr
	expr.Walk(func(e syntax.Expr) bool {
		if found, ok := e.(*syntax.RangeAggregationExpr); ok && r == nil {
			r = found
		}
		return r == nil
	})
	if r == nil || limit <= 0 && maxReads <= 0 {
		return nil
	}
	overlap := r.Left.Interval >= req.Step && !req.Start.Equal(req.End)
	all := r.Operation == syntax.OpRangeTypeQuantile || r.Operation == syntax.OpRangeTypeRateCounter
	if !overlap && !all {
		return nil
	}
	g := &windowGuard{limit: int64(limit), bucket: max(1, int64(r.Left.Interval/windowBuckets)), perSample: 1, maxReads: maxReads}
	if req.Step > 0 {
		g.perSample = min(int64(r.Left.Interval/req.Step), int64(req.End.Sub(req.Start)/req.Step)) + 1
	}
	if r.Operation == syntax.OpRangeTypeQuantile {
		g.perSample *= quantileReads
	}
	return g
}

// leasing makes the samples count against the memory of all queries.
func (g *windowGuard) leasing(lease *memoryLease) *windowGuard {
	if g != nil {
		g.memory = heldItems{lease: lease, size: quantileBytes}
	}
	return g
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
		g.memory.drop(int(*next))
		*next = 0
	}
	g.counts[slot(n)]++
	if err := g.memory.add(); err != nil {
		return err
	}
	if g.reads += g.perSample; g.maxReads > 0 && g.reads > g.maxReads {
		return windowReadsError(g.maxReads)
	}
	if g.total++; g.limit > 0 && g.total > g.limit {
		return &LimitError{Limit: "maxWindowSamples", Detail: fmt.Sprintf(
			"it holds more than %d samples within %s; shorten the range in brackets or filter more", g.limit, time.Duration(g.bucket*windowBuckets))}
	}
	return nil
}

func slot(n int64) int64 {
	const size = windowBuckets + 1
	return (n%size + size) % size
}
