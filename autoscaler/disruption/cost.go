package disruption

import (
	"math"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What evictions cost, in the money in which nodes are priced.
//
// A saving is money per hour; an eviction happens once. Both become comparable by three numbers:
//
//	weight   how many plain evictions the eviction of this pod is worth, see Weight
//	podHour  what a pod of the policy costs per hour on average: the price of its nodes over their pods
//	horizon  how long a saving is counted on before the load is another one
//
//	cost per hour = Σ weight × podHour × EvictionWorth / horizon
//
// so that with the defaults an eviction is worth it that saves at least half of what a pod costs. The cost is in the unit of the
// prices, whatever that is, and does not depend on the size of the cluster.
const (
	// EvictionWorth is how long an average pod could run for what one plain eviction costs.
	EvictionWorth = 30 * time.Minute
	// DefaultHorizon is how long a saving is counted on.
	DefaultHorizon = time.Hour
)

// Cost is what evictions of the given weight are worth, in money per hour over the horizon.
func Cost(weight, podHour float64, horizon time.Duration) float64 {
	if weight <= 0 || podHour <= 0 {
		return 0
	}
	if horizon <= 0 {
		horizon = DefaultHorizon
	}
	return weight * podHour * EvictionWorth.Hours() / horizon.Hours()
}

// PodHour is what an evictable pod costs per hour on average on nodes that cost price together; 0 when that is not known.
func PodHour(price float64, pods int) float64 {
	if price <= 0 || pods <= 0 {
		return 0
	}
	return price / float64(pods)
}

// Terms of a pod's weight. A plain eviction weighs 1.
const (
	// A pod that was moved a moment ago is not moved again: this much at first, and nothing any more once it has run for settled.
	unsettledTerm = 2.0
	settled       = time.Hour
	// A start-up that takes as long as startupUnit weighs one eviction more, and no start-up weighs more than startupMost.
	startupUnit = 2 * time.Minute
	startupMost = 8.0
	// Data that stays behind: caches that fill again.
	localDataTerm = 2.0
	// The only replica is doubled first, and that of a StatefulSet cannot be: it is missing for a while.
	surgeTerm  = 1.0
	outageTerm = 4.0
	// A pod that is not ready serves nobody.
	unreadyShare = 0.25
	// Priority and controller.kubernetes.io/pod-deletion-cost count as Karpenter counts them: linearly, a priority of 2^25 or a
	// cost of 2^27 for one eviction.
	priorityUnit     = 1 << 25
	deletionCostUnit = 1 << 27
	// No pod weighs less or more than this, whatever its annotations say: evictions never pay by themselves.
	leastWeight, mostWeight = 0.1, 20.0
)

// Weight is how many plain evictions the eviction of a pod is worth, between 0.1 and 20; 0 for a pod that needs no eviction.
func (in *Inspector) Weight(pod *corev1.Pod) float64 {
	return in.weigh(pod, in.Pod(pod))
}

func (in *Inspector) weigh(pod *corev1.Pod, verdict PodVerdict) float64 {
	if verdict.Fate == Goes {
		return 0
	}
	weight := 1.0
	if pod.Spec.Priority != nil {
		weight += float64(*pod.Spec.Priority) / priorityUnit
	}
	if text, set := pod.Annotations[corev1.PodDeletionCost]; set {
		if cost, err := strconv.ParseInt(text, 10, 32); err == nil {
			weight += float64(cost) / deletionCostUnit
		}
	}
	if len(lostVolumes(pod)) > 0 {
		weight += localDataTerm
	}
	if verdict.Surge {
		weight += surgeTerm
		if verdict.Outage {
			weight += outageTerm
		}
	}
	weight += in.unsettled(pod) + startup(pod)
	if !podReady(pod) {
		weight *= unreadyShare
	}
	return math.Min(math.Max(weight, leastWeight), mostWeight)
}

// unsettled is for pods that have started lately.
func (in *Inspector) unsettled(pod *corev1.Pod) float64 {
	if pod.Status.StartTime == nil || in.now.IsZero() {
		return 0
	}
	age := in.now.Sub(pod.Status.StartTime.Time)
	if age >= settled {
		return 0
	}
	return unsettledTerm * (1 - math.Max(age.Seconds(), 0)/settled.Seconds())
}

// startup is for work that is done again: from the pod's start to its readiness. A pod that became unready and ready again in between
// looks as if it took longer, which errs on the side of leaving it alone, and is bounded.
func startup(pod *corev1.Pod) float64 {
	ready := condition(pod, corev1.PodReady)
	if pod.Status.StartTime == nil || ready == nil || ready.Status != corev1.ConditionTrue {
		return 0
	}
	took := ready.LastTransitionTime.Sub(pod.Status.StartTime.Time)
	return math.Min(math.Max(took.Seconds()/startupUnit.Seconds(), 0), startupMost)
}
