package journal

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// gauges are the numbers of a policy. Their attributes are not called namespace, pod and so on: those labels say where a series comes
// from, and these come from the autoscaler.
type gauges struct {
	current, desired, recommended, minimum, maximum metric.Int64ObservableGauge
	value, target, age                              metric.Float64ObservableGauge
	sizes                                           sizeGauges
}

func (j *Journal) registerGauges(meter metric.Meter) error {
	var g gauges
	var failures []error
	replicas := func(name, about string) metric.Int64ObservableGauge {
		gauge, err := meter.Int64ObservableGauge(name, metric.WithDescription(about))
		failures = append(failures, err)
		return gauge
	}
	number := func(name, about string) metric.Float64ObservableGauge {
		gauge, err := meter.Float64ObservableGauge(name, metric.WithDescription(about))
		failures = append(failures, err)
		return gauge
	}
	g.current = replicas("yagura_autoscaler_replicas_current", "Replicas that the target asks for.")
	g.desired = replicas("yagura_autoscaler_replicas_desired", "Replicas after all rules.")
	g.recommended = replicas("yagura_autoscaler_replicas_recommended", "Replicas that the signals alone ask for.")
	g.minimum = replicas("yagura_autoscaler_replicas_min", "Smallest number of replicas of the policy.")
	g.maximum = replicas("yagura_autoscaler_replicas_max", "Largest number of replicas of the policy.")
	g.value = number("yagura_autoscaler_objective_value", "Value of an objective, in the unit of its target.")
	g.target = number("yagura_autoscaler_objective_target", "Target of an objective.")
	g.age = number("yagura_autoscaler_objective_age_seconds", "Age of the newest sample or line of an objective.")
	g.sizes = newSizeGauges(number)
	all := append([]metric.Observable{g.current, g.desired, g.recommended, g.minimum, g.maximum, g.value, g.target, g.age}, g.sizes.all()...)
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		j.mu.RLock()
		defer j.mu.RUnlock()
		for key, record := range j.current {
			if key.direction == decision.Vertical {
				g.sizes.observe(o, record)
			} else {
				g.observe(o, record)
			}
		}
		return nil
	}, all...)
	return errors.Join(append(failures, err)...)
}

func (g gauges) observe(o metric.Observer, record decision.Record) {
	policy := []attribute.KeyValue{attribute.String("target_namespace", record.Namespace), attribute.String("autoscaler", record.Name)}
	of := metric.WithAttributes(policy...)
	o.ObserveInt64(g.current, int64(record.CurrentReplicas), of)
	o.ObserveInt64(g.desired, int64(record.DesiredReplicas), of)
	o.ObserveInt64(g.recommended, int64(record.RecommendedReplicas), of)
	o.ObserveInt64(g.minimum, int64(record.MinReplicas), of)
	o.ObserveInt64(g.maximum, int64(record.MaxReplicas), of)
	for _, objective := range record.Objectives {
		of := metric.WithAttributes(append(policy[:2:2], attribute.String("objective", objective.Name))...)
		if objective.Value != nil {
			o.ObserveFloat64(g.value, *objective.Value, of)
		}
		o.ObserveFloat64(g.target, objective.Target, of)
		if objective.AgeSeconds != nil {
			o.ObserveFloat64(g.age, *objective.AgeSeconds, of)
		}
	}
}
