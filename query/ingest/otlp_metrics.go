package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// conversion is how OTLP metrics become Prometheus series: names with unit and
// type suffixes and underscores (UnderscoreEscapingWithSuffixes), the mapped
// resource attributes as labels, the rest of the resource in target_info,
// exponential histograms as native ones.
var conversion = sync.OnceValue(func() prometheusremotewrite.Settings {
	return prometheusremotewrite.Settings{
		AddMetricSuffixes: true,
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{
			PromoteResourceAttributes: promotedAttributes(),
		}),
		LookbackDelta: 5 * time.Minute,
	}
})

// storeOTLPMetrics converts and stores the metrics, changing them on the way.
func (g *Ingester) storeOTLPMetrics(ctx context.Context, id columnar.BatchID, md pmetric.Metrics) (*refusals, error) {
	refused := &refusals{}
	for _, rm := range md.ResourceMetrics().All() {
		g.prepareResourceMetrics(rm, refused)
	}
	_, duplicate, err := g.storeSamples(ctx, id, refused, func(app *metrics.Appender) error {
		guard := &fatalGuard{Appender: app}
		converter := prometheusremotewrite.NewPrometheusConverter(guard)
		_, err := converter.FromMetrics(ctx, md, conversion())
		switch {
		case guard.err != nil:
			return guard.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			// What the preparation let through and the conversion cannot name: a metric
			// or label whose name has no usable character.
			for _, e := range joined(err) {
				app.Refuse(metrics.ReasonInvalidLabels, labels.EmptyLabels(), e.Error())
			}
		}
		return nil
	})
	if duplicate {
		return &refusals{}, nil
	}
	return refused, err
}

// fatalGuard keeps hold of the error that must fail the whole batch: the
// conversion goes on after an error and joins them all.
type fatalGuard struct {
	*metrics.Appender
	err error
}

func (f *fatalGuard) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if f.err != nil {
		return 0, f.err
	}
	ref, err := f.Appender.Append(ref, ls, st, t, v, h, fh, opts)
	f.err = err
	return ref, err
}

func (f *fatalGuard) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, es []exemplar.Exemplar) (storage.SeriesRef, error) {
	if f.err != nil {
		return 0, f.err
	}
	ref, err := f.Appender.AppendExemplars(ref, ls, es)
	f.err = err
	return ref, err
}

func joined(err error) []error {
	var list interface{ Unwrap() []error }
	if !errors.As(err, &list) {
		return []error{err}
	}
	var out []error
	for _, e := range list.Unwrap() {
		out = append(out, joined(e)...)
	}
	return out
}

// prepareResourceMetrics applies the mapping and takes out what cannot be stored,
// counting each data point.
func (g *Ingester) prepareResourceMetrics(rm pmetric.ResourceMetrics, refused *refusals) {
	tenant := TenantOf(StreamLabels(rm.Resource().Attributes()))
	taken := mapMetricResource(rm.Resource().Attributes())
	// The conversion writes a target_info sample for every few minutes between the
	// oldest and the newest point of a resource: a single point from 1970 would
	// cause millions. Points that far behind are too old for the store anyway.
	oldest := newestPoint(rm, g.now()).Add(-g.window)
	for _, sm := range rm.ScopeMetrics().All() {
		sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
			if reason, text := checkMetric(m); reason != "" {
				refused.add(tenant, reason, text, max(1, dataPoints(m)))
				return true
			}
			removePoints(m, func(p point) bool {
				reason, text := checkPoint(p, m.Name(), oldest)
				if reason != "" {
					refused.add(tenant, reason, text, 1)
					return true
				}
				mapMetricAttributes(p.Attributes(), taken)
				return false
			})
			return false
		})
	}
}

// point is what the data points of all metric types have in common.
type point interface {
	Timestamp() pcommon.Timestamp
	Attributes() pcommon.Map
}

func checkMetric(m pmetric.Metric) (reason, text string) {
	if m.Name() == "" {
		return reasonInvalidMetric, "a metric has no name"
	}
	temporality := pmetric.AggregationTemporalityCumulative
	switch m.Type() {
	case pmetric.MetricTypeEmpty:
		return reasonInvalidMetric, fmt.Sprintf("metric %q has no data", short(m.Name()))
	case pmetric.MetricTypeSum:
		temporality = m.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		temporality = m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		temporality = m.ExponentialHistogram().AggregationTemporality()
	}
	if temporality != pmetric.AggregationTemporalityCumulative {
		return reasonDeltaTemporality, fmt.Sprintf("metric %q has %s temporality; only cumulative is stored", short(m.Name()), temporality)
	}
	return "", ""
}

func checkPoint(p point, name string, oldest time.Time) (reason, text string) {
	if at := p.Timestamp().AsTime(); at.Before(oldest) {
		return reasonBehindItsResource, fmt.Sprintf("metric %q has a point at %s, too far behind the newest of its resource", short(name), at.Format(time.RFC3339Nano))
	}
	if _, ok := p.Attributes().Get(""); ok {
		return reasonInvalidLabels, fmt.Sprintf("metric %q has a point with an attribute without a name", short(name))
	}
	return "", ""
}

// removePoints removes the data points that remove returns true for.
func removePoints(m pmetric.Metric, remove func(point) bool) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return remove(p) })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return remove(p) })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool { return remove(p) })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool { return remove(p) })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(p pmetric.SummaryDataPoint) bool { return remove(p) })
	}
}

func dataPoints(m pmetric.Metric) int {
	n := 0
	removePoints(m, func(point) bool { n++; return false })
	return n
}

// newestPoint is the newest timestamp of a resource's points that is not far ahead
// of the clock; those are refused by the store.
func newestPoint(rm pmetric.ResourceMetrics, now time.Time) time.Time {
	latest := pcommon.NewTimestampFromTime(now.Add(time.Hour))
	var newest pcommon.Timestamp
	for _, sm := range rm.ScopeMetrics().All() {
		for _, m := range sm.Metrics().All() {
			removePoints(m, func(p point) bool {
				if t := p.Timestamp(); t <= latest {
					newest = max(newest, t)
				}
				return false
			})
		}
	}
	return newest.AsTime()
}
