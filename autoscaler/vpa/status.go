package vpa

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Usage is what is known about the pods of a target.
type Usage struct {
	// Pods is how many there are.
	Pods int
	// Containers are all containers of the pods by name, with an estimate for each resource that one is known for.
	Containers map[string]map[corev1.ResourceName]Reading
	// Loading is true while history is still being read.
	Loading bool
}

// Reading is an estimate and whether it rests on what is happening now.
type Reading struct {
	vertical.Estimate
	// Fresh is false when the newest sample is too old to rely on. What was recommended before then stays.
	Fresh bool
}

// Reasons of conditions.
const (
	ReasonInvalidSpec   = "InvalidSpec"
	ReasonTargetUnknown = "TargetUnknown"
	ReasonNoPods        = "NoPodsMatched"
	ReasonNoHistory     = "NoHistory"
	ReasonStale         = "SignalsStale"
	ReasonShortHistory  = "ShortHistory"
)

// lowConfidence is the confidence below which a recommendation is said to have little.
const lowConfidence = 0.25

// refuse is the status of a VerticalPodAutoscaler that cannot be followed. What was recommended before stays, since taking it away
// would give new pods the requests of their manifest.
func refuse(v *vpav1.VerticalPodAutoscaler, reason, message string, now time.Time) vpav1.VerticalPodAutoscalerStatus {
	s := begin(v)
	c := conditions{now: now, generation: v.Generation, list: s.Conditions}
	c.set(vpav1.ConfigUnsupported, true, reason, message)
	c.clear(vpav1.NoPodsMatched, vpav1.FetchingHistory, vpav1.LowConfidence)
	if s.Recommendation == nil {
		c.set(vpav1.RecommendationProvided, false, reason, message)
	}
	s.Conditions = c.sorted()
	return s
}

// recommend is the status that follows from usage.
func recommend(v *vpav1.VerticalPodAutoscaler, u Usage, now time.Time) vpav1.VerticalPodAutoscalerStatus {
	s := begin(v)
	c := conditions{now: now, generation: v.Generation, list: s.Conditions}
	c.clear(vpav1.ConfigUnsupported)
	c.flag(vpav1.NoPodsMatched, u.Pods == 0, ReasonNoPods, "the target has no pods")
	c.flag(vpav1.FetchingHistory, u.Loading, "Loading", "history is being read")
	var unsure, stale []string
	if u.Pods > 0 {
		var list []vpav1.RecommendedContainerResources
		for _, name := range slices.Sorted(maps.Keys(u.Containers)) {
			r, held := container(v, name, u.Containers[name])
			if len(r.Target) > 0 {
				list = append(list, r)
			}
			stale = append(stale, held...)
			for _, resource := range Resources(v, name) {
				if reading, ok := u.Containers[name][resource]; ok && reading.Confidence < lowConfidence {
					unsure = append(unsure, fmt.Sprintf("%s of %s", resource, name))
				}
			}
		}
		s.Recommendation = nil
		if len(list) > 0 {
			s.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: list}
		}
	}
	c.flag(vpav1.LowConfidence, len(unsure) > 0, ReasonShortHistory, "little is known about "+strings.Join(unsure, ", "))
	switch {
	case s.Recommendation == nil && u.Pods == 0:
		c.set(vpav1.RecommendationProvided, false, ReasonNoPods, "the target has no pods")
	case s.Recommendation == nil:
		c.set(vpav1.RecommendationProvided, false, ReasonNoHistory, "nothing is known about what the containers use")
	case len(stale) > 0:
		c.set(vpav1.RecommendationProvided, true, ReasonStale, "usage is not known any more, so what was recommended stays, for "+strings.Join(stale, ", "))
	default:
		c.set(vpav1.RecommendationProvided, true, "", "")
	}
	s.Conditions = c.sorted()
	return s
}

// begin is a copy of the status, seen at the generation that is looked at now.
func begin(v *vpav1.VerticalPodAutoscaler) vpav1.VerticalPodAutoscalerStatus {
	s := *v.Status.DeepCopy()
	generation := v.Generation
	s.ObservedGeneration = &generation
	return s
}

