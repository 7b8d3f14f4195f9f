package drain

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the drainer's own metrics.
type Metrics struct {
	evictions, refusals *prometheus.CounterVec
	nodes               *prometheus.CounterVec
}

// NewMetrics registers the drainer's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_drained_pods_total", Help: "Pods that were taken off nodes, by the reason for which the node is disrupted and by how."}, []string{"reason", "method"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_drain_waits_total", Help: "Pods that could not leave their node, by the reason for which the node is disrupted and by what was in the way, each time that it became another thing."}, []string{"reason", "code"}),
		nodes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_autoscaler_nodes_cordoned_total", Help: "Nodes that were closed to pods, and opened again."}, []string{"action"}),
	}
	reg.MustRegister(m.evictions, m.refusals, m.nodes)
	return m
}
