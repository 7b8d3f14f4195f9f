package journal

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// sizeGauges are the numbers of what containers request, in cores or bytes, by container, role and resource.
type sizeGauges struct {
	usage, request, limit, recommended, desired, confidence metric.Float64ObservableGauge
}

func newSizeGauges(gauge func(name, about string) metric.Float64ObservableGauge) sizeGauges {
	return sizeGauges{
		usage:       gauge("yagura_autoscaler_size_usage", "Newest peak of usage of a container, in cores or bytes."),
		request:     gauge("yagura_autoscaler_size_request", "Request in force, the highest over the pods, in cores or bytes."),
		limit:       gauge("yagura_autoscaler_size_limit", "Limit in force, the highest over the pods, in cores or bytes."),
		recommended: gauge("yagura_autoscaler_size_recommended", "Request that usage alone asks for, in cores or bytes."),
		desired:     gauge("yagura_autoscaler_size_desired", "Request after all rules, in cores or bytes."),
		confidence:  gauge("yagura_autoscaler_size_confidence_ratio", "How far a recommendation can be trusted, from 0 to 1."),
	}
}

func (g sizeGauges) all() []metric.Observable {
	return []metric.Observable{g.usage, g.request, g.limit, g.recommended, g.desired, g.confidence}
}

func (g sizeGauges) observe(o metric.Observer, record decision.Record) {
	for i := range record.Sizes {
		size := &record.Sizes[i]
		// Not container: that label says where a series comes from, and these come from the autoscaler.
		of := metric.WithAttributes(attribute.String("target_namespace", record.Namespace), attribute.String("autoscaler", record.Name),
			attribute.String("target_container", size.Container), attribute.String("role", size.Role), attribute.String("resource", size.Resource))
		for _, number := range []struct {
			gauge metric.Float64ObservableGauge
			value *float64
		}{
			{g.usage, size.Usage}, {g.request, size.Request}, {g.limit, size.Limit},
			{g.recommended, size.Recommended}, {g.desired, size.Desired}, {g.confidence, &size.Confidence},
		} {
			if number.value != nil {
				o.ObserveFloat64(number.gauge, *number.value, of)
			}
		}
	}
}
