package logs

import (
	"context"
	"fmt"
	"slices"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// windowSource computes a range aggregation window by window.
type windowSource interface {
	// window appends the values of the series that have samples in window k to
	// points. It is called once for each window, in order.
	window(k int, points []point) ([]point, error)
	table() *seriesTable
	close() error
}

// point is the value of a series, which is a number of the source's table.
type point struct {
	series int32
	value  float64
}

// seriesTable numbers the series of a range aggregation.
type seriesTable struct {
	limit    int
	byText   map[string]int32
	byResult map[log.LabelsResult]int32
	series   []series
	memory   *memoryLease // nil: the series are not counted against it
}

type series struct {
	metric labels.Labels
	failed bool // it has an error that the query did not ask to keep
}

func newSeriesTable(cfg Config) *seriesTable {
	return &seriesTable{limit: cfg.MaxInnerSeries, byText: map[string]int32{}, byResult: map[log.LabelsResult]int32{}}
}

// seriesBytes is what a series takes beside its text, which is held about thrice.
const seriesBytes = 256

// noSeries stands for samples that LogQL drops.
const noSeries = -1

// number is the number of the series that the labels name.
func (t *seriesTable) number(l log.LabelsResult) (int32, error) {
	if i, ok := t.byResult[l]; ok {
		return i, nil
	}
	text := l.String()
	i, ok := t.byText[text]
	if !ok {
		metric, readable := metricOf(text)
		if i = noSeries; readable {
			if len(t.series) >= t.limit {
				return 0, innerSeriesError(t.limit)
			}
			if err := t.memory.hold(int64(3*len(text)) + seriesBytes); err != nil {
				return 0, err
			}
			i = int32(len(t.series))
			failed := metric.Has(logqlmodel.ErrorLabel) && metric.Get(logqlmodel.PreserveErrorLabel) != "true"
			t.series = append(t.series, series{metric: metric, failed: failed})
		}
		t.byText[text] = i
	}
	t.byResult[l] = i
	return i, nil
}

func innerSeriesError(limit int) error {
	return &LimitError{Limit: "maxInnerSeries", Detail: fmt.Sprintf(
		"it made more than %d series before aggregating them; group inside the aggregation by fewer labels, or keep fewer", limit)}
}

// rangeEvaluator is a range aggregation and the sum above it, if there is one.
type rangeEvaluator struct {
	ctx    context.Context
	exec   *execution
	leaf   leaf
	src    windowSource
	sum    *summer
	k      int
	points []point
	vec    promql.Vector
	absent labels.Labels
	err    error
}

func newRangeEvaluator(ctx context.Context, exec *execution, l leaf, src windowSource) *rangeEvaluator {
	e := &rangeEvaluator{ctx: ctx, exec: exec, leaf: l, src: src, k: -1}
	if l.sum != nil {
		e.sum = newSummer(*l.sum)
	}
	if l.agg.op == syntax.OpRangeTypeAbsent {
		e.absent = absentMetric(l.rng.Left.Left.Matchers())
	}
	return e
}

// advance computes the next window and reports false at the end. It looks at the
// context itself: once the rows are read, no call of the store does.
func (e *rangeEvaluator) advance() bool {
	if e.err != nil {
		return false
	}
	if e.k++; e.k >= e.leaf.win.n {
		return false
	}
	if e.points, e.err = e.src.window(e.k, e.points[:0]); e.err == nil {
		e.err = e.ctx.Err()
	}
	if e.err != nil {
		e.err = e.exec.fail(e.err)
		return false
	}
	table := e.src.table()
	for _, p := range e.points {
		if s := &table.series[p.series]; s.failed {
			e.err = logqlmodel.NewPipelineErr(s.metric)
			return false
		}
	}
	if e.sum != nil {
		e.points = e.sum.add(e.points, table)
	}
	return true
}

// metric is the labels of a point's series.
func (e *rangeEvaluator) metric(i int32) labels.Labels {
	if e.sum != nil {
		return e.sum.groups[i].metric
	}
	return e.src.table().series[i].metric
}

// Next implements logql.StepEvaluator.
func (e *rangeEvaluator) Next() (bool, int64, logql.StepResult) {
	if !e.advance() {
		return false, 0, logql.SampleVector{}
	}
	ts := e.leaf.win.milliseconds(e.k)
	e.vec = e.vec[:0]
	if e.leaf.agg.op == syntax.OpRangeTypeAbsent {
		if len(e.points) == 0 {
			e.vec = append(e.vec, promql.Sample{T: ts, F: 1, Metric: e.absent})
		}
		return true, ts, logql.SampleVector(e.vec)
	}
	for _, p := range e.points {
		e.vec = append(e.vec, promql.Sample{T: ts, F: p.value, Metric: e.metric(p.series)})
	}
	return true, ts, logql.SampleVector(e.vec)
}

// join collects the whole answer of a range query. Points are numbered, so that
// unlike with vectors nothing is hashed for each of them.
func (e *rangeEvaluator) join(ctx context.Context, maxSeries int) (promql.Matrix, error) {
	j := joiner{max: maxSeries}
	if e.leaf.agg.op == syntax.OpRangeTypeAbsent {
		return e.joinAbsent()
	}
	points := heldItems{lease: &e.exec.memory, size: pointBytes}
	index := map[uint64]int{} // two series may have the same labels
	var place []int           // by number, plus one
	for !j.full && e.advance() {
		ts := e.leaf.win.milliseconds(e.k)
		for _, p := range e.points {
			for int(p.series) >= len(place) {
				place = append(place, 0)
			}
			at := place[p.series]
			if at == 0 {
				metric := e.metric(p.series)
				hash := labels.StableHash(metric)
				i, ok := index[hash]
				if !ok {
					if i, ok = j.add(metric); !ok {
						if !j.full && !partial(ctx, maxSeries) {
							return nil, logqlmodel.NewSeriesLimitError(maxSeries)
						}
						j.full = true
						continue
					}
					index[hash] = i
				}
				at = i + 1
				place[p.series] = at
			}
			if err := points.add(); err != nil {
				return nil, e.exec.fail(err)
			}
			j.out[at-1].Floats = append(j.out[at-1].Floats, promql.FPoint{T: ts, F: p.value})
		}
	}
	if e.err != nil {
		return nil, e.err
	}
	return j.sorted(), nil
}

func (e *rangeEvaluator) joinAbsent() (promql.Matrix, error) {
	out := promql.Series{Metric: e.absent}
	for e.advance() {
		if len(e.points) == 0 {
			out.Floats = append(out.Floats, promql.FPoint{T: e.leaf.win.milliseconds(e.k), F: 1})
		}
	}
	if e.err != nil {
		return nil, e.err
	}
	if len(out.Floats) == 0 {
		return promql.Matrix{}, nil
	}
	return promql.Matrix{out}, nil
}

// Close implements logql.StepEvaluator.
func (e *rangeEvaluator) Close() error { return e.src.close() }

// Error implements logql.StepEvaluator.
func (e *rangeEvaluator) Error() error { return e.err }

// Explain implements logql.StepEvaluator.
func (e *rangeEvaluator) Explain(parent logql.Node) { parent.Child("push-down") }

// absentMetric is the labels of absent_over_time: those that the selector fixes.
func absentMetric(ms []*labels.Matcher) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	var drop []string
	seen := map[string]bool{}
	for _, m := range ms {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if m.Type != labels.MatchEqual || seen[m.Name] {
			drop = append(drop, m.Name)
			continue
		}
		seen[m.Name] = m.Value != ""
		b.Set(m.Name, m.Value)
	}
	return b.Del(drop...).Labels()
}

