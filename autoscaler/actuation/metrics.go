package actuation

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Metrics are the executor's own metrics.
type Metrics struct {
	actions, refusals *prometheus.CounterVec
	unnoted           prometheus.Counter
	braking, changed  prometheus.Gauge
	watched           prometheus.Gauge
	resizeSeconds     prometheus.Histogram
}

// NewMetrics registers the executor's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_resizes_total", Help: "What came of giving pods other sizes, each time that it became another result."}, []string{"method", "result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_resizes_refused_total", Help: "Changes of pods that were refused or blocked, by reason, each time that it became another one."}, []string{"method", "reason"}),
		unnoted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_resizes_unnoted_total", Help: "Resizes whose earlier sizes could not be written to the pod, so that a restarted autoscaler cannot take them back."}),
		braking: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_brake_closed", Help: "1 while so many pods were changed within an hour that only kills for memory are answered."}),
		changed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_pods_changed", Help: "Pods that were changed within the last hour."}),
		watched: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_pods_watched", Help: "Pods under vertical policies."}),
		resizeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_resize_seconds", Help: "Time from a resize being sent until the node was seen to have carried it out.",
			Buckets: prometheus.ExponentialBuckets(0.125, 2, 14)}),
	}
	reg.MustRegister(m.actions, m.refusals, m.unnoted, m.braking, m.changed, m.watched, m.resizeSeconds)
	return m
}

func (m *Metrics) count(a *decision.PodAction) {
	m.actions.WithLabelValues(string(a.Method), string(a.Result)).Inc()
	if a.Result == decision.Blocked || a.Result == decision.Refused {
		m.refusals.WithLabelValues(string(a.Method), a.Code).Inc()
	}
}
