package logs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel/stats"
	"github.com/grafana/loki/v3/pkg/util"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/yagura-dev/yagura/query/columnar"
)

// volumeRequest asks how many bytes of lines there are, by groups of streams.
type volumeRequest struct {
	selector   string
	start, end time.Time // both inclusive
	// step is the width of a bucket; zero asks for one sum at end.
	step  time.Duration
	limit int // the largest groups that are wanted
	// targets are the labels that groups have; none means those of the selector.
	targets []string
	// byLabel sums by the name of a label instead of by its values.
	byLabel bool
}

// volumes are the bytes of one group by bucket.
type volumes struct {
	metric labels.Labels
	total  int64
	points map[int64]int64 // by the bucket's time in Unix milliseconds
}

// volume sums the bytes of lines with the store's counts, which cost no decoding
// where blocks lie within a bucket. Of more groups than the request's limit those
// with the most bytes over the whole range are kept, so that the groups are the
// same in each bucket.
func (a *API) volume(ctx context.Context, req volumeRequest) (parser.Value, stats.Result, error) {
	began := time.Now()
	statistics, ctx := stats.NewContext(ctx)
	ms, err := selectorOrAll(req.selector)
	if err != nil {
		return nil, stats.Result{}, err
	}
	groups := newVolumeGroups(req, ms, a.cfg.MaxSeries)
	err = a.engine.bounded(ctx, req.start, req.end, func(ctx context.Context) error {
		for _, part := range req.parts() {
			counts, st, err := a.store.Count(ctx, columnar.CountQuery{
				Query: columnar.Query{
					Table: columnar.Logs, From: part.from, To: part.to,
					Matchers: groups.matchers, Budget: a.cfg.budget(),
				},
				Width: part.width, Group: groups.of, LineBytes: true,
			})
			addStoreStats(statistics, st)
			if err != nil {
				return err
			}
			if groups.overflow {
				return &LimitError{Limit: "maxSeries", Detail: fmt.Sprintf("it makes more than %d groups; name fewer labels in targetLabels", a.cfg.MaxSeries)}
			}
			for _, c := range counts {
				groups.add(c.Group, part.time(c.Bucket), c.Bytes)
			}
		}
		return nil
	})
	if err != nil {
		return nil, stats.Result{}, err
	}
	res := statistics.Result(time.Since(began), 0, len(groups.sums))
	return groups.result(req), res, nil
}

// volumePart is a run of buckets of one width that begins at from.
type volumePart struct {
	from, to int64 // From is inclusive, to exclusive, Unix nanoseconds
	width    int64
	last     int64 // the time of the range's end, Unix milliseconds
}

// time of a bucket is its last millisecond, as Loki has it, and the end of the
// range for the last one.
func (p volumePart) time(bucket int) int64 {
	if p.width == 0 {
		return p.last
	}
	return min(time.Duration(p.from+int64(bucket+1)*p.width).Milliseconds()-1, p.last)
}

// parts splits the range where steps are aligned to the epoch: what lies before
// the first boundary is a bucket of its own.
func (r volumeRequest) parts() []volumePart {
	from, to, last := unixNano(r.start), unixNano(r.end.Add(1)), r.end.UnixMilli()
	if r.step <= 0 {
		return []volumePart{{from: from, to: to, last: last}}
	}
	width := int64(r.step)
	boundary := from - from%width + width
	if from%width == 0 {
		boundary = from
	}
	var out []volumePart
	if first := min(boundary, to); from < first {
		out = append(out, volumePart{from: from, to: first, last: min(time.Duration(boundary).Milliseconds()-1, last)})
	}
	if boundary < to {
		out = append(out, volumePart{from: boundary, to: to, width: width, last: last})
	}
	return out
}

// volumeGroups maps streams to sums. By labels a stream counts in several sums,
// and the store is asked by sets of label names.
type volumeGroups struct {
	matchers []*labels.Matcher
	wanted   map[string]struct{}
	all      bool // every label is wanted
	byLabel  bool
	max      int
	overflow bool

	index map[string]int
	keys  [][]labels.Labels // by group: the sums that it adds to
	sums  map[string]*volumes
}

func newVolumeGroups(req volumeRequest, ms []*labels.Matcher, limit int) *volumeGroups {
	wanted, ms, all := util.PrepareLabelsAndMatchers(req.targets, ms)
	return &volumeGroups{
		matchers: ms, wanted: wanted,
		all:     all || len(ms) == 0 || req.byLabel && len(req.targets) == 0,
		byLabel: req.byLabel, max: limit,
		index: map[string]int{}, sums: map[string]*volumes{},
	}
}

