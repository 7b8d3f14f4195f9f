package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const (
	boot        = 5 * time.Minute
	minute      = time.Minute // coarser than the controller's samples, for a shorter test
	podsPerNode = 4
	// idle is how long a node is kept that nobody needs.
	idle = 10 * time.Minute
)

// fleetRun is what a fleet of nodes did for one workload.
type fleetRun struct {
	waited   float64 // minutes in which a pod waited for a node, summed over pods
	longest  time.Duration
	nodeTime float64 // hours
}

// simulate replays a load, minute by minute: nodes are bought when pods have no place, and ahead when forecasts are on. They are ready after
// boot, and given back when nobody has needed them for idle. What is measured begins after the warm-up.
func simulate(days int, warmUp time.Duration, wanted func(at time.Time) int32, ahead bool) (r fleetRun) {
	h := NewHistory(minute, int((8*day+2*time.Hour)/minute))
	var standing Standing
	var making []time.Time
	ready, waitsSince := 0, time.Time{}
	neededLast := map[int]time.Time{} // when so many nodes were needed last
	begin := noon.Truncate(day)
	for at := begin; at.Before(begin.Add(time.Duration(days) * day)); at = at.Add(minute) {
		for len(making) > 0 && !making[0].After(at) {
			making, ready = making[1:], ready+1
		}
		pods := wanted(at)
		need := int(math.Ceil(float64(pods) / podsPerNode))
		goal := need
		if ahead {
			h.Add(at, pods)
			if f := Predict(Input{Now: at, History: h, Desired: pods, Max: 1000, Horizon: boot + minute, MaxFactor: 2}); f.Replicas > pods {
				standing.Add(Held{Replicas: f.Replicas, Until: at.Add(boot + minute), Reason: f.Reason})
			}
			if f, ok := standing.Highest(at); ok {
				goal = max(goal, int(math.Ceil(float64(f.Replicas)/podsPerNode)))
			}
		}
		for ready+len(making) < goal {
			making = append(making, at.Add(boot))
		}
		for n := range goal + 1 {
			neededLast[n] = at
		}
		for ready > goal && at.Sub(neededLast[ready]) >= idle {
			ready--
		}
		waiting := max(0, int(pods)-ready*podsPerNode)
		if at.Sub(begin) < warmUp {
			continue
		}
		r.waited += float64(waiting) * minute.Minutes()
		r.nodeTime += float64(ready+len(making)) * minute.Hours()
		if waiting == 0 {
			waitsSince = time.Time{}
		} else if waitsSince.IsZero() {
			waitsSince = at
		}
		if !waitsSince.IsZero() {
			r.longest = max(r.longest, at.Sub(waitsSince)+minute)
		}
	}
	return r
}

// loads are made from a seed, so that the figures are the same each time.
func loads(seed uint64) map[string]func(at time.Time) int32 {
	jitter := func(share float64, load func(time.Time) float64) func(at time.Time) int32 {
		random := rand.New(rand.NewPCG(seed, 11))
		now := 0.0
		return func(at time.Time) int32 {
			now = 0.95*now + 0.05*random.NormFloat64()*3 // minutes long, as in real traffic
			return int32(math.Ceil(max(1, load(at)*(1+share*now))))
		}
	}
	return map[string]func(at time.Time) int32{
		"workdays": jitter(0.05, func(at time.Time) float64 {
			if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
				return 10
			}
			return workday(at)
		}),
		"jumps":  jitter(0.02, func(at time.Time) float64 { return pick(at.Hour() >= 9 && at.Hour() < 17, 60, 20) }),
		"a wave": jitter(0.05, func(at time.Time) float64 { return 35 - 25*math.Cos(2*math.Pi*at.Sub(at.Truncate(day)).Hours()/24) }),
		"noise":  jitter(0.3, func(time.Time) float64 { return 30 }),
	}
}

// TestDay is what docs/explanation/cluster-autoscaling.md says of forecasts: how much less pods wait, and what that costs.
func TestDay(t *testing.T) {
	tests := map[string]struct{ waits, costs float64 }{ // of what they are without forecasts, at most
		"workdays": {0.3, 1.04},
		"jumps":    {0.6, 1.04},
		"a wave":   {1, 1.02},
		"noise":    {1, 1.02},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			without := simulate(14, 7*day, loads(1)[name], false)
			with := simulate(14, 7*day, loads(1)[name], true)
			t.Logf("pods waited %.0f min without and %.0f min with forecasts (%.2f), at most %s and %s; %.0f and %.0f node hours (%.3f)",
				without.waited, with.waited, with.waited/without.waited, without.longest, with.longest, without.nodeTime, with.nodeTime, with.nodeTime/without.nodeTime)
			assert.LessOrEqual(t, with.waited, without.waited*want.waits)
			assert.LessOrEqual(t, with.nodeTime, without.nodeTime*want.costs)
		})
	}
}
