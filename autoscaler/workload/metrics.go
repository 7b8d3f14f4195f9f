package workload

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the controller's own metrics.
type Metrics struct {
	evaluations, changes, events *prometheus.CounterVec
	records, missed, patches     prometheus.Counter
	policies                     prometheus.Gauge
	tickSeconds                  prometheus.Histogram
}

// NewMetrics registers the controller's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_evaluations_total", Help: "Evaluations of policies, by outcome."}, []string{"outcome"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_changes_total", Help: "Changes of a target's replicas that were carried out, by outcome."}, []string{"outcome"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_events_total", Help: "Kubernetes events, by whether they were written."}, []string{"result"}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_records_total", Help: "Decisions that were recorded."}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_missed_ticks_total", Help: "Ticks that were left out because the one before took too long."}),
		patches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_status_patches_total", Help: "Writes of a policy's status."}),
		policies: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_policies", Help: "Policies that are carried out."}),
		tickSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_tick_seconds", Help: "Time that a round of evaluations took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}
	reg.MustRegister(m.evaluations, m.changes, m.events, m.records, m.missed, m.patches, m.policies, m.tickSeconds)
	return m
}
