package logs

import (
	"time"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
)

// windows are the times that a range aggregation looks at: window k, for each
// step of the query, is (end(k)-width, end(k)], the offset taken off.
type windows struct {
	first, step, width, offset int64 // nanoseconds; first is the end of window 0
	n                          int
}

// newWindows is false for times that nanoseconds cannot hold and for ranges
// without a step, which are left to LogQL.
func newWindows(p logql.Params, r *syntax.LogRangeExpr) (windows, bool) {
	early, late := p.Start().Add(-r.Interval).Add(-r.Offset), p.End().Add(-r.Offset)
	for _, t := range []time.Time{early, late, p.Start(), p.End()} {
		if !t.After(minTime) || !t.Before(maxTime) {
			return windows{}, false
		}
	}
	w := windows{step: p.Step().Nanoseconds(), width: r.Interval.Nanoseconds(), offset: r.Offset.Nanoseconds(), n: 1}
	w.first = p.Start().UnixNano() - w.offset
	length := p.End().UnixNano() - p.Start().UnixNano()
	switch {
	case length < 0 || w.width <= 0 || length > 0 && w.step <= 0:
		return windows{}, false
	case length > 0:
		w.n += int(length / w.step)
	default:
		w.step = w.width
	}
	return w, true
}

func (w windows) end(k int) int64 { return w.first + int64(k)*w.step }

// from and to are what to select for the windows [k0, k1): from inclusive, to
// exclusive, where a window excludes its start and includes its end.
func (w windows) from(k0 int) int64 { return w.end(k0) - w.width + 1 }
func (w windows) to(k1 int) int64   { return w.end(k1-1) + 1 }

// milliseconds is the time of the step, rounded as LogQL rounds it.
func (w windows) milliseconds(k int) int64 {
	const ms = int64(time.Millisecond)
	return w.end(k)/ms + w.offset/ms
}

// overlap reports whether a row can be in several windows.
func (w windows) overlap() bool { return w.n > 1 && w.width > w.step }

// bucket is the widest interval that steps and windows are multiples of.
func (w windows) bucket() int64 {
	if w.n == 1 {
		return w.width
	}
	a, b := w.step, w.width
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// holding is how many windows the time is in.
func (w windows) holding(ts int64) int64 {
	// Window k has it when end(k)-width < ts <= end(k).
	before := int64(0) // windows that end before it
	if d := ts - w.first; d > 0 {
		before = (d-1)/w.step + 1
	}
	d := ts + w.width - 1 - w.first
	if d < 0 {
		return 0
	}
	return max(0, min(int64(w.n), d/w.step+1)-before)
}
