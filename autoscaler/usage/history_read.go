package usage

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// read reads a history: aggregates first, then raw series where there are none, newest first.
func (f *Feeder) read(ctx context.Context, q wish) (*history, error) {
	h := newHistory()
	if err := f.readAggregates(ctx, q, h); err != nil {
		return nil, err
	}
	if err := f.findResolution(ctx, patternSelector(alternatives([]string{q.workload.Namespace}), q.roles[sizing.DefaultRole])); err != nil {
		return nil, err
	}
	aggregates := 0
	for _, points := range h.points {
		aggregates = max(aggregates, len(points))
	}
	raw, err := f.readGaps(ctx, q, h)
	if err != nil {
		return nil, err
	}
	h.order()
	h.read = fmt.Sprintf("%s of history read: %d aggregates, %s of raw series", short(q.window), aggregates, short(raw))
	return h, nil
}

// readAggregates reads what was sent back, in two parts: the older one in coarse steps.
func (f *Feeder) readAggregates(ctx context.Context, q wish, h *history) error {
	end := q.now.Add(-exportDelay).Truncate(aggregateStep)
	start := q.now.Add(-q.window)
	split := start
	if q.window > fineWindow {
		split = end.Add(-fineWindow).Truncate(coarseStep)
	}
	if err := f.readAggregated(ctx, q, h, split, end, aggregateStep); err != nil {
		return err
	}
	if split.After(start) {
		return f.readAggregated(ctx, q, h, start.Truncate(coarseStep).Add(coarseStep), split, coarseStep)
	}
	return nil
}

func (f *Feeder) readAggregated(ctx context.Context, q wish, h *history, from, to time.Time, step time.Duration) error {
	s := fmt.Sprintf("{target_namespace=%s,target_kind=%s,target_name=%s}",
		strconv.Quote(q.workload.Namespace), strconv.Quote(q.workload.Kind), strconv.Quote(q.workload.Name))
	// A step's aggregates came within half a step after the end of each; see exportDelay.
	read := func(metric, over string) ([]signal.Series, error) {
		series, err := f.deps.Signals.Range(ctx, signal.RangeQuery{
			Query: fmt.Sprintf("max by (role, target_container) (%s(%s%s[%s]))", over, metric, s, promDuration(step)),
			Start: from.Add(exportDelay), End: to.Add(exportDelay), Step: step, Timeout: time.Duration(f.cfg.QueryTimeout),
		})
		if err != nil {
			return nil, fmt.Errorf("read aggregates: %w", err)
		}
		return series, nil
	}
	for _, r := range []struct {
		resource   corev1.ResourceName
		peak, mean string
	}{{corev1.ResourceCPU, metricCPUPeak, metricCPUMean}, {corev1.ResourceMemory, metricMemoryPeak, metricMemoryMean}} {
		peaks, err := read(r.peak, "max_over_time")
		if err != nil {
			return err
		}
		if len(peaks) == 0 {
			continue
		}
		means, err := read(r.mean, "avg_over_time")
		if err != nil {
			return err
		}
		h.join(peaks, means, func(labels map[string]string) sizing.Key {
			return sizing.Key{Role: labels["role"], Container: labels["target_container"], Resource: r.resource}
		}, exportDelay)
	}
	kills, err := read(metricKills, "max_over_time")
	if err != nil || len(kills) == 0 {
		return err
	}
	limits, err := read(metricKillLimit, "max_over_time")
	if err != nil {
		return err
	}
	h.addKills(kills, limits)
	return nil
}

// join makes points of peaks and means.
func (h *history) join(peaks, means []signal.Series, keyOf func(map[string]string) sizing.Key, shift time.Duration) {
	byKey := make(map[sizing.Key]map[int64]float64, len(means))
	for _, s := range means {
		values := make(map[int64]float64, len(s.Points))
		for _, p := range s.Points {
			values[p.Time] = p.Value
		}
		byKey[keyOf(s.Labels)] = values
	}
	for _, s := range peaks {
		key := keyOf(s.Labels)
		means := byKey[key]
		points := slices.Grow(h.points[key], len(s.Points))
		for _, p := range s.Points {
			if !usable(p.Value) {
				continue
			}
			mean, ok := means[p.Time]
			if !ok || !usable(mean) {
				mean = p.Value
			}
			points = append(points, point{at: p.Time - shift.Milliseconds(), peak: p.Value, mean: mean})
		}
		h.points[key] = points
	}
}

func usable(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) && v >= 0 }

func (h *history) addKills(kills, limits []signal.Series) {
	type instant struct {
		role, container string
		at              int64
	}
	known := map[instant]float64{}
	for _, s := range limits {
		for _, p := range s.Points {
			known[instant{s.Labels["role"], s.Labels["target_container"], p.Time}] = p.Value
		}
	}
	for _, s := range kills {
		key := sizing.Key{Role: s.Labels["role"], Container: s.Labels["target_container"], Resource: corev1.ResourceMemory}
		for _, p := range s.Points {
			if p.Value > 0 {
				h.kills[key] = append(h.kills[key], pastKill{
					at: p.Time - exportDelay.Milliseconds(), limit: known[instant{key.Role, key.Container, p.Time}],
				})
			}
		}
	}
}

// gap is a time without aggregates.
type gap struct{ from, to time.Time }

