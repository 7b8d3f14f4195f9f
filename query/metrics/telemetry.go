package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type storeMetrics struct {
	batches *prometheus.CounterVec
	samples *prometheus.CounterVec
	refused *prometheus.CounterVec
	append  prometheus.Histogram
}

func newStoreMetrics(reg prometheus.Registerer) *storeMetrics {
	f := promauto.With(reg)
	return &storeMetrics{
		batches: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_metrics_batches_total",
			Help: "Batches offered to the metrics store, by outcome (stored, duplicate, disk_full, failed).",
		}, []string{"outcome"}),
		samples: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_metrics_samples_total",
			Help: "What the metrics store took, by kind (float, histogram, exemplar).",
		}, []string{"kind"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_metrics_refused_total",
			Help: "Samples and exemplars that the metrics store refused, by reason.",
		}, []string{"reason"}),
		append: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "yagura_metrics_append_seconds",
			Help:    "Time to append and commit one batch.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
}

func (m *storeMetrics) observe(r Result, took time.Duration) {
	m.batches.WithLabelValues("stored").Inc()
	m.samples.WithLabelValues("float").Add(float64(r.Samples))
	m.samples.WithLabelValues("histogram").Add(float64(r.Histograms))
	m.samples.WithLabelValues("exemplar").Add(float64(r.Exemplars))
	for reason, n := range r.Refused {
		m.refused.WithLabelValues(string(reason)).Add(float64(n))
	}
	m.append.Observe(took.Seconds())
}
