package logs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/pattern/drain"
	"github.com/grafana/loki/v3/pkg/util/constants"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

const (
	// maxPatternSteps bounds the points of one pattern. A finer step is widened.
	maxPatternSteps = 500
	// maxPatterns bounds the answer to the most frequent ones.
	maxPatterns = 1000
	// detectedLevel is the field that ingest adds.
	detectedLevel = constants.LevelLabel
)

// patternsRequest asks which templates the lines of the streams follow.
type patternsRequest struct {
	selector   string
	start, end time.Time // end is exclusive
	step       time.Duration
}

// patterns mines templates at query time with Loki's own miner, one for each level
// and format. Of more than MaxPatternLines lines each step gives a sample, and the
// counts of a step are scaled to the lines that it has.
func (a *API) patterns(ctx context.Context, req patternsRequest) (*logproto.QueryPatternsResponse, error) {
	ms, err := selectorOrAll(req.selector)
	if err != nil {
		return nil, err
	}
	step := max(req.step, time.Second)
	if steps := req.end.Sub(req.start) / step; steps > maxPatternSteps {
		step *= time.Duration(math.Ceil(float64(steps) / maxPatternSteps))
	}
	m := newPatternMiner(step)
	err = a.engine.bounded(ctx, req.start, req.end, func(ctx context.Context) error {
		q := columnar.Query{
			Table: columnar.Logs, From: unixNano(req.start), To: unixNano(req.end), Matchers: ms,
			Columns: columnar.Columns{Line: true, Fields: []string{detectedLevel}},
		}
		exec := &execution{cfg: a.cfg}
		defer exec.close()
		samples, err := a.patternSamples(ctx, q, int64(step))
		if err != nil {
			return err
		}
		for _, s := range samples {
			if err := m.mine(ctx, exec, a.store, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &logproto.QueryPatternsResponse{Series: m.series()}, nil
}

// patternSample is a query for some of its lines, each of which stands for weight.
type patternSample struct {
	columnar.Query
	weight float64
}

// patternSamples is the query itself when it has few enough lines, and else one for
// each step that has lines.
func (a *API) patternSamples(ctx context.Context, q columnar.Query, step int64) ([]patternSample, error) {
	counted := q
	counted.From -= q.From % step
	counted.Budget = a.cfg.budget()
	counts, _, err := a.store.Count(ctx, columnar.CountQuery{Query: counted, Width: step})
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, c := range counts {
		total += c.Rows
	}
	limit := int64(a.cfg.MaxPatternLines)
	if total <= limit {
		return []patternSample{{q, 1}}, nil
	}
	share := max(limit/int64(len(counts)), 1)
	var out []patternSample
	for _, c := range counts {
		s := patternSample{q, 1}
		s.From = max(q.From, counted.From+int64(c.Bucket)*step)
		s.To = min(q.To, counted.From+int64(c.Bucket+1)*step)
		if c.Rows > share {
			s.Limit, s.weight = int(share), float64(c.Rows)/float64(share)
		}
		out = append(out, s)
	}
	return out, nil
}

// patternMiner counts lines by template and step.
type patternMiner struct {
	step   int64 // nanoseconds
	miners map[minerKey]*drain.Drain
	found  map[*drain.LogCluster]*patternCount
}

type minerKey struct{ level, format string }

type patternCount struct {
	level string
	steps map[int64]float64 // by the step's number since the epoch
}

func newPatternMiner(step time.Duration) *patternMiner {
	return &patternMiner{step: int64(step), miners: map[minerKey]*drain.Drain{}, found: map[*drain.LogCluster]*patternCount{}}
}

// mine reads the lines of a sample. The format of a stream is that of its first line.
func (m *patternMiner) mine(ctx context.Context, exec *execution, store columnar.Reader, s patternSample) error {
	sel, err := newSelection(ctx, exec, store, s.Query, func(labels.Labels) *string { return new(string) })
	if err != nil {
		return err
	}
	// A store that cannot stop at the limit goes on behind it.
	for n := 0; (s.Limit == 0 || n < s.Limit) && sel.next(); n++ {
		format := sel.stream().value
		line := sel.line()
		if *format == "" {
			*format = drain.DetectLogFormat(line)
		}
		level := constants.LogLevelUnknown
		if sel.batch.Fields != nil {
			for _, f := range sel.batch.Fields[sel.row] {
				if f.Name == detectedLevel {
					level = knownPatternLevel(f.Value)
				}
			}
		}
		m.count(minerKey{level, *format}, line, sel.timestamp(), s.weight)
	}
	if sel.err != nil {
		return sel.err
	}
	return sel.close()
}

// knownPatternLevel bounds the miners.
func knownPatternLevel(level string) string {
	if i := slices.Index(constants.LogLevels, level); i >= 0 {
		return constants.LogLevels[i]
	}
	return constants.LogLevelUnknown
}

func (m *patternMiner) count(key minerKey, line string, at int64, weight float64) {
	miner := m.miners[key]
	if miner == nil {
		cfg := drain.DefaultConfig()
		// The counts are kept here; the miner's own, of which it makes room for an hour
		// at once, are not used.
		cfg.MaxChunkAge, cfg.SampleInterval = time.Second, time.Second
		miner = drain.New("", cfg, drainLimits{}, key.format, nil)
		m.miners[key] = miner
	}
	cluster := miner.Train(line, 0)
	if cluster == nil {
		return // too short, too long, or too different from each other
	}
	c := m.found[cluster]
	if c == nil {
		c = &patternCount{level: key.level, steps: map[int64]float64{}}
		m.found[cluster] = c
	}
	c.steps[floorDiv(at, m.step)] += weight
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// series are the patterns, the most frequent first, each with a point for every
// step from its first to its last.
func (m *patternMiner) series() []*logproto.PatternSeries {
	type key struct{ level, pattern string }
	merged := map[key]map[int64]float64{}
	for cluster, c := range m.found {
		k := key{c.level, cluster.String()}
		if k.pattern == "" {
			continue
		}
		steps := merged[k]
		if steps == nil {
			merged[k] = c.steps
			continue
		}
		for at, n := range c.steps {
			steps[at] += n
		}
	}
	out := make([]*logproto.PatternSeries, 0, len(merged))
	totals := map[*logproto.PatternSeries]int64{}
	for k, steps := range merged {
		first, last := int64(math.MaxInt64), int64(math.MinInt64)
		for at := range steps {
			first, last = min(first, at), max(last, at)
		}
		s := &logproto.PatternSeries{Pattern: k.pattern, Level: k.level}
		for at := first; at <= last; at++ {
			n := int64(math.Round(steps[at]))
			totals[s] += n
			s.Samples = append(s.Samples, &logproto.PatternSample{Timestamp: model.TimeFromUnixNano(at * m.step), Value: n})
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *logproto.PatternSeries) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(a.Level, b.Level))
	})
	return out[:min(len(out), maxPatterns)]
}

// drainLimits names the keys of JSON lines whose values are text to mine.
type drainLimits struct{}

func (drainLimits) PatternIngesterTokenizableJSONFields(string) []string {
	return []string{"log", "message", "msg", "msg_", "_msg", "content"}
}