// of is the group of a stream.
func (g *volumeGroups) of(stream labels.Labels) int {
	b := labels.NewScratchBuilder(len(g.wanted))
	stream.Range(func(l labels.Label) {
		if _, ok := g.wanted[l.Name]; ok || g.all {
			if g.byLabel {
				l.Value = ""
			}
			b.Add(strings.Clone(l.Name), strings.Clone(l.Value))
		}
	})
	kept := b.Labels()
	key := string(kept.Bytes(nil))
	if i, ok := g.index[key]; ok {
		return i
	}
	if len(g.index) >= g.max {
		g.overflow = true
		return -1
	}
	metrics := []labels.Labels{kept}
	if g.byLabel {
		metrics = metrics[:0]
		kept.Range(func(l labels.Label) { metrics = append(metrics, labels.FromStrings(l.Name, "")) })
	}
	i := len(g.keys)
	g.index[key] = i
	g.keys = append(g.keys, metrics)
	return i
}

func (g *volumeGroups) add(group int, at, bytes int64) {
	for _, metric := range g.keys[group] {
		name := metric.String()
		v := g.sums[name]
		if v == nil {
			v = &volumes{metric: metric, points: map[int64]int64{}}
			g.sums[name] = v
		}
		v.total += bytes
		v.points[at] += bytes
	}
}

// result is the largest groups first: a vector, or a matrix when steps were asked for.
func (g *volumeGroups) result(req volumeRequest) parser.Value {
	sorted := make([]*volumes, 0, len(g.sums))
	for _, v := range g.sums {
		sorted = append(sorted, v)
	}
	slices.SortFunc(sorted, func(a, b *volumes) int {
		return cmp.Or(cmp.Compare(b.total, a.total), labels.Compare(a.metric, b.metric))
	})
	sorted = sorted[:min(len(sorted), req.limit)]
	if req.step <= 0 {
		out := make(promql.Vector, len(sorted))
		for i, v := range sorted {
			out[i] = promql.Sample{Metric: v.metric, T: req.end.UnixMilli(), F: float64(v.total)}
		}
		return out
	}
	out := make(promql.Matrix, len(sorted))
	for i, v := range sorted {
		out[i].Metric = v.metric
		for at, bytes := range v.points {
			out[i].Floats = append(out[i].Floats, promql.FPoint{T: at, F: float64(bytes)})
		}
		slices.SortFunc(out[i].Floats, func(a, b promql.FPoint) int { return cmp.Compare(a.T, b.T) })
	}
	return out
}

// indexStats counts what a selector matches in [start, end].
func (a *API) indexStats(ctx context.Context, selector string, start, end time.Time) (*logproto.IndexStatsResponse, error) {
	ms, err := selectorOrAll(selector)
	if err != nil {
		return nil, err
	}
	out := &logproto.IndexStatsResponse{}
	err = a.engine.bounded(ctx, start, end, func(ctx context.Context) error {
		streams := 0
		counts, st, err := a.store.Count(ctx, columnar.CountQuery{
			Query: columnar.Query{
				Table: columnar.Logs, From: unixNano(start), To: unixNano(end.Add(1)),
				Matchers: ms, Budget: a.cfg.budget(),
			},
			Group:     func(labels.Labels) int { streams++; return streams - 1 },
			LineBytes: true,
		})
		for _, c := range counts {
			out.Entries += uint64(c.Rows)
			out.Bytes += uint64(c.Bytes)
		}
		out.Streams, out.Chunks = uint64(len(counts)), uint64(st.BlocksTotal)
		return err
	})
	return out, err
}

// selectorOrAll reads a stream selector; {} means all streams, though no query
// may say so.
func selectorOrAll(selector string) ([]*labels.Matcher, error) {
	if strings.ReplaceAll(selector, " ", "") == "{}" {
		return nil, nil
	}
	return syntax.ParseMatchers(selector, true)
}

func addStoreStats(sc *stats.Context, st columnar.Stats) {
	sc.AddDecompressedBytes(st.Bytes)
	sc.AddDecompressedLines(st.Rows)
	sc.AddCompressedBytes(st.CompressedBytes)
	sc.AddChunksRef(st.BlocksTotal)
	sc.AddChunksDownloaded(st.BlocksTotal - st.BlocksSkipped)
}
