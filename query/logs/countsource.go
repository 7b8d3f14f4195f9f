package logs

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// maxCountCells bounds the counts (groups times buckets) that are held at once, to
// about 128 MB.
const maxCountCells = 4 << 20

// countSource answers an aggregation of lines or bytes by groups of streams from
// the store's counts, without seeing a row.
type countSource struct {
	ctx     context.Context
	querier *querier
	leaf    leaf
	query   columnar.CountQuery
	groups  *streamGroups

	bucket            int64 // nanoseconds
	perStep, perWidth int   // buckets
	chunk             int   // windows in one call of the store

	// The current chunk: counts of bucket b are counts[starts[b]:starts[b+1]].
	first, end int // windows
	counts     []columnar.Count
	starts     []int32
	// What is in the current window.
	sums    []int64 // by group
	rows    []int64
	active  []int32
	isIn    []bool
	entered int // buckets
	left    int
}

// countSource returns nil when the aggregation needs to see rows.
func (q *querier) countSource(ctx context.Context, l leaf) (windowSource, error) {
	push, ok := countable(l)
	if !ok {
		return nil, nil
	}
	c := &countSource{ctx: ctx, querier: q, leaf: l, bucket: l.win.bucket()}
	perStep, perWidth := l.win.step/c.bucket, l.win.width/c.bucket
	if perStep > maxCountCells || perWidth > maxCountCells/2 {
		return nil, nil
	}
	c.perStep, c.perWidth = int(perStep), int(perWidth)
	groups, err := newStreamGroups(l, q.exec.cfg)
	if err != nil {
		return nil, err
	}
	c.groups = groups
	c.query = columnar.CountQuery{
		Query: columnar.Query{
			Table: columnar.Logs, From: l.win.from(0), To: l.win.to(l.win.n),
			Matchers: l.rng.Left.Left.Matchers(), Lines: push.lines, Budget: q.exec.budget(),
		},
		Width: c.bucket, Group: groups.of, LineBytes: l.agg.ofBytes(),
	}
	if err := c.plan(); err != nil {
		return nil, err
	}
	if err := c.load(0); err != nil {
		return nil, err
	}
	if ok, err := c.onlyStreams(); !ok || err != nil {
		return nil, err
	}
	return c, nil
}

// countable reports whether an aggregation counts whole lines, filtered only by
// what the store evaluates exactly, by labels that are those of the streams.
func countable(l leaf) (pushdown, bool) {
	if !l.agg.ofLines() || l.rng.Left.Unwrap != nil {
		return pushdown{}, false
	}
	if l.agg.op != syntax.OpRangeTypeAbsent {
		// Without names to group by, structured metadata makes series.
		if l.sum == nil || l.sum.Without {
			return pushdown{}, false
		}
		for _, name := range l.sum.Groups {
			if strings.HasPrefix(name, "__") || strings.HasSuffix(name, extractedSuffix) {
				return pushdown{}, false
			}
		}
	}
	stages := stagesOf(l.rng.Left.Left)
	for _, stage := range stages {
		if _, ok := stage.(*syntax.LineFilterExpr); !ok {
			return pushdown{}, false
		}
	}
	push := analyze(stages)
	return push, push.exact
}

// plan decides how many windows one call of the store is for.
func (c *countSource) plan() error {
	w := c.leaf.win
	c.chunk = w.n
	if int64(c.perStep)*int64(w.n) <= maxCountCells>>16 {
		return nil
	}
	q := c.query.Query
	streams, err := c.querier.store.Streams(c.ctx, q.Table, q.Tenants, q.From, q.To, q.Matchers)
	if err != nil {
		return err
	}
	buckets := maxCountCells / max(1, len(streams))
	// A window that overlaps the chunk before is counted twice, so a chunk has at
	// least twice the width of one.
	buckets = max(buckets-c.perWidth, c.perWidth, 1)
	c.chunk = max(1, min(w.n, buckets/c.perStep))
	return nil
}

// load counts the windows from k on.
func (c *countSource) load(k int) error {
	w := c.leaf.win
	c.first, c.end = k, min(w.n, k+c.chunk)
	q := c.query
	q.Query.From, q.Query.To = w.from(c.first), w.to(c.end)
	counts, st, err := c.querier.store.Count(c.ctx, q)
	if cerr := c.querier.exec.charge(st.Bytes, st.Rows); err == nil {
		err = cerr
	}
	reportStats(c.ctx, st, 0)
	if err == nil {
		err = c.groups.err
	}
	if err != nil {
		return err
	}
	c.index(counts)
	c.sums = make([]int64, len(c.groups.series.series))
	c.rows = make([]int64, len(c.sums))
	c.isIn = make([]bool, len(c.sums))
	c.active, c.entered, c.left = c.active[:0], 0, 0
	return nil
}

