package logs

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// alwaysDetected are labels that are worth offering whatever their values are.
var alwaysDetected = []string{"cluster", "namespace", "instance", "pod"}

// detectedLabels are the labels of the streams that are worth choosing by, each
// with its number of values: those whose values are all numbers or UUIDs are not.
func (a *API) detectedLabels(ctx context.Context, selector string, start, end time.Time) (*logproto.DetectedLabelsResponse, error) {
	var ms []*labels.Matcher
	if selector != "" {
		var err error
		if ms, err = selectorOrAll(selector); err != nil {
			return nil, err
		}
	}
	values := map[string]map[string]struct{}{}
	err := a.engine.bounded(ctx, start, end, func(ctx context.Context) error {
		streams, err := a.store.Streams(ctx, columnar.Logs, nil, unixNano(start), unixNano(end.Add(1)), ms)
		for _, stream := range streams {
			stream.Range(func(l labels.Label) {
				set := values[l.Name]
				if set == nil {
					set = map[string]struct{}{}
					values[strings.Clone(l.Name)] = set
				}
				if _, ok := set[l.Value]; !ok {
					set[strings.Clone(l.Value)] = struct{}{}
				}
			})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &logproto.DetectedLabelsResponse{}
	for name, set := range values {
		if slices.Contains(alwaysDetected, name) || !allIdentifiers(set) {
			out.DetectedLabels = append(out.DetectedLabels, &logproto.DetectedLabel{Label: name, Cardinality: uint64(len(set))})
		}
	}
	slices.SortFunc(out.DetectedLabels, func(a, b *logproto.DetectedLabel) int { return cmp.Compare(a.Label, b.Label) })
	return out, nil
}

// allIdentifiers reports whether every value is a number or a UUID, and the values
// are not those of a boolean.
func allIdentifiers(values map[string]struct{}) bool {
	boolean := len(values) <= 2
	for v := range values {
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			if _, err := uuid.Parse(v); err != nil {
				return false
			}
		}
		boolean = boolean && (v == "0" || v == "1")
	}
	return !boolean
}
