package journal

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// usageGauges are what containers used in five minutes, by name. They are history for the next start of an autoscaler.
var usageGauges = map[string]string{
	"yagura_autoscaler_usage_cpu_peak_cores":    "Highest CPU use of a container over five minutes and the pods of a role.",
	"yagura_autoscaler_usage_cpu_mean_cores":    "Average CPU use of a container over five minutes and the pods of a role.",
	"yagura_autoscaler_usage_memory_peak_bytes": "Highest need for memory of a container over five minutes and the pods of a role.",
	"yagura_autoscaler_usage_memory_mean_bytes": "Average need for memory of a container over five minutes and the pods of a role.",
	"yagura_autoscaler_usage_oom_kills":         "Kills of a container for memory in five minutes, where there were any.",
	"yagura_autoscaler_usage_oom_limit_bytes":   "Highest limit of memory at which those were.",
}

// usageLife is how long what was used in five minutes is exported, if exports come no further apart: often enough that a lost one does
// no harm, and well before half of the next five minutes is over, so that it is told by its time which five minutes it is of.
const usageLife = time.Minute

// usageEntry is what one container used.
type usageEntry struct {
	values map[string]float64
	until  time.Time
}

// Usage takes what the containers of one name used in the five minutes that just ended. Names that are no gauge are left out. What does
// not fit is counted as lost.
func (j *Journal) Usage(labels map[string]string, values map[string]float64) {
	pairs := make([]attribute.KeyValue, 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, attribute.String(name, value))
	}
	set := attribute.NewSet(pairs...)
	now := time.Now()
	j.usageMu.Lock()
	defer j.usageMu.Unlock()
	for key, entry := range j.usage {
		if len(j.usage) < j.usageCapacity {
			break
		}
		if now.After(entry.until) {
			delete(j.usage, key)
		}
	}
	if _, known := j.usage[set]; !known && len(j.usage) >= j.usageCapacity {
		j.lost.WithLabelValues("usage", "full").Inc()
		return
	}
	j.usage[set] = usageEntry{values: values, until: now.Add(j.usageLife)}
}

func (j *Journal) registerUsage(meter metric.Meter) error {
	gauges := map[string]metric.Float64ObservableGauge{}
	var all []metric.Observable
	var failures []error
	for name, about := range usageGauges {
		gauge, err := meter.Float64ObservableGauge(name, metric.WithDescription(about))
		failures = append(failures, err)
		gauges[name] = gauge
		all = append(all, gauge)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := time.Now()
		j.usageMu.Lock()
		defer j.usageMu.Unlock()
		for set, entry := range j.usage {
			if now.After(entry.until) {
				delete(j.usage, set)
				continue
			}
			of := metric.WithAttributeSet(set)
			for name, value := range entry.values {
				if gauge := gauges[name]; gauge != nil {
					o.ObserveFloat64(gauge, value, of)
				}
			}
		}
		return nil
	}, all...)
	return errors.Join(slices.Concat(failures, []error{err})...)
}
