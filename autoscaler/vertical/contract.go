package vertical

import "time"

// Resource is what is estimated.
type Resource string

const (
	// CPU is in cores.
	CPU Resource = "cpu"
	// Memory is in bytes.
	Memory Resource = "memory"
	// EphemeralStorage is in bytes.
	EphemeralStorage Resource = "ephemeral-storage"
)

// Sample is what one container used, or the containers of one name in all pods of a role, over the interval that ends at Time.
type Sample struct {
	Time time.Time
	// Value is the usage that a request has to hold: the highest of the interval and of the pods, in cores or bytes. It is
	// finite and not negative.
	Value float64
	// Mean is the average over the interval and the pods; equal to Value when the source has one number only.
	Mean float64
	// Throttled is the share of CFS periods in which the container was held back by its limit, from 0 to 1.
	Throttled float64
	// Pressure is the share of time in which a task of the container waited for the resource (PSI "some"), from 0 to 1.
	Pressure float64
}

// OOM is a kill for memory.
type OOM struct {
	Time time.Time
	// Limit is the limit in force, 0 when there was none or it is unknown.
	Limit float64
	// Usage is the highest usage known before the kill; it may be below the limit, since usage is sampled.
	Usage float64
}

// Estimate is what a model says. Quantities are in the resource's unit.
type Estimate struct {
	// Target is what the request should be.
	Target float64
	// Lower and Upper are the bounds between which a request in force does neither harm nor much waste.
	Lower, Upper float64
	// Floor is what a request in force must not be reduced below now: for memory the recent observed peak with a margin.
	Floor float64
	// Model is the name of the model that decided, Reason one sentence with its numbers.
	Model  string
	Reason string
	// Confidence is from 0 to 1, by the length of the history and its variance.
	Confidence float64
	// Samples is how many were observed, Since when the oldest that still counts was taken.
	Samples int
	Since   time.Time
}

// Model estimates one resource of one container. It is not safe for concurrent use.
type Model interface {
	// Observe takes a sample. One that is older than the newest before it, not finite or negative is ignored and reported false.
	// A gap ages what is known and is no usage.
	Observe(Sample) bool
	// ObserveOOM takes a kill. The estimate answers it at once.
	ObserveOOM(OOM)
	// Estimate says what the request should be at a time that is not before the newest sample. It reports false while nothing
	// is known.
	Estimate(now time.Time) (Estimate, bool)
}
