package admission

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the webhook's metrics. They outlive servers.
type Metrics struct {
	reviews  *prometheus.CounterVec
	seconds  prometheus.Histogram
	up       prometheus.Gauge
	expiry   prometheus.Gauge
	missed   prometheus.Counter
	failures *prometheus.CounterVec
}

// NewMetrics registers the webhook's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_admission_reviews_total",
			Help: "Reviews of pods that were to be created, by result. With results other than Sized they were created as they came."}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_admission_review_seconds", Help: "Time that a review took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15)}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_admission_up",
			Help: "1 while the API server is told to call this webhook, trusts what it serves, and no pod was seen since that came without a call; else 0."}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_admission_certificate_expiry_timestamp_seconds", Help: "When the certificate that is served expires."}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_admission_missed_pods_total",
			Help: "Pods that were created as their manifest says although a policy had sizes for them, since the webhook was not called. The leader counts."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_admission_failures_total", Help: "What the webhook could not do beside its reviews, by what it was."}, []string{"task"}),
	}
	for _, r := range results {
		m.reviews.WithLabelValues(string(r))
	}
	for _, t := range tasks {
		m.failures.WithLabelValues(t)
	}
	reg.MustRegister(m.reviews, m.seconds, m.up, m.expiry, m.missed, m.failures)
	return m
}

// What is done beside reviews.
const (
	taskCertificates = "Certificates"
	taskRegistration = "Registration"
	taskWatch        = "Watch"
	taskConnection   = "Connection"
)

var tasks = []string{taskCertificates, taskRegistration, taskWatch, taskConnection}