// index sorts the counts by bucket.
func (c *countSource) index(counts []columnar.Count) {
	n := (c.end-c.first-1)*c.perStep + c.perWidth
	c.starts = make([]int32, n+2)
	for i := range counts {
		c.starts[counts[i].Bucket+2]++
	}
	for b := 2; b < len(c.starts); b++ {
		c.starts[b] += c.starts[b-1]
	}
	c.counts = make([]columnar.Count, len(counts))
	for i := range counts {
		at := &c.starts[counts[i].Bucket+1]
		c.counts[*at] = counts[i]
		*at++
	}
	c.starts = c.starts[:n+1]
}

// window implements windowSource.
func (c *countSource) window(k int, points []point) ([]point, error) {
	if k >= c.end {
		if err := c.load(k); err != nil {
			return nil, err
		}
	}
	from := (k - c.first) * c.perStep
	to := from + c.perWidth
	if c.perWidth == 1 { // a bucket is a window
		for _, n := range c.counts[c.starts[from]:c.starts[to]] {
			points = append(points, point{int32(n.Group), c.leaf.agg.total(c.value(n))})
		}
		return points, nil
	}
	return c.slide(from, to, points), nil
}

// slide moves the window to the buckets [from, to).
func (c *countSource) slide(from, to int, points []point) []point {
	for ; c.left < min(from, c.entered); c.left++ {
		for _, n := range c.counts[c.starts[c.left]:c.starts[c.left+1]] {
			c.rows[n.Group] -= n.Rows
			c.sums[n.Group] -= c.value(n)
		}
	}
	c.left = from
	for b := max(c.entered, from); b < to; b++ {
		for _, n := range c.counts[c.starts[b]:c.starts[b+1]] {
			c.rows[n.Group] += n.Rows
			c.sums[n.Group] += c.value(n)
			if !c.isIn[n.Group] {
				c.isIn[n.Group] = true
				c.active = append(c.active, int32(n.Group))
			}
		}
	}
	c.entered = to
	keep := c.active[:0]
	for _, g := range c.active {
		if c.rows[g] == 0 {
			c.isIn[g] = false
			continue
		}
		keep = append(keep, g)
		points = append(points, point{g, c.leaf.agg.total(c.sums[g])})
	}
	c.active = keep
	return points
}

func (c *countSource) value(n columnar.Count) int64 {
	if c.leaf.agg.ofBytes() {
		return n.Bytes
	}
	return n.Rows
}

func (c *countSource) table() *seriesTable { return c.groups.series }
func (c *countSource) close() error        { return nil }

// onlyStreams reports whether the labels of the streams decide alone which group
// a row is in: a name that a stream lacks may be that of structured metadata, and
// metadata may claim to be an error. Rows without either cost the store a look at
// its headers. It looks after the counting, so that it misses no row counted.
func (c *countSource) onlyStreams() (bool, error) {
	names := append([]string{logqlmodel.ErrorLabel}, c.groups.lacking()...)
	for i, name := range names {
		count := columnar.CountQuery{Query: c.query.Query}
		if i > 0 {
			count.Group = func(ls labels.Labels) int {
				if ls.Has(name) {
					return -1
				}
				return 0
			}
		}
		has, err := c.querier.hasField(c.ctx, count, name)
		if has || err != nil {
			return false, err
		}
	}
	return true, nil
}

// streamGroups maps streams to series by their labels.
type streamGroups struct {
	extractor log.SampleExtractor
	names     []string
	lacks     map[string]bool
	series    *seriesTable
	err       error
}

func newStreamGroups(l leaf, cfg Config) (*streamGroups, error) {
	g := &streamGroups{lacks: map[string]bool{}, series: newSeriesTable(cfg)}
	if l.agg.op != syntax.OpRangeTypeAbsent {
		g.names = sortedCopy(l.sum.Groups)
	}
	var err error
	g.extractor, err = log.NewLineSampleExtractor(log.CountExtractor, nil, g.names, false, len(g.names) == 0)
	return g, err
}

// of is the Group of a columnar.CountQuery: LogQL's own extractor says which
// labels a stream's rows have when nothing but the stream has labels.
func (g *streamGroups) of(ls labels.Labels) int {
	if g.err != nil {
		return noSeries
	}
	for _, name := range g.names {
		if !ls.Has(name) {
			g.lacks[name] = true
		}
	}
	samples, ok := g.extractor.ForStream(ls.Copy()).Process(0, nil, labels.EmptyLabels())
	if !ok || len(samples) == 0 {
		return noSeries
	}
	var n int32
	n, g.err = g.series.number(samples[0].Labels)
	return int(n)
}

func (g *streamGroups) lacking() []string {
	return slices.Sorted(maps.Keys(g.lacks))
}

func sortedCopy(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return out
}
