package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// rowSource aggregates rows as the store delivers them, in the order of their
// time: LogQL's extractors say which samples a row has (or a memo of what they said
// about a row like it), and each is added to its series at once.
type rowSource struct {
	sel    *selection[*rowStream]
	leaf   leaf
	series *seriesTable
	memo   *memoPlan // nil: every row goes through the extractors
	// captures stand for the lines, which the rows then lack; or nil.
	captures *linePattern
	keep     keeper
	meta     labels.Labels
	key      []byte
}

// rowStream is what belongs to one stream.
type rowStream struct {
	extractors []log.StreamSampleExtractor
	memo       *streamMemo // nil: no memo for its rows
}

// keeper holds the samples of the current window.
type keeper interface {
	// add takes a sample of a series, which is not before those added already.
	add(series int32, ts int64, v float64) error
	// window appends the values of window k to points. No sample after its end has
	// been added.
	window(k int, points []point) []point
}

// rowSource makes the source of any aggregation.
func (q *querier) rowSource(ctx context.Context, l leaf) (windowSource, error) {
	query := columnar.Query{
		Table: columnar.Logs, From: l.win.from(0), To: l.win.to(l.win.n),
		Matchers: l.rng.Left.Left.Matchers(), Columns: sampleColumns(l.expr),
	}
	stages := stagesOf(l.rng.Left.Left)
	if _, err := q.push(ctx, &query, stages); err != nil {
		return nil, err
	}
	r := &rowSource{leaf: l, series: newSeriesTable(q.exec.cfg), keep: newKeeper(ctx, l, q.exec)}
	r.series.memory = &q.exec.memory
	var err error
	if r.memo, err = newMemoPlan(l, stages); err != nil {
		return nil, err
	}
	if r.captures = r.memo.linePattern(stages); r.captures != nil {
		query.Captures, query.Columns.Line = &r.captures.LinePattern, false
	}
	if err := correctPipelines(ctx, l.expr); err != nil {
		return nil, err
	}
	extractors, err := r.captures.extractors(l)
	if err != nil {
		return nil, err
	}
	r.sel, err = newSelection(ctx, q.exec, q.store, query, func(ls labels.Labels) *rowStream {
		st := &rowStream{memo: r.memo.forStream(ls)}
		for _, ex := range extractors {
			st.extractors = append(st.extractors, ex.ForStream(ls))
		}
		return st
	})
	if err != nil {
		return nil, err
	}
	if !r.sel.cur.Applied().All() {
		if r.captures != nil {
			return nil, r.sel.exec.fail(errors.New("the store left filters of the lines to its caller, who has no lines"))
		}
		r.memo = nil // it is for rows that have passed the line filters
	}
	return r, nil
}

// window implements windowSource.
func (r *rowSource) window(k int, points []point) ([]point, error) {
	end := r.leaf.win.end(k)
	start := end - r.leaf.win.width
	for r.sel.current() {
		times := r.sel.batch.Timestamps
		for ; r.sel.row < len(times); r.sel.row++ {
			ts := times[r.sel.row]
			if ts > end {
				return r.keep.window(k, points), nil
			}
			if ts <= start {
				continue // between two windows
			}
			if err := r.add(ts); err != nil {
				return nil, err
			}
		}
	}
	if r.sel.err != nil {
		return nil, r.sel.err
	}
	return r.keep.window(k, points), nil
}

// add adds the samples of the current row.
func (r *rowSource) add(ts int64) error {
	st := r.sel.stream().value
	if r.memo == nil || st.memo == nil {
		return r.extract(st, ts, nil)
	}
	var fields []columnar.Field
	if r.sel.batch.Fields != nil {
		fields = r.sel.batch.Fields[r.sel.row]
	}
	var row memoRow
	var ok bool
	if r.captures != nil {
		row, ok = r.memo.readCaptures(r.key[:0], r.captures, r.sel.batch, r.sel.row, fields)
	} else {
		row, ok = r.memo.read(r.key[:0], r.sel.line(), fields)
	}
	r.key = row.key
	if !ok {
		return r.extract(st, ts, nil)
	}
	out := st.memo.outcome(row.key)
	if out == nil {
		if out = r.memo.remember(st.memo, row.key); out == nil {
			return r.extract(st, ts, nil)
		}
		return r.extract(st, ts, out)
	}
	if !out.kept {
		return nil
	}
	r.sel.kept++
	v := out.value
	if row.hasValue {
		v = row.value
	}
	return r.keep.add(out.series, ts, v)
}