// container recommends for one container, and names the resources for which the recommendation of before stays, for the lack of
// newer usage.
func container(v *vpav1.VerticalPodAutoscaler, name string, readings map[corev1.ResourceName]Reading) (vpav1.RecommendedContainerResources, []string) {
	r := vpav1.RecommendedContainerResources{
		ContainerName: name, Target: corev1.ResourceList{}, LowerBound: corev1.ResourceList{},
		UpperBound: corev1.ResourceList{}, UncappedTarget: corev1.ResourceList{},
	}
	before := previous(v, name)
	policy := policyFor(v, name)
	var held []string
	for _, resource := range Resources(v, name) {
		var target, lower, upper float64
		if reading, ok := readings[resource]; ok && reading.Fresh {
			target = max(reading.Target, reading.Floor)
			lower, upper = min(reading.Lower, target), max(reading.Upper, target)
		} else if old, ok := before.UncappedTarget[resource]; ok {
			held = append(held, fmt.Sprintf("%s of %s", resource, name))
			target = old.AsApproximateFloat64()
			lower, upper = amountOf(before.LowerBound, resource, target), amountOf(before.UpperBound, resource, target)
		} else {
			continue
		}
		r.UncappedTarget[resource] = quantity(resource, target)
		r.Target[resource] = within(policy, resource, quantity(resource, target))
		r.LowerBound[resource] = within(policy, resource, quantity(resource, lower))
		r.UpperBound[resource] = within(policy, resource, quantity(resource, upper))
	}
	return r, held
}

func previous(v *vpav1.VerticalPodAutoscaler, name string) vpav1.RecommendedContainerResources {
	if v.Status.Recommendation != nil {
		for _, r := range v.Status.Recommendation.ContainerRecommendations {
			if r.ContainerName == name {
				return r
			}
		}
	}
	return vpav1.RecommendedContainerResources{}
}

func amountOf(list corev1.ResourceList, name corev1.ResourceName, otherwise float64) float64 {
	if q, ok := list[name]; ok {
		return q.AsApproximateFloat64()
	}
	return otherwise
}

// The least that is recommended, and the most, which is the VerticalPodAutoscaler's own: 10^14 thousandths of a core, or bytes.
const (
	leastMillicores = 1
	leastBytes      = 4 << 20
	mostUnits       = 1e14
)

// quantity writes an amount in cores or bytes, rounded up.
func quantity(name corev1.ResourceName, amount float64) resource.Quantity {
	if name == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(int64(min(max(math.Ceil(amount*1000-1e-6), leastMillicores), mostUnits)), resource.DecimalSI)
	}
	return *resource.NewQuantity(int64(min(max(math.Ceil(amount), leastBytes), mostUnits)), resource.BinarySI)
}

// conditions changes a list of conditions.
type conditions struct {
	now        time.Time
	generation int64
	list       []vpav1.VerticalPodAutoscalerCondition
}

func (c *conditions) set(kind vpav1.VerticalPodAutoscalerConditionType, holds bool, reason, message string) {
	status := corev1.ConditionFalse
	if holds {
		status = corev1.ConditionTrue
	}
	next := vpav1.VerticalPodAutoscalerCondition{Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(c.now.Truncate(time.Second)), ObservedGeneration: c.generation}
	for i := range c.list {
		if old := &c.list[i]; old.Type == kind {
			if old.Status == status {
				next.LastTransitionTime = old.LastTransitionTime
			}
			*old = next
			return
		}
	}
	c.list = append(c.list, next)
}

// flag sets a condition that is there only while it holds.
func (c *conditions) flag(kind vpav1.VerticalPodAutoscalerConditionType, holds bool, reason, message string) {
	if holds {
		c.set(kind, true, reason, message)
		return
	}
	c.clear(kind)
}

func (c *conditions) clear(kinds ...vpav1.VerticalPodAutoscalerConditionType) {
	c.list = slices.DeleteFunc(c.list, func(o vpav1.VerticalPodAutoscalerCondition) bool { return slices.Contains(kinds, o.Type) })
}

func (c *conditions) sorted() []vpav1.VerticalPodAutoscalerCondition {
	slices.SortFunc(c.list, func(a, b vpav1.VerticalPodAutoscalerCondition) int { return cmp.Compare(a.Type, b.Type) })
	return c.list
}

// same says whether writing a status would change nothing. Definitions of older releases have no observed generations: what was
// written of them is not there, and must not be written again and again.
func same(old, next vpav1.VerticalPodAutoscalerStatus) bool {
	old, next = *old.DeepCopy(), *next.DeepCopy()
	if old.ObservedGeneration == nil {
		next.ObservedGeneration = nil
	}
	for i := range old.Conditions {
		if old.Conditions[i].ObservedGeneration == 0 && i < len(next.Conditions) {
			next.Conditions[i].ObservedGeneration = 0
		}
	}
	return equality.Semantic.DeepEqual(old, next)
}
