package usage

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the feeder's own metrics.
type Metrics struct {
	workloads, containers prometheus.Gauge
	refused               *prometheus.CounterVec
	measurements          *prometheus.CounterVec
	seconds               prometheus.Histogram
	samples               *prometheus.CounterVec
	kills                 *prometheus.CounterVec
	loads                 *prometheus.CounterVec
	loadSeconds           *prometheus.HistogramVec
	starts                *prometheus.CounterVec
}

// NewMetrics registers the feeder's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	factory := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Name: "yagura_autoscaler_usage_" + name, Help: help}, labels)
	}
	return &Metrics{
		workloads: factory.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_usage_workloads", Help: "Workloads whose usage is followed.",
		}),
		containers: factory.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_usage_containers", Help: "Containers of pods whose usage is followed.",
		}),
		refused:      counter("refused_total", "Workloads that were not followed in a round, by reason.", "reason"),
		measurements: counter("measurements_total", "Measurements of all workloads together, by result.", "result"),
		seconds: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_usage_measurement_seconds", Help: "Time that a measurement of all workloads took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
		samples: counter("samples_total", "Samples given to models, by result.", "result"),
		kills:   counter("oom_kills_total", "Kills for memory that were seen, by where they were seen first.", "source"),
		loads:   counter("history_loads_total", "Histories that were read, by extent and result.", "extent", "result"),
		loadSeconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_usage_history_seconds", Help: "Time that reading a history took, by extent.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 16),
		}, []string{"extent"}),
		starts: counter("starts_total", "Starts of containers that were measured, by result.", "result"),
	}
}
