package usage

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Aggregate is what the containers of one name in the pods of one role used in five minutes. It is sent back as metrics, so that the
// history of a workload is read in milliseconds, also when its raw series are gone. What is unknown is NaN.
type Aggregate struct {
	// Time is the end of the five minutes, a multiple of them.
	Time            time.Time
	Workload        Workload
	Role, Container string
	// CPUPeak and MemoryPeak are the highest of the time and of the pods, CPUMean and MemoryMean the averages; cores and bytes.
	CPUPeak, CPUMean, MemoryPeak, MemoryMean float64
	// Kills is how often a container was killed for memory, KillLimit the highest limit at which it was.
	Kills, KillLimit float64
}

// Metrics that aggregates become; journal sends them.
const (
	metricCPUPeak    = "yagura_autoscaler_usage_cpu_peak_cores"
	metricCPUMean    = "yagura_autoscaler_usage_cpu_mean_cores"
	metricMemoryPeak = "yagura_autoscaler_usage_memory_peak_bytes"
	metricMemoryMean = "yagura_autoscaler_usage_memory_mean_bytes"
	metricKills      = "yagura_autoscaler_usage_oom_kills"
	metricKillLimit  = "yagura_autoscaler_usage_oom_limit_bytes"
)

// Values are the metrics of an aggregate, by name. Those that are unknown are left out; so are kills where there were none.
func (a Aggregate) Values() map[string]float64 {
	values := map[string]float64{}
	for name, v := range map[string]float64{
		metricCPUPeak: a.CPUPeak, metricCPUMean: a.CPUMean, metricMemoryPeak: a.MemoryPeak, metricMemoryMean: a.MemoryMean,
	} {
		if !math.IsNaN(v) {
			values[name] = v
		}
	}
	if a.Kills > 0 {
		values[metricKills], values[metricKillLimit] = a.Kills, a.KillLimit
	}
	return values
}

// Labels are the labels of an aggregate's metrics. They are not called namespace, container and so on: those say where a series comes
// from, and these come from the autoscaler.
func (a Aggregate) Labels() map[string]string {
	return map[string]string{
		"target_namespace": a.Workload.Namespace, "target_kind": a.Workload.Kind, "target_name": a.Workload.Name,
		"target_container": a.Container, "role": a.Role,
	}
}

func (a *Aggregate) add(w Workload, key groupKey, slot time.Time, resource corev1.ResourceName, s vertical.Sample) {
	if a.Time.IsZero() {
		nan := math.NaN()
		*a = Aggregate{Time: slot, Workload: w, Role: key.role, Container: key.container,
			CPUPeak: nan, CPUMean: nan, MemoryPeak: nan, MemoryMean: nan}
	}
	switch resource {
	case corev1.ResourceCPU:
		a.CPUPeak, a.CPUMean = s.Value, s.Mean
	case corev1.ResourceMemory:
		a.MemoryPeak, a.MemoryMean = s.Value, s.Mean
	}
}

func (f *Feeder) send(a Aggregate) {
	if f.deps.Sink == nil {
		return
	}
	if values := a.Values(); len(values) > 0 {
		f.deps.Sink.Usage(a.Labels(), values)
	}
}