// extract runs the extractors over the current row and writes down what they
// said, if out is not nil.
func (r *rowSource) extract(st *rowStream, ts int64, out *outcome) error {
	line, meta := r.sel.line(), r.sel.metadata(&r.meta)
	if r.captures != nil {
		line = r.captures.line(r.sel.batch, r.sel.row)
	}
	for _, ex := range st.extractors {
		samples, ok := ex.ProcessString(ts, line, meta)
		if !ok {
			continue
		}
		r.sel.kept++
		for _, s := range samples {
			n, err := r.series.number(s.Labels)
			if err != nil {
				return r.sel.exec.fail(err)
			}
			if n == noSeries {
				continue
			}
			if out != nil {
				*out = outcome{kept: true, series: n, value: s.Value}
			}
			if err := r.keep.add(n, ts, s.Value); err != nil {
				return r.sel.exec.fail(err)
			}
		}
	}
	return nil
}

func (r *rowSource) table() *seriesTable { return r.series }
func (r *rowSource) close() error        { return r.sel.close() }

// sampleBytes is what a sample that is held takes, with the room that slices keep
// for more; quantileBytes what one takes whose window is sorted.
const (
	sampleBytes   = 32
	quantileBytes = 96
)

func newKeeper(ctx context.Context, l leaf, exec *execution) keeper {
	cfg, memory := exec.cfg, heldItems{lease: &exec.memory, size: sampleBytes}
	if l.agg.op == syntax.OpRangeTypeQuantile {
		memory.size = quantileBytes
	}
	switch {
	case !l.win.overlap():
		return &singleWindow{agg: l.agg, limit: cfg.MaxWindowSamples, width: l.win.width, memory: memory}
	case l.agg.ofLines():
		return &bucketWindow{agg: l.agg, win: l.win, bucket: l.win.bucket()}
	}
	return &sampleWindow{ctx: ctx, agg: l.agg, win: l.win, limit: cfg.MaxWindowSamples, maxReads: cfg.MaxWindowReads, memory: memory}
}

func windowSamplesError(limit int, width int64) error {
	return &LimitError{Limit: "maxWindowSamples", Detail: fmt.Sprintf(
		"it holds more than %d samples within %s; shorten the range in brackets or filter more", limit, time.Duration(width))}
}

func windowReadsError(limit int64) error {
	return &LimitError{Limit: "maxWindowReads", Detail: fmt.Sprintf(
		"its overlapping windows go through more than %d samples; choose a longer step, a shorter range in brackets, or filter more", limit)}
}

// singleWindow is for windows that have no row in common: the series of the last
// one are forgotten when the next begins.
type singleWindow struct {
	agg    aggregation
	series []accumulator // by number
	active []int32
	memory heldItems
	limit  int
	width  int64
	held   int
}

func (w *singleWindow) add(series int32, _ int64, v float64) error {
	for int(series) >= len(w.series) {
		w.series = append(w.series, accumulator{})
	}
	c := &w.series[series]
	if c.n == 0 {
		w.active = append(w.active, series)
	}
	w.agg.add(c, v)
	if len(c.values) > 0 {
		if w.held++; w.limit > 0 && w.held > w.limit {
			return windowSamplesError(w.limit, w.width)
		}
		return w.memory.add()
	}
	return nil
}

func (w *singleWindow) window(_ int, points []point) []point {
	for _, n := range w.active {
		c := &w.series[n]
		points = append(points, point{n, w.agg.result(c)})
		c.reset()
	}
	w.memory.drop(w.held)
	w.active, w.held = w.active[:0], 0
	return points
}

// bucketWindow is for overlapping windows of functions that count: it holds a
// number for each interval that all windows consist of.
type bucketWindow struct {
	agg    aggregation
	win    windows
	bucket int64
	series []bucketSeries
	active activeSeries
}

