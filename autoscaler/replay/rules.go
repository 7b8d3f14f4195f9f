package replay

import (
	"math"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Rules are what a policy makes of an estimate, in the order in which package sizing has them for a running container: the
// estimate, the confidence in it, the tolerance, the recent peak, what the policy allows. Quantities are in cores or bytes.
type Rules struct {
	// Min and Max bound the request, both inclusive; 0 is no bound. Max wins where they contradict each other.
	Min, Max float64
	// Tolerance is the difference between the request in force and the new one, as a fraction of the one in force, up to which
	// nothing changes.
	Tolerance float64
	// Declared is the request that the manifest has: in force from the start, and what is not left far behind on little
	// confidence. 0 is none: then the model is followed from the start.
	Declared float64
	// Every is the shortest time between two decisions; 0 decides after each sample. A kill is answered at once.
	Every time.Duration
}

// DefaultTolerance is that of policies that give none.
const DefaultTolerance = 0.1

const (
	leastCPU, mostCPU       = 0.001, 1e5
	leastMemory, mostMemory = 4 << 20, 1 << 50
	mebibyte                = 1 << 20
	// oomAnswer is how long a kill is a reason to grow past the tolerance.
	oomAnswer = time.Hour
)

// earlyMargin is how many times its newest usage a container may request at least, however little is known.
const earlyMargin = 1.5

// next is the request that follows one in force, which is 0 when there is none. Killed is true when a kill for memory is recent. The
// words name the rules that had a say.
func (r Rules) next(resource vertical.Resource, before, usage float64, e *vertical.Estimate, killed bool) (request float64, words string) {
	least, most := r.allowed(resource)
	_, beyond := Rules{}.allowed(resource)
	value := min(e.Target, beyond)
	urgent := killed && e.Target > before
	if r.Declared > 0 {
		value, words = r.declared(value, before, usage, e)
	}
	if before > 0 && !(urgent && value > before) {
		if difference := value/before - 1; math.Abs(difference) <= r.Tolerance {
			value = before
		}
	}
	if floor := min(e.Floor, before); value < floor {
		value, words = floor, "; not below the recent peak"
	}
	if value != before {
		value = roundUp(resource, value)
	}
	switch {
	case value > most:
		value, words = most, "; lowered to the most that is allowed"
	case value < least && least <= most:
		value, words = least, "; raised to the least that is allowed"
	}
	return value, words
}

// declared limits how far a request leaves what the manifest declares while little is known.
func (r Rules) declared(value, before, usage float64, e *vertical.Estimate) (bounded float64, words string) {
	missing := (1 - e.Confidence) * (1 - e.Confidence)
	if floor := min(r.Declared*missing, before); value < floor {
		return floor, "; not far below what is declared on a short history"
	}
	measured := max(r.Declared, earlyMargin*usage, e.Floor)
	if ceiling := max(before, measured+(value-measured)*(1-missing)); value > ceiling {
		return ceiling, "; not far beyond what is measured on a short history"
	}
	return value, ""
}

// allowed returns the smallest and the largest request.
func (r Rules) allowed(resource vertical.Resource) (least, most float64) {
	least, most = leastMemory, mostMemory
	if resource == vertical.CPU {
		least, most = leastCPU, mostCPU
	}
	if r.Max > 0 {
		most = r.Max
	}
	return max(least, r.Min), most
}

// roundUp gives what a request is a whole number of: thousandths of a core, MiB. What is within a billionth of a whole number is
// that number.
func roundUp(resource vertical.Resource, v float64) float64 {
	if resource == vertical.CPU {
		return math.Ceil(v*1000*(1-1e-9)) / 1000
	}
	return math.Ceil(v/mebibyte*(1-1e-9)) * mebibyte
}
