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
	// Declared is the request that the manifest has: in force from the start, and what little confidence does not go far below.
	// 0 is none.
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

// next is the request that follows one in force, which is 0 when there is none. Killed is true when a kill for memory is recent. The
// words name the rules that had a say.
func (r Rules) next(resource vertical.Resource, before float64, e *vertical.Estimate, killed bool) (request float64, words string) {
	least, most := r.allowed(resource)
	value := min(e.Target, most)
	missing := 1 - e.Confidence
	if floor := min(r.Declared*missing*missing, before); value < floor {
		value, words = floor, "; not far below what is declared on a short history"
	}
	if before > 0 && !(killed && value > before) {
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
