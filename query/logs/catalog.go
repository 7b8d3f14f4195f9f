package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// LabelNames returns the names of the labels of all streams that match the
// selector (empty for all) and have a line in [start, end], sorted.
func (e *Engine) LabelNames(ctx context.Context, start, end time.Time, selector string) ([]string, error) {
	return e.distinct(ctx, start, end, selector, func(l labels.Labels, add func(string)) {
		l.Range(func(l labels.Label) { add(l.Name) })
	})
}

// LabelValues returns the values of one label, as LabelNames does names.
func (e *Engine) LabelValues(ctx context.Context, name string, start, end time.Time, selector string) ([]string, error) {
	return e.distinct(ctx, start, end, selector, func(l labels.Labels, add func(string)) {
		if v := l.Get(name); v != "" {
			add(v)
		}
	})
}

func (e *Engine) distinct(ctx context.Context, start, end time.Time, selector string, visit func(labels.Labels, func(string))) ([]string, error) {
	var ms []*labels.Matcher
	if selector != "" {
		var err error
		if ms, err = syntax.ParseMatchers(selector, true); err != nil {
			return nil, err
		}
	}
	streams, err := e.streams(ctx, start, end, [][]*labels.Matcher{ms})
	if err != nil {
		return nil, err
	}
	set := map[string]struct{}{}
	for _, l := range streams {
		visit(l, func(s string) { set[s] = struct{}{} })
	}
	out := make([]string, 0, len(set))
	for s := range set {
		out = append(out, strings.Clone(s))
	}
	slices.Sort(out)
	return out, nil
}

// Series returns the label sets of all streams that match any of the selectors
// (none for all) and have a line in [start, end], in label order.
func (e *Engine) Series(ctx context.Context, start, end time.Time, selectors []string) ([]labels.Labels, error) {
	groups := [][]*labels.Matcher{nil}
	if len(selectors) > 0 {
		parsed, err := logql.MatchForSeriesRequest(selectors)
		if err != nil {
			return nil, err
		}
		groups = parsed
	}
	out, err := e.streams(ctx, start, end, groups)
	if err != nil {
		return nil, err
	}
	if len(out) > e.cfg.MaxSeries {
		return nil, &LimitError{Limit: "maxSeries", Detail: fmt.Sprintf("it matches %d streams, more than %d", len(out), e.cfg.MaxSeries)}
	}
	return out, nil
}

// streams is the union of what the groups match.
func (e *Engine) streams(ctx context.Context, start, end time.Time, groups [][]*labels.Matcher) (out []labels.Labels, err error) {
	err = e.bounded(ctx, start, end, func(ctx context.Context) error {
		for _, ms := range groups {
			streams, err := e.store.Streams(ctx, columnar.Logs, nil, unixNano(start), unixNano(end.Add(1)), ms)
			if err != nil {
				return err
			}
			out = append(out, streams...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(groups) > 1 {
		slices.SortFunc(out, labels.Compare)
		out = slices.CompactFunc(out, labels.Equal)
	}
	return out, nil
}
