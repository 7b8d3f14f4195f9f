package journal

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// nodeGroup is what the nodes are counted by.
type nodeGroup struct{ policy, phase, zone, capacityType string }

// nodeCounts are the numbers of a fleet. A view of thousands of nodes is counted once, not at every export.
type nodeCounts struct {
	nodes      map[nodeGroup]int64
	cost       map[string]float64
	lowerBound float64
	pending    int64
}

// Fleet takes the nodes for the gauges. A nil view ends them: whoever stops leading knows nothing of the nodes any more.
func (j *Journal) Fleet(view *fleet.View) {
	var counts *nodeCounts
	if view != nil {
		counts = &nodeCounts{nodes: map[nodeGroup]int64{}, cost: map[string]float64{}, lowerBound: view.LowerBound, pending: int64(view.PendingCount)}
		for i := range view.Nodes {
			n := &view.Nodes[i]
			counts.nodes[nodeGroup{n.Policy, n.Phase, n.Zone, n.CapacityType}]++
			counts.cost[n.Policy] += n.PricePerHour
		}
	}
	j.fleet.Store(counts)
}

func (j *Journal) registerFleet(meter metric.Meter) error {
	nodes, err1 := meter.Int64ObservableGauge("yagura_autoscaler_fleet_nodes", metric.WithDescription("Nodes, by policy (empty for those that no policy made), phase, zone and capacity type."))
	cost, err2 := meter.Float64ObservableGauge("yagura_autoscaler_fleet_cost_per_hour", metric.WithDescription("What the nodes of a policy cost per hour."))
	bound, err3 := meter.Float64ObservableGauge("yagura_autoscaler_fleet_cost_lower_bound", metric.WithDescription("Price per hour that no set of nodes for the same pods can be below."))
	pending, err4 := meter.Int64ObservableGauge("yagura_autoscaler_fleet_pods_pending", metric.WithDescription("Pods without a node."))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		counts := j.fleet.Load()
		if counts == nil {
			return nil
		}
		for g, n := range counts.nodes {
			// Not zone and the like alone: those labels say where a series comes from.
			o.ObserveInt64(nodes, n, metric.WithAttributes(attribute.String("policy", g.policy), attribute.String("phase", g.phase),
				attribute.String("target_zone", g.zone), attribute.String("capacity_type", g.capacityType)))
		}
		for policy, price := range counts.cost {
			o.ObserveFloat64(cost, price, metric.WithAttributes(attribute.String("policy", policy)))
		}
		o.ObserveFloat64(bound, counts.lowerBound)
		o.ObserveInt64(pending, counts.pending)
		return nil
	}, nodes, cost, bound, pending)
	return err
}
