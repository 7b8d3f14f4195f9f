package claim

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the keeper's own metrics.
type Metrics struct {
	steps, refusals, failures, swept *prometheus.CounterVec
	boots                            prometheus.Histogram
	avoided                          prometheus.Gauge
	lost                             *prometheus.GaugeVec
}

// NewMetrics registers the keeper's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_claims_total", Help: "Steps that node claims took, by step."}, []string{"step"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_claims_refused_total", Help: "Purchases, claims and machines that came to nothing, by reason."}, []string{"reason"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_provider_failures_total", Help: "Calls to providers that failed and are tried again, by provider and call."}, []string{"provider", "call"}),
		swept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_claims_swept_total", Help: "What was found out of order and put in order, by what it was."}, []string{"what"}),
		boots: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_boot_seconds", Help: "Time from a claim's creation until its node took pods.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 12)}),
		avoided: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_offers_avoided", Help: "Offers that are not bought for a while because they failed."}),
		lost: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_claims_astray", Help: "Machines without a claim and claims without a machine at the last sweep, by provider and what it is."}, []string{"provider", "what"}),
	}
	reg.MustRegister(m.steps, m.refusals, m.failures, m.swept, m.boots, m.avoided, m.lost)
	return m
}