// summer adds series by the labels that they are grouped by. A group of several
// series is added in the order of their first samples, where LogQL takes whichever
// order a map yields.
type summer struct {
	grouping syntax.Grouping
	groupOf  []int32 // by series
	byHash   map[uint64]int32
	groups   []group
	out      []point
	buf      []byte
	step     int
}

type group struct {
	metric labels.Labels
	step   int // the last one that it had a value in
	at     int // where that is in out
}

func newSummer(g syntax.Grouping) *summer {
	g.Groups = sortedCopy(g.Groups)
	return &summer{grouping: g, byHash: map[uint64]int32{}}
}

// add sums the points of a step.
func (s *summer) add(points []point, table *seriesTable) []point {
	s.step++
	s.out = s.out[:0]
	for _, p := range points {
		for int(p.series) >= len(s.groupOf) {
			s.groupOf = append(s.groupOf, s.group(table.series[len(s.groupOf)].metric))
		}
		n := s.groupOf[p.series]
		g := &s.groups[n]
		if g.step == s.step {
			s.out[g.at].value += p.value
			continue
		}
		g.step, g.at = s.step, len(s.out)
		s.out = append(s.out, point{series: n, value: p.value})
	}
	// The evaluator keeps what it gets, and its points become the next buffer.
	s.out, points = points[:0], s.out
	return points
}

func (s *summer) group(metric labels.Labels) int32 {
	var hash uint64
	if s.grouping.Without {
		hash, s.buf = metric.HashWithoutLabels(s.buf, s.grouping.Groups...)
	} else {
		hash, s.buf = metric.HashForLabels(s.buf, s.grouping.Groups...)
	}
	if i, ok := s.byHash[hash]; ok {
		return i
	}
	i := int32(len(s.groups))
	s.groups = append(s.groups, group{metric: s.reduce(metric)})
	s.byHash[hash] = i
	return i
}

// reduce is the labels of a series' group. Labels with empty values stay: series
// that differ by one are different groups.
func (s *summer) reduce(metric labels.Labels) labels.Labels {
	if s.grouping.Without {
		return labels.NewBuilder(metric).Del(s.grouping.Groups...).Del(model.MetricNameLabel).Labels()
	}
	b := labels.NewScratchBuilder(len(s.grouping.Groups))
	metric.Range(func(l labels.Label) {
		if slices.Contains(s.grouping.Groups, l.Name) {
			b.Add(l.Name, l.Value)
		}
	})
	return b.Labels()
}