type bucketSeries struct {
	total   int64
	rows    int64
	buckets []bucketCount
}

type bucketCount struct{ number, rows, total int64 }

func (w *bucketWindow) add(series int32, ts int64, v float64) error {
	for int(series) >= len(w.series) {
		w.series = append(w.series, bucketSeries{})
	}
	s := &w.series[series]
	w.active.add(series)
	// Bucket b is (end of the first window's start + b*bucket, …], and so on.
	number := (ts - w.win.from(0)) / w.bucket
	if n := len(s.buckets); n == 0 || s.buckets[n-1].number != number {
		s.buckets = append(s.buckets, bucketCount{number: number})
	}
	b := &s.buckets[len(s.buckets)-1]
	n := int64(1)
	if w.agg.ofBytes() {
		n = int64(v)
	}
	b.rows++
	b.total += n
	s.rows++
	s.total += n
	return nil
}

func (w *bucketWindow) window(k int, points []point) []point {
	first := (w.win.from(k) - w.win.from(0)) / w.bucket
	w.active.filter(func(n int32) bool {
		s := &w.series[n]
		drop := 0
		for ; drop < len(s.buckets) && s.buckets[drop].number < first; drop++ {
			s.rows -= s.buckets[drop].rows
			s.total -= s.buckets[drop].total
		}
		s.buckets = slices.Delete(s.buckets, 0, drop)
		if s.rows == 0 {
			return false
		}
		points = append(points, point{n, w.agg.total(s.total)})
		return true
	})
	return points
}

// sampleWindow is for overlapping windows of functions whose result depends on
// the order of their additions: like LogQL it holds the samples of the window and
// goes through them at each step.
type sampleWindow struct {
	ctx    context.Context
	agg    aggregation
	win    windows
	series [][]sample
	active activeSeries
	acc    accumulator
	limit  int
	held   int
	// reads is how many samples all the windows together go through.
	reads, maxReads int64
	sinceCheck      int
	memory          heldItems
}

// contextSamples is how many samples are gone through between two looks at the
// context.
const contextSamples = 1 << 14

type sample struct {
	ts int64
	v  float64
}

func (w *sampleWindow) add(series int32, ts int64, v float64) error {
	for int(series) >= len(w.series) {
		w.series = append(w.series, nil)
	}
	w.active.add(series)
	w.series[series] = append(w.series[series], sample{ts, v})
	if w.held++; w.limit > 0 && w.held > w.limit {
		return windowSamplesError(w.limit, w.win.width)
	}
	if w.reads += w.win.holding(ts); w.maxReads > 0 && w.reads > w.maxReads {
		return windowReadsError(w.maxReads)
	}
	return w.memory.add()
}

// window stops early when the context is done, which its caller looks at.
func (w *sampleWindow) window(k int, points []point) []point {
	from := w.win.from(k)
	w.active.filter(func(n int32) bool {
		s := w.series[n]
		drop := 0
		for drop < len(s) && s[drop].ts < from {
			drop++
		}
		w.held -= drop
		w.memory.drop(drop)
		s = slices.Delete(s, 0, drop)
		w.series[n] = s
		if len(s) == 0 {
			return false
		}
		if w.sinceCheck += len(s); w.sinceCheck > contextSamples {
			w.sinceCheck = 0
			if w.ctx.Err() != nil {
				return true
			}
		}
		w.acc.reset()
		for _, x := range s {
			w.agg.add(&w.acc, x.v)
		}
		points = append(points, point{n, w.agg.result(&w.acc)})
		return true
	})
	return points
}

// activeSeries is a set of series that have samples, in the order of their first.
type activeSeries struct {
	list []int32
	in   []bool
}

func (a *activeSeries) add(n int32) {
	for int(n) >= len(a.in) {
		a.in = append(a.in, false)
	}
	if !a.in[n] {
		a.in[n] = true
		a.list = append(a.list, n)
	}
}

// filter drops the series for which keep is false.
func (a *activeSeries) filter(keep func(n int32) bool) {
	a.list = slices.DeleteFunc(a.list, func(n int32) bool {
		kept := keep(n)
		a.in[n] = kept
		return !kept
	})
}