// gaps finds the times without aggregates, newest first.
func (h *history) gaps(from, to time.Time) []gap {
	seen := map[int64]bool{}
	for key, points := range h.points {
		if key.Role == sizing.DefaultRole {
			for _, p := range points {
				seen[p.at] = true
			}
		}
	}
	times := make([]int64, 0, len(seen))
	for at := range seen {
		times = append(times, at)
	}
	slices.Sort(times)
	var gaps []gap
	end := to
	for _, at := range slices.Backward(times) {
		begin := time.UnixMilli(at)
		if end.Sub(begin) >= leastGap && begin.Before(end) {
			gaps = append(gaps, gap{begin, end})
		}
		end = begin.Add(-aggregateStep)
		if to.Sub(begin) > fineWindow {
			end = begin.Add(-coarseStep)
		}
	}
	if end.Sub(from) >= leastGap {
		gaps = append(gaps, gap{from, end})
	}
	return gaps
}

// longestSegment is the longest time that one query reads raw series of.
const longestSegment = 24 * time.Hour

// readGaps reads raw series where there are no aggregates, as far as the budget reaches, and returns how much time that was.
func (f *Feeder) readGaps(ctx context.Context, q wish, h *history) (total time.Duration, err error) {
	from := q.now.Add(-q.window)
	if !q.full && len(h.points) == 0 {
		from = q.now.Add(-recentRaw)
	}
	budget := float64(f.cfg.RawSamples)
	perSecond := max(1, float64(q.series)) * rawReads / f.spacing().Seconds()
	for _, g := range h.gaps(from, q.now) {
		for g.to.Sub(g.from) > 0 {
			segment := min(g.to.Sub(g.from), longestSegment)
			if affordable := time.Duration(budget / perSecond * float64(time.Second)); segment > affordable {
				segment = affordable.Truncate(aggregateStep)
			}
			if segment < aggregateStep {
				if g.to.Sub(g.from) >= leastGap {
					h.short = fmt.Sprintf("what lies before %s was not read: rawSamples is spent", g.to.UTC().Format(time.RFC3339))
					return total, nil
				}
				break
			}
			begin := g.to.Add(-segment)
			if err := f.readRaw(ctx, q, h, begin, g.to); err != nil {
				if signal.Refused(err) {
					h.short = fmt.Sprintf("what lies before %s was not read: %v", g.to.UTC().Format(time.RFC3339), err)
					return total, nil
				}
				return total, err
			}
			budget -= perSecond * segment.Seconds()
			total += segment
			g.to = begin
		}
	}
	return total, nil
}

// rawReads is how many series are read for one container: of CPU, of memory and its cache and pressure, and of kills.
const rawReads = 8

// readRaw reads raw series in steps of aggregates.
func (f *Feeder) readRaw(ctx context.Context, q wish, h *history, from, to time.Time) error {
	first := from.Truncate(aggregateStep).Add(aggregateStep)
	last := to.Truncate(aggregateStep)
	// The newest minutes are a step that is not over.
	if q.now.Sub(to) < aggregateStep && to.After(last) {
		last = last.Add(aggregateStep)
	}
	if last.Before(first) {
		return nil
	}
	window := f.window()
	for role, pods := range q.roles {
		s := patternSelector(alternatives([]string{q.workload.Namespace}), pods)
		read := func(query string) ([]signal.Series, error) {
			series, err := f.deps.Signals.Range(ctx, signal.RangeQuery{
				Query: query, Start: first, End: last, Step: aggregateStep, Timeout: time.Duration(f.cfg.QueryTimeout),
			})
			if err != nil {
				return nil, fmt.Errorf("read raw series: %w", err)
			}
			return series, nil
		}
		for _, resource := range q.resources {
			peak, mean, ok := s.past(resource, window)
			if !ok {
				continue
			}
			peaks, err := read(peak)
			if err != nil {
				return err
			}
			if len(peaks) == 0 {
				continue
			}
			means, err := read(mean)
			if err != nil {
				return err
			}
			h.join(clip(peaks, q.now), clip(means, q.now), func(labels map[string]string) sizing.Key {
				return sizing.Key{Role: role, Container: labels["container"], Resource: resource}
			}, 0)
		}
		kills, err := read("sum by (container) (increase(" + s.over("container_oom_events_total", aggregateStep) + ")) > 0.5")
		if err != nil {
			return err
		}
		for _, series := range clip(kills, q.now) {
			key := sizing.Key{Role: role, Container: series.Labels["container"], Resource: corev1.ResourceMemory}
			for _, p := range series.Points {
				h.kills[key] = append(h.kills[key], pastKill{at: p.Time})
			}
		}
	}
	return nil
}

// clip moves the step that is not over to now: a sample from the future would keep a model from taking those of the present.
func clip(series []signal.Series, now time.Time) []signal.Series {
	limit := now.UnixMilli()
	for i := range series {
		points := series[i].Points
		if n := len(points); n > 0 && points[n-1].Time > limit {
			points[n-1].Time = limit
		}
	}
	return series
}

// past are the queries for the peak and the mean of five minutes, of all pods together, as the measurements of those minutes would have
// found them.
func (s selector) past(resource corev1.ResourceName, window time.Duration) (peak, mean string, ok bool) {
	query, metric, ok := s.usage(resource, aggregateStep)
	peak = "max by (container) (" + query + ")"
	mean = "avg by (container) (avg_over_time(" + s.over(metric, aggregateStep) + "))"
	if resource == corev1.ResourceCPU {
		mean = "avg by (container) (" + query + ")"
		peak = fmt.Sprintf("max by (container) (max_over_time((rate(%s))[%s:%s]))",
			s.over(metric, window), promDuration(aggregateStep), promDuration(min(window, aggregateStep)))
	}
	return peak, mean, ok
}

func short(d time.Duration) string {
	d = d.Round(time.Minute)
	if d >= time.Hour && d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%gm", d.Minutes())
}
