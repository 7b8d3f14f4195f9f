package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Rules are what a policy makes of an estimate. Quantities are in cores or bytes.
type Rules struct {
	// Min and Max bound the request, both inclusive; a Max of 0 is none.
	Min, Max float64
	// Tolerance is the difference between the request in force and the new one, as a fraction of the one in force, up to which
	// nothing changes.
	Tolerance float64
	// Every is the shortest time between two decisions; 0 decides after each sample. A kill is answered at once.
	Every time.Duration
}

// Smallest requests that are ever set, and the units in which requests are.
const (
	smallestCPU    = 0.001
	smallestMemory = 4 << 20
	cpuUnit        = 0.001
	byteUnit       = 1
)

// next is the request that follows one in force, which is 0 when there is none. Killed is true right after a kill for memory.
func (r Rules) next(resource vertical.Resource, request float64, e *vertical.Estimate, killed bool) (float64, string) {
	desired, reason := r.bound(resource, e)
	switch {
	case request == 0:
		return desired, reason
	case killed && desired <= request:
		return request, fmt.Sprintf("%s; a kill never makes it smaller", reason)
	case killed:
		return desired, reason
	}
	// What shrinks stays above the floor, but the floor is no reason to grow.
	if floor := min(request, e.Floor); desired < floor {
		desired, reason = r.round(resource, floor), reason+"; not below the recent peak"
	}
	// The last term forgives the noise of floating point.
	if math.Abs(desired-request) <= (r.Tolerance+1e-9)*request && request >= r.least(resource) && (r.Max == 0 || request <= r.Max) {
		return request, ""
	}
	return desired, reason
}

func (r Rules) bound(resource vertical.Resource, e *vertical.Estimate) (float64, string) {
	desired := r.round(resource, e.Target)
	if least := r.least(resource); desired < least {
		return least, e.Reason + "; raised to the smallest request allowed"
	}
	if r.Max > 0 && desired > r.Max {
		return r.Max, e.Reason + "; lowered to the largest request allowed"
	}
	return desired, e.Reason
}

func (r Rules) least(resource vertical.Resource) float64 {
	if resource == vertical.CPU {
		return max(r.Min, smallestCPU)
	}
	return max(r.Min, smallestMemory)
}

// round rounds up to what a quantity can hold: thousandths of a core, whole bytes.
func (r Rules) round(resource vertical.Resource, v float64) float64 {
	unit := float64(byteUnit)
	if resource == vertical.CPU {
		unit = cpuUnit
	}
	// Just above a whole number of units is the noise of the division.
	return math.Ceil(v/unit-1e-6) * unit
}
