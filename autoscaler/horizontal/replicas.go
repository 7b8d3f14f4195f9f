package horizontal

import (
	"errors"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Tolerance is the deviation from the target, as a fraction, within which nothing changes.
type Tolerance struct {
	Up, Down float64
}

// slack is the relative error that floating point arithmetic may add before a comparison or a rounding up. 0.6/0.2 must ask
// for 3 replicas, not 4.
const slack = 1e-9

func (t Tolerance) holds(ratio float64) bool {
	return ratio >= 1-t.Down-slack && ratio <= 1+t.Up+slack
}

// Proposal is the number of replicas that one objective asks for.
type Proposal struct {
	Replicas int32
	// Ratio is the value divided by the target, before any assumption about pods without a usable sample.
	Ratio float64
	// Value is in the unit of the target: percent, thousandths, or the query's own.
	Value float64
	// Ready, Unready and Missing count the pods that went into it; they are zero for a query.
	Ready, Unready, Missing int
	// KeptByPods is true when the ready pods alone would ask for a change, and the assumption about the others undoes it.
	KeptByPods bool
}

// ErrNoUsage means that no ready pod has a sample.
var ErrNoUsage = errors.New("no pod that is ready has a sample")

// ErrNoPods means that the target's selector matches no pod.
var ErrNoPods = errors.New("the target has no pods")

// errDisjoint means that the samples are of other pods than the ones that exist.
var errDisjoint = errors.New("the samples are not of the target's pods")

// ForUtilization is the number of replicas at which the pods use target percent of what they request.
func ForUtilization(current, target int32, resource corev1.ResourceName, container string, pods []*corev1.Pod, usage Usage, tolerance Tolerance, readiness Readiness, now time.Time) (Proposal, error) {
	requests, err := Requests(pods, container, resource)
	if err != nil {
		return Proposal{}, err
	}
	return forRequests(current, target, resource, requests, pods, usage, tolerance, readiness, now)
}

// ForReference is ForUtilization with a reference in place of what the pods request, in thousandths and the same for each of them.
// Where requests follow usage, percentages of them say nothing about load.
func ForReference(current, target int32, resource corev1.ResourceName, reference int64, pods []*corev1.Pod, usage Usage, tolerance Tolerance, readiness Readiness, now time.Time) (Proposal, error) {
	requests := make(map[string]int64, len(pods))
	for _, pod := range pods {
		requests[pod.Name] = reference
	}
	return forRequests(current, target, resource, requests, pods, usage, tolerance, readiness, now)
}

func forRequests(current, target int32, resource corev1.ResourceName, requests map[string]int64, pods []*corev1.Pod, usage Usage, tolerance Tolerance, readiness Readiness, now time.Time) (Proposal, error) {
	ratio := func(usage Usage) (ratio, value float64, err error) {
		var used, requested int64
		for pod, sample := range usage {
			if request, ok := requests[pod]; ok {
				used += sample.Milli
				requested += request
			}
		}
		if requested == 0 {
			return 0, 0, errDisjoint
		}
		// Whole percents, as Kubernetes counts them: a fraction of a percent is noise that would move the result.
		// In floating point, since memory in thousandths of a byte times a hundred overflows at some thousand large pods.
		percent := math.Floor(float64(used) * 100 / float64(requested))
		return percent / float64(target), percent, nil
	}
	// A pod without a sample might use all that it requests, or the target where that is higher.
	assumed := func(pod string) int64 { return requests[pod] * int64(max(100, target)) / 100 }
	return forUsage(current, resource == corev1.ResourceCPU, pods, usage, tolerance, readiness, now, ratio, assumed)
}

// ForAverage is the number of replicas at which each pod uses target thousandths.
func ForAverage(current int32, target int64, resource corev1.ResourceName, pods []*corev1.Pod, usage Usage, tolerance Tolerance, readiness Readiness, now time.Time) (Proposal, error) {
	ratio := func(usage Usage) (ratio, value float64, err error) {
		var used int64
		for _, sample := range usage {
			used += sample.Milli
		}
		average := used / int64(len(usage))
		return float64(average) / float64(target), float64(average), nil
	}
	assumed := func(string) int64 { return target }
	return forUsage(current, resource == corev1.ResourceCPU, pods, usage, tolerance, readiness, now, ratio, assumed)
}

// forUsage computes the ratio over the ready pods first. Pods that are not ready or have no sample then count as whatever speaks
// against a change: as idle when the ratio asks for more replicas, as busy when it asks for fewer. If that turns the direction
// around, nothing changes.
func forUsage(current int32, cpu bool, pods []*corev1.Pod, usage Usage, tolerance Tolerance, readiness Readiness, now time.Time,
	ratioOf func(Usage) (ratio, value float64, err error), assumed func(pod string) int64) (Proposal, error) {
	if len(pods) == 0 {
		return Proposal{}, ErrNoPods
	}
	g := group(pods, usage, cpu, readiness, now)
	counted := make(Usage, len(usage))
	for pod, sample := range usage {
		_, ignored := g.ignored[pod]
		_, unready := g.unready[pod]
		if !ignored && !unready {
			counted[pod] = sample
		}
	}
	if len(counted) == 0 {
		return Proposal{}, ErrNoUsage
	}
	ratio, value, err := ratioOf(counted)
	if err != nil {
		return Proposal{}, err
	}
	p := Proposal{Replicas: current, Ratio: ratio, Value: value, Ready: g.ready, Unready: len(g.unready), Missing: len(g.missing)}
	idleUnready := len(g.unready) > 0 && ratio > 1
	if !idleUnready && len(g.missing) == 0 {
		if !tolerance.holds(ratio) {
			p.Replicas = ceil(ratio * float64(g.ready))
		}
		return p, nil
	}

	for pod := range g.missing {
		switch {
		case ratio < 1:
			counted[pod] = Sample{Milli: assumed(pod)}
		case ratio > 1:
			counted[pod] = Sample{}
		}
	}
	if idleUnready {
		for pod := range g.unready {
			counted[pod] = Sample{}
		}
	}
	assumedRatio, _, err := ratioOf(counted)
	if err != nil {
		return Proposal{}, err
	}
	reversed := ratio < 1 && assumedRatio > 1 || ratio > 1 && assumedRatio < 1
	if tolerance.holds(assumedRatio) || reversed {
		p.KeptByPods = !tolerance.holds(ratio)
		return p, nil
	}
	replicas := ceil(assumedRatio * float64(len(counted)))
	if assumedRatio < 1 && replicas > current || assumedRatio > 1 && replicas < current {
		p.KeptByPods = true
		return p, nil
	}
	p.Replicas = replicas
	return p, nil
}

// ForTotal is the number of replicas for a value that every ready replica lowers by its share.
func ForTotal(current int32, value, target float64, pods []*corev1.Pod, tolerance Tolerance) (Proposal, error) {
	p := Proposal{Replicas: current, Ratio: value / target, Value: value}
	if current == 0 {
		p.Replicas = ceil(p.Ratio)
		return p, nil
	}
	if tolerance.holds(p.Ratio) {
		return p, nil
	}
	if len(pods) == 0 {
		return Proposal{}, ErrNoPods
	}
	p.Replicas = ceil(p.Ratio * float64(ReadyPods(pods)))
	return p, nil
}

// ForShare is the number of replicas at which each one's share of the value is the target. Existing is the number of replicas
// that there are, which lags behind the number that is asked for. The proposal's value is the present share.
func ForShare(existing int32, value, target float64, tolerance Tolerance) Proposal {
	ratio, share := math.Inf(1), value
	if existing > 0 {
		share = value / float64(existing)
		ratio = value / (target * float64(existing))
	}
	p := Proposal{Replicas: existing, Ratio: ratio, Value: share}
	if !tolerance.holds(ratio) {
		p.Replicas = ceil(value / target)
	}
	return p
}

// ceil rounds up to a number of replicas, forgiving floating point noise, within the range of int32 and not below zero.
func ceil(x float64) int32 {
	if nearest := math.Round(x); math.Abs(x-nearest) <= slack*math.Max(1, math.Abs(nearest)) {
		x = nearest
	}
	return int32(math.Max(0, math.Min(math.Ceil(x), math.MaxInt32)))
}
