package balance

import (
	"fmt"
	"math"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// The rule's thresholds.
const (
	// dearReplica is the share of a replica's cost that it has whatever its load, from which on pods grow; cheapReplica the share
	// down to which they go on growing once they do.
	dearReplica, cheapReplica = 0.25, 0.15
	// fasterLarge is the exponent of size in latency below which larger pods are clearly faster: 16% at twice the size. Above
	// slowerLarge they are clearly slower.
	fasterLarge, slowerLarge = -0.25, 0.25
	// sureEnough is the standard error, as a share of what is estimated, up to which an estimate counts; spreadEnough the
	// standard deviation of the load, as a share of its mean, from which on a line through it does.
	sureEnough, spreadEnough = 0.5, 0.05
)

// Prices are what requests cost per hour, in any currency. Only their ratio matters.
type Prices struct{ Core, GiB float64 }

// DefaultPrices are those of common virtual machines.
func DefaultPrices() Prices { return Prices{Core: 0.032, GiB: 0.0043} }

// Codes of choices.
const (
	CodePolicy        = "Policy"
	CodeNoTarget      = "NoUtilizationTarget"
	CodeMaxReplicas   = "MaxReplicas"
	CodeLargestPod    = "LargestPod"
	CodeBoth          = "MaxReplicasOfLargestPods"
	CodeNotInPlace    = "NotInPlace"
	CodeLatency       = "Latency"
	CodeOverhead      = "Overhead"
	CodeSmallOverhead = "SmallOverhead"
	CodeUnknown       = "NotMeasured"
)

// Evidence is what a choice rests on. Quantities are cores and bytes; what is not known is nil.
type Evidence struct {
	// MemoryPerReplica is what a replica needs whatever its load, MemoryPerCore what a core of load adds.
	MemoryPerReplica *float64 `json:"memoryPerReplica,omitempty"`
	MemoryPerCore    *float64 `json:"memoryPerCore,omitempty"`
	// CPUPerReplica is the CPU that a replica needs whatever its load.
	CPUPerReplica *float64 `json:"cpuPerReplica,omitempty"`
	// Overhead is the share of a replica's cost that it has whatever its load.
	Overhead *float64 `json:"overhead,omitempty"`
	// LatencyExponent is d ln(latency) / d ln(size of pods).
	LatencyExponent *float64 `json:"latencyExponent,omitempty"`
	// LargestPod is the most CPU that a pod may request, nil when nothing bounds it.
	LargestPod   *float64 `json:"largestPod,omitempty"`
	Observations int      `json:"observations"`
}

// choice is what more load is met with.
type choice struct {
	growth       v1alpha1.Growth // Replicas or Pods
	code, reason string
}

// choose applies the rule, the first of these that has something to say:
//
//  1. At the most replicas and the largest pods nothing can grow; at the most replicas pods grow.
//  2. Pods that cannot grow, or only by being replaced, leave replicas.
//  3. The policy decides.
//  4. Latency that depends clearly on the size of pods decides.
//  5. The overhead of a replica decides: pods grow where it is dear, and go on growing until it is cheap.
//  6. Replicas, while nothing is measured.
func (m *Memory) choose(in *Input, o *v1alpha1.Objective, e *Evidence) choice {
	current, most := in.Current, in.Policy.Spec.Horizontal.Max
	reference := float64(m.references[o.Name].milli) / 1000
	largest := e.LargestPod != nil && reference >= *e.LargestPod*(1-1e-9)
	switch {
	case largest && current >= most:
		return choice{v1alpha1.GrowthReplicas, CodeBoth, fmt.Sprintf("there are %d replicas, the most allowed, of the largest pods possible", current)}
	case largest:
		return choice{v1alpha1.GrowthReplicas, CodeLargestPod, fmt.Sprintf("pods have the most CPU that they may have: %s", cores(*e.LargestPod))}
	case !inPlace(in.Policy):
		return choice{v1alpha1.GrowthReplicas, CodeNotInPlace, "running pods are not resized"}
	case current >= most:
		return choice{v1alpha1.GrowthPods, CodeMaxReplicas, fmt.Sprintf("there are %d replicas, the most allowed", current)}
	}
	switch g := in.Policy.Spec.Vertical.Growth; g {
	case v1alpha1.GrowthReplicas, v1alpha1.GrowthPods:
		return choice{g, CodePolicy, fmt.Sprintf("the policy says growth: %s", g)}
	}
	return m.compare(e)
}

// compare chooses by what was measured.
func (m *Memory) compare(e *Evidence) choice {
	if x := e.LatencyExponent; x != nil && (*x <= fasterLarge || *x >= slowerLarge) {
		effect := (math.Exp2(*x) - 1) * 100
		if *x < 0 {
			return choice{v1alpha1.GrowthPods, CodeLatency, fmt.Sprintf("latency is %.0f%% lower in pods of twice the size", -effect)}
		}
		return choice{v1alpha1.GrowthReplicas, CodeLatency, fmt.Sprintf("latency is %.0f%% higher in pods of twice the size", effect)}
	}
	if e.Overhead == nil {
		return choice{v1alpha1.GrowthReplicas, CodeUnknown, "what a replica costs whatever its load is not known yet"}
	}
	bound := dearReplica
	if m.growth == v1alpha1.GrowthPods {
		bound = cheapReplica
	}
	words := fmt.Sprintf("a replica needs %s%s whatever its load, %.0f%% of what it costs", bytes(*e.MemoryPerReplica), idle(e), *e.Overhead*100)
	if *e.Overhead >= bound {
		return choice{v1alpha1.GrowthPods, CodeOverhead, fmt.Sprintf("%s; pods grow from %.0f%% on", words, bound*100)}
	}
	return choice{v1alpha1.GrowthReplicas, CodeSmallOverhead, fmt.Sprintf("%s; pods grow from %.0f%% on", words, bound*100)}
}

func idle(e *Evidence) string {
	if e.CPUPerReplica == nil || *e.CPUPerReplica == 0 {
		return ""
	}
	return " and " + cores(*e.CPUPerReplica)
}

// evidence is what was measured for pods of the present reference.
func (m *Memory) evidence(in *Input, o *v1alpha1.Objective) Evidence {
	e := Evidence{LargestPod: in.LargestPod}
	memory, ok := m.memory.Line()
	e.Observations = int(memory.Observations)
	if !ok || memory.Spread < spreadEnough*memory.MeanX {
		return e
	}
	fixed := math.Min(math.Max(0, memory.Intercept), memory.MeanY)
	if memory.Error > sureEnough*math.Max(fixed, 0.1*memory.MeanY) {
		return e
	}
	slope := math.Max(0, memory.Slope)
	e.MemoryPerReplica, e.MemoryPerCore = &fixed, &slope
	idle := 0.0
	if cpu, ok := m.cpu.Line(); ok && cpu.Spread >= spreadEnough*cpu.MeanX && cpu.Error <= sureEnough*math.Max(cpu.Intercept, 0.1*cpu.MeanY) {
		idle = math.Min(math.Max(0, cpu.Intercept), cpu.MeanY)
		e.CPUPerReplica = &idle
	}
	if latency, ok := m.latency.Line(); ok && latency.SlopeError <= sureEnough*math.Abs(latency.Slope) && latency.Spread >= spreadEnough {
		e.LatencyExponent = &latency.Slope
	}
	size := float64(m.references[o.Name].milli) / 1000
	if size <= 0 {
		return e
	}
	p := in.prices()
	load := math.Max(0, size*float64(*o.Resource.Utilization)/100-idle)
	overhead := idle*p.Core + fixed/gibibyte*p.GiB
	total := size*p.Core + (fixed+slope*load)/gibibyte*p.GiB
	share := overhead / total
	e.Overhead = &share
	return e
}

const gibibyte = 1 << 30

func inPlace(p *v1alpha1.WorkloadAutoscaler) bool {
	if !applies(p) {
		return false
	}
	switch p.Spec.Vertical.Apply {
	case v1alpha1.ApplyOnCreate, v1alpha1.ApplyOff:
		return false
	}
	return true
}
