package nodes

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the loop's own metrics.
type Metrics struct {
	nodes                                 *prometheus.GaugeVec
	cost                                  *prometheus.GaugeVec
	lowerBound, pending, unschedulable    prometheus.Gauge
	planSeconds, buySeconds, tickSeconds  prometheus.Histogram
	decideSeconds, claimSeconds           *prometheus.HistogramVec
	bought, refused, moves, events, steps *prometheus.CounterVec
	records, held                         prometheus.Counter

	foreseenPods                           prometheus.Gauge
	forecasts, samplesDropped, boughtAhead *prometheus.CounterVec
	foreignFailed                          *prometheus.CounterVec
}

// NewMetrics registers the loop's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 16)
	return &Metrics{
		nodes: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_nodes", Help: "Nodes and claims without one, by policy (empty for nodes that no policy made), phase, zone and capacity type.",
		}, []string{"policy", "phase", "zone", "capacity_type"}),
		cost: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_node_cost_per_hour", Help: "What the nodes of a policy cost per hour, in the unit of the provider's prices.",
		}, []string{"policy"}),
		lowerBound: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_node_cost_lower_bound", Help: "Price per hour that no set of nodes for the same pods can be below, 0 while it is not known for the fleet."}),
		pending: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_pods_pending", Help: "Pods without a node."}),
		unschedulable: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_pods_unschedulable", Help: "Pods for which no node may be bought."}),
		planSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_plan_seconds", Help: "Time that plans took.", Buckets: seconds}),
		buySeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_purchase_seconds", Help: "Time that charging and making claims took.", Buckets: seconds}),
		tickSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_tick_seconds", Help: "Time that a look at everything took.", Buckets: seconds}),
		decideSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_decision_seconds", Help: "Time that decisions about nodes that there are took, by whether they are about repair, upgrade or consolidation.", Buckets: seconds,
		}, []string{"about"}),
		claimSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yagura_autoscaler_node_claim_seconds", Help: "Time that a step for a claim took, the provider's answer included, by provider.", Buckets: seconds,
		}, []string{"provider"}),
		bought: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_claims_bought_total", Help: "Claims that were charged and made, by policy."}, []string{"policy"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_purchases_refused_total", Help: "Purchases that were not made, by reason: conflict, limit or error."}, []string{"reason"}),
		moves: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_moves_total", Help: "Moves of nodes, by reason and by whether they began, were done or were taken back."}, []string{"reason", "outcome"}),
		steps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_repairs_total", Help: "Steps of repair that were begun, by step and result."}, []string{"step", "result"}),
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_events_total", Help: "Kubernetes events about nodes, by whether they were written."}, []string{"result"}),
		records: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_records_total", Help: "Decisions about nodes that were recorded."}),
		held: f.NewCounter(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_holds_total", Help: "Rounds in which nothing was decided, since the cluster could not be trusted to be as it was seen."}),
		foreseenPods: f.NewGauge(prometheus.GaugeOpts{
			Name: "yagura_autoscaler_pods_foreseen", Help: "Pods that are foreseen and not asked for yet."}),
		forecasts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_forecasts_total", Help: "Forecasts of replicas, by the model that was believed: Trend, Daily, Weekly or None."}, []string{"model"}),
		samplesDropped: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_forecast_samples_dropped_total", Help: "Samples for forecasts that were not kept, by reason: unknown (a signal was) or limit (too many workloads)."}, []string{"reason"}),
		boughtAhead: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_node_claims_bought_ahead_total", Help: "Of the claims that were made, those for a forecast, by policy."}, []string{"policy"}),
		foreignFailed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_foreign_machine_lists_failed_total", Help: "Failed attempts to list the machines of providers that only read, by provider."}, []string{"provider"}),
	}
}

// forget ends what only a leader knows.
func (m *Metrics) forget() {
	m.nodes.Reset()
	m.cost.Reset()
	m.lowerBound.Set(0)
	m.pending.Set(0)
	m.unschedulable.Set(0)
	m.foreseenPods.Set(0)
}

// show sets the gauges from a view.
func (m *Metrics) show(v *View, unschedulable int) {
	m.nodes.Reset()
	m.cost.Reset()
	for i := range v.Nodes {
		n := &v.Nodes[i]
		m.nodes.WithLabelValues(n.Policy, n.Phase, n.Zone, n.CapacityType).Inc()
		m.cost.WithLabelValues(n.Policy).Add(n.PricePerHour)
	}
	m.lowerBound.Set(v.LowerBound)
	m.pending.Set(float64(v.PendingCount))
	m.unschedulable.Set(float64(unschedulable))
}
