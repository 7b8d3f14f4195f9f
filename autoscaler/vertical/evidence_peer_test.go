package vertical_test

import (
	"time"

	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

// vpaPeer is the VerticalPodAutoscaler's own recommender for one resource of one container, as a model.
type vpaPeer struct {
	resource    vertical.Resource
	state       *model.AggregateContainerState
	container   *model.ContainerState
	recommender logic.PodResourceRecommender
	known       bool
}

func newVPAPeer(resource vertical.Resource, o vpa.Options) *vpaPeer {
	state := model.NewAggregateContainerState()
	return &vpaPeer{
		resource: resource, state: state, container: model.NewContainerState(model.Resources{}, state),
		recommender: logic.CreatePodResourceRecommender(logic.RecommendationConfig{
			SafetyMarginFraction: o.Margin,
			PodMinCPUMillicores:  o.CPU.Floor * 1000, PodMinMemoryMb: o.Memory.Floor / (1 << 20),
			TargetCPUPercentile: o.CPU.Target, LowerBoundCPUPercentile: o.CPU.Lower, UpperBoundCPUPercentile: o.CPU.Upper,
			ConfidenceIntervalCPU:  o.CPU.Confidence,
			TargetMemoryPercentile: o.Memory.Target, LowerBoundMemoryPercentile: o.Memory.Lower, UpperBoundMemoryPercentile: o.Memory.Upper,
			ConfidenceIntervalMemory: o.Memory.Confidence,
		}),
	}
}

// Observe feeds both resources, as the recommender does, since it counts the samples of CPU alone.
func (p *vpaPeer) Observe(s vertical.Sample) bool {
	cpu := model.ContainerUsageSample{MeasureStart: s.Time, Resource: model.ResourceCPU}
	memory := model.ContainerUsageSample{MeasureStart: s.Time, Resource: model.ResourceMemory}
	if p.resource == vertical.CPU {
		cpu.Usage = model.CPUAmountFromCores(s.Value)
	} else {
		memory.Usage = model.MemoryAmountFromBytes(s.Value)
	}
	cpuTaken, memoryTaken := p.container.AddSample(&cpu), p.container.AddSample(&memory)
	taken := cpuTaken
	if p.resource != vertical.CPU {
		taken = memoryTaken
	}
	p.known = p.known || taken
	return taken
}

func (p *vpaPeer) ObserveOOM(oom vertical.OOM) {
	_ = p.container.RecordOOM(oom.Time, model.MemoryAmountFromBytes(oom.Limit))
}

func (p *vpaPeer) Estimate(time.Time) (vertical.Estimate, bool) {
	if !p.known {
		return vertical.Estimate{}, false
	}
	r := p.recommender.GetRecommendedPodResources(model.ContainerNameToAggregateStateMap{"c": p.state})["c"]
	amount := func(x model.Resources) float64 {
		if p.resource == vertical.CPU {
			return model.CoresFromCPUAmount(x[model.ResourceCPU])
		}
		return model.BytesFromMemoryAmount(x[model.ResourceMemory])
	}
	return vertical.Estimate{Target: amount(r.Target), Lower: amount(r.LowerBound), Upper: amount(r.UpperBound), Model: "VerticalPodAutoscaler", Confidence: 1}, true
}
