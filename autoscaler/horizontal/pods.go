package horizontal

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Sample is what one pod uses of a resource.
type Sample struct {
	// Milli is the use in thousandths of a core, or of a byte.
	Milli int64
	// Time is when the newest measurement in it was taken, and Window the time over which it was averaged.
	Time   time.Time
	Window time.Duration
}

// Usage is what the pods of a workload use of a resource, by pod name.
type Usage map[string]Sample

// Readiness says how long after its start a pod's CPU use is not taken at face value. The fields mean what the flags of
// the same names of Kubernetes' controller manager mean.
type Readiness struct {
	// CPUInitializationPeriod is the time after a pod's start in which its CPU use counts only once it is ready and one
	// whole window was measured since.
	CPUInitializationPeriod time.Duration
	// InitialReadinessDelay is the time after a pod's start in which a change to unready means that it has never been ready.
	InitialReadinessDelay time.Duration
}

// groups are the pods of a workload by how their use counts.
type groups struct {
	ready   int
	unready map[string]struct{}
	missing map[string]struct{}
	ignored map[string]struct{}
}

// group sorts pods: those on their way out are ignored, those that do not serve yet are unready, those without a sample are
// missing. Readiness matters for CPU only, because a pod that starts burns CPU that says nothing about its load.
func group(pods []*corev1.Pod, usage Usage, cpu bool, readiness Readiness, now time.Time) groups {
	g := groups{unready: map[string]struct{}{}, missing: map[string]struct{}{}, ignored: map[string]struct{}{}}
	for _, pod := range pods {
		sample, measured := usage[pod.Name]
		switch {
		case pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed:
			g.ignored[pod.Name] = struct{}{}
		case pod.Status.Phase == corev1.PodPending:
			g.unready[pod.Name] = struct{}{}
		case !measured:
			g.missing[pod.Name] = struct{}{}
		case cpu && !countsForCPU(pod, sample, readiness, now):
			g.unready[pod.Name] = struct{}{}
		default:
			g.ready++
		}
	}
	return g
}

func countsForCPU(pod *corev1.Pod, sample Sample, readiness Readiness, now time.Time) bool {
	condition := readyCondition(pod)
	if condition == nil || pod.Status.StartTime == nil {
		return false
	}
	start, since := pod.Status.StartTime.Time, condition.LastTransitionTime.Time
	if start.Add(readiness.CPUInitializationPeriod).After(now) {
		return condition.Status != corev1.ConditionFalse && !sample.Time.Before(since.Add(sample.Window))
	}
	neverReady := condition.Status == corev1.ConditionFalse && start.Add(readiness.InitialReadinessDelay).After(since)
	return !neverReady
}

func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// ReadyPods counts the pods that run and are ready, those being deleted included, as Kubernetes does.
func ReadyPods(pods []*corev1.Pod) int32 {
	var ready int32
	for _, pod := range pods {
		condition := readyCondition(pod)
		if pod.Status.Phase == corev1.PodRunning && condition != nil && condition.Status == corev1.ConditionTrue {
			ready++
		}
	}
	return ready
}
