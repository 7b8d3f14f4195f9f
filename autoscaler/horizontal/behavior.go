package horizontal

import (
	"math"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Defaults of autoscaling/v2.
const (
	defaultTolerance       = 0.1
	defaultScaleDownWindow = 300 * time.Second
	defaultPeriod          = 15 * time.Second
	defaultScaleUpPods     = 4
	defaultPercent         = 100
)

// limit is one scaling policy.
type limit struct {
	percent bool
	value   int32
	period  time.Duration
}

// direction is the behavior in one direction with every default filled in.
type direction struct {
	window time.Duration
	choose v1alpha1.PolicySelect
	limits []limit
}

// behavior is a policy's behavior with every default filled in.
type behavior struct {
	up, down  direction
	tolerance Tolerance
}

func resolve(b *v1alpha1.Behavior) behavior {
	resolved := behavior{
		up: direction{choose: v1alpha1.SelectMax, limits: []limit{
			{value: defaultScaleUpPods, period: defaultPeriod},
			{percent: true, value: defaultPercent, period: defaultPeriod},
		}},
		down: direction{choose: v1alpha1.SelectMax, window: defaultScaleDownWindow, limits: []limit{
			{percent: true, value: defaultPercent, period: defaultPeriod},
		}},
		tolerance: Tolerance{Up: defaultTolerance, Down: defaultTolerance},
	}
	if b != nil {
		resolved.up.override(b.ScaleUp, &resolved.tolerance.Up)
		resolved.down.override(b.ScaleDown, &resolved.tolerance.Down)
	}
	return resolved
}

func (d *direction) override(rules *v1alpha1.ScalingRules, tolerance *float64) {
	if rules == nil {
		return
	}
	if rules.StabilizationWindowSeconds != nil {
		d.window = time.Duration(*rules.StabilizationWindowSeconds) * time.Second
	}
	if rules.SelectPolicy != nil {
		d.choose = *rules.SelectPolicy
	}
	if rules.Tolerance != nil {
		*tolerance = rules.Tolerance.AsApproximateFloat64()
	}
	if rules.Policies == nil {
		return
	}
	d.limits = make([]limit, 0, len(rules.Policies))
	for _, p := range rules.Policies {
		d.limits = append(d.limits, limit{
			percent: p.Type == v1alpha1.PercentPolicy,
			value:   p.Value,
			period:  time.Duration(p.PeriodSeconds) * time.Second,
		})
	}
}

// highest is the largest number of replicas that the policies for scaling up allow now. It may be below current after the policies
// were tightened.
func (d direction) highest(current int32, h *History, now time.Time) int32 {
	return d.bound(current, func(l limit) int32 {
		start := h.replicasAt(current, l.period, now)
		if l.percent {
			return ceil(float64(start) * (1 + float64(l.value)/100))
		}
		return clamp(int64(start) + int64(l.value))
	}, maxReplicas, minReplicas)
}

// lowest is the smallest number of replicas that the policies for scaling down allow now. It may be above current after the
// policies were tightened.
func (d direction) lowest(current int32, h *History, now time.Time) int32 {
	return d.bound(current, func(l limit) int32 {
		start := h.replicasAt(current, l.period, now)
		if l.percent {
			return int32(float64(start) * (1 - float64(l.value)/100))
		}
		return clamp(int64(start) - int64(l.value))
	}, minReplicas, maxReplicas)
}

// bound picks among the policies: wide is the choice that allows the larger change, narrow the one that allows the smaller.
func (d direction) bound(current int32, allow func(limit) int32, wide, narrow func(a, b int32) int32) int32 {
	if d.choose == v1alpha1.SelectDisabled || len(d.limits) == 0 {
		return current
	}
	pick := wide
	if d.choose == v1alpha1.SelectMin {
		pick = narrow
	}
	result := allow(d.limits[0])
	for _, l := range d.limits[1:] {
		result = pick(result, allow(l))
	}
	return result
}

func maxReplicas(a, b int32) int32 { return max(a, b) }
func minReplicas(a, b int32) int32 { return min(a, b) }

func clamp(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }
