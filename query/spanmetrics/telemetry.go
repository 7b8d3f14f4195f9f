package spanmetrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type telemetry struct {
	spans         *prometheus.CounterVec
	unpaired      *prometheus.CounterVec
	dropped       prometheus.Counter
	overflowCalls prometheus.Counter
	refused       prometheus.Counter
	failures      prometheus.Counter
	series        prometheus.Gauge
	edges         prometheus.Gauge
	pending       prometheus.Gauge
}

func newTelemetry(reg prometheus.Registerer) *telemetry {
	f := promauto.With(reg)
	t := &telemetry{
		spans: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_spans_total",
			Help: "Spans that were stored, by what became of them in the metrics: counted, overflow (counted together, beyond maxSeries) or too_old (not counted).",
		}, []string{"outcome"}),
		unpaired: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_unpaired_spans_total",
			Help: "Spans of calls whose other side did not come in time, by side.",
		}, []string{"side"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_dropped_spans_total",
			Help: "Spans left out of the service graph because maxPending others waited for their other side.",
		}),
		overflowCalls: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_overflow_calls_total",
			Help: "Calls between services that were counted together, beyond maxEdges.",
		}),
		refused: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_refused_samples_total",
			Help: "Samples of span metrics that the metrics store refused.",
		}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_spanmetrics_failed_flushes_total",
			Help: "Times that the metrics store took no span metrics; the next time writes what they have become.",
		}),
		series: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_spanmetrics_series", Help: "Combinations of labels that operations are counted by.",
		}),
		edges: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_spanmetrics_edges", Help: "Edges of the service graph.",
		}),
		pending: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_spanmetrics_pending_spans", Help: "Spans that wait for the other side of their call.",
		}),
	}
	for _, o := range []string{"counted", "overflow", "too_old"} {
		t.spans.WithLabelValues(o)
	}
	for _, s := range []string{"client", "server"} {
		t.unpaired.WithLabelValues(s)
	}
	return t
}
