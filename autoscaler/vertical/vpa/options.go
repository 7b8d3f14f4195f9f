package vpa

import (
	"fmt"
	"math"
	"time"
)

// Options are what the recommender takes as flags. DefaultOptions has their defaults.
type Options struct {
	CPU, Memory ResourceOptions
	// Margin is what is added to a percentile, as a fraction of it.
	Margin float64
	// Interval is how long the highest usage of memory counts as one sample. It is a day by default, so that memory follows the
	// peaks of days.
	Interval time.Duration
	// Intervals is after how many intervals without a sample everything is forgotten.
	Intervals int
	// OOMRatio and OOMBump say what a kill for memory asks for: the memory that there was times OOMRatio, and OOMBump bytes more
	// at least.
	OOMRatio, OOMBump float64
	// Containers is how many containers of a pod share its Floor. Below 1 counts as 1.
	Containers int
}

// ResourceOptions are those for one resource.
type ResourceOptions struct {
	// Target, Lower and Upper are the percentiles, from 0 to 1, of the request and of the bounds around it.
	Target, Lower, Upper float64
	// HalfLife is the age at which a sample has half the weight of a new one.
	HalfLife time.Duration
	// Confidence is the length of history, in days or whatever it is set to, by which bounds narrow: with one of it the upper bound
	// is twice as far as with endless history.
	Confidence time.Duration
	// Floor is what a pod is recommended at least, in cores or bytes. 0 is none.
	Floor float64
}

// DefaultOptions are the defaults of the recommender's release 1.8.1, with its floors of 25 millicores and 250 MiB for a pod.
func DefaultOptions() Options {
	cpu := ResourceOptions{Target: 0.9, Lower: 0.5, Upper: 0.95, HalfLife: 24 * time.Hour, Confidence: 24 * time.Hour, Floor: 0.025}
	memory := cpu
	memory.Floor = 250 << 20
	return Options{
		CPU: cpu, Memory: memory, Margin: 0.15,
		Interval: 24 * time.Hour, Intervals: 8, OOMRatio: 1.2, OOMBump: 100 << 20, Containers: 1,
	}
}

// WithoutFloor returns the options with no least recommendation.
func (o Options) WithoutFloor() Options {
	o.CPU.Floor, o.Memory.Floor = 0, 0
	return o
}

// longest keeps sums of a hundred half-lives within what a time.Duration holds.
const longest = 365 * 24 * time.Hour

// Validate checks the options. Errors name the field.
func (o Options) Validate() error {
	for _, r := range []struct {
		name string
		ResourceOptions
	}{{"cpu", o.CPU}, {"memory", o.Memory}} {
		if err := r.validate(); err != nil {
			return fmt.Errorf("%s.%w", r.name, err)
		}
	}
	switch {
	case !(o.Margin >= 0) || math.IsInf(o.Margin, 0):
		return fmt.Errorf("margin: must not be negative")
	case o.Interval < time.Second || o.Interval > longest:
		return fmt.Errorf("interval: must be from 1s to a year")
	case o.Intervals < 1:
		return fmt.Errorf("intervals: must be at least 1")
	case !(o.OOMRatio >= 1) || math.IsInf(o.OOMRatio, 0):
		return fmt.Errorf("oomRatio: must be at least 1")
	case !(o.OOMBump >= 0) || math.IsInf(o.OOMBump, 0):
		return fmt.Errorf("oomBump: must not be negative")
	}
	return nil
}

func (r ResourceOptions) validate() error {
	for name, p := range map[string]float64{"target": r.Target, "lower": r.Lower, "upper": r.Upper} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("%s: must be from 0 to 1", name)
		}
	}
	switch {
	case r.HalfLife < time.Second || r.HalfLife > longest:
		return fmt.Errorf("halfLife: must be from 1s to a year")
	case r.Confidence < time.Second || r.Confidence > longest:
		return fmt.Errorf("confidence: must be from 1s to a year")
	case !(r.Floor >= 0) || math.IsInf(r.Floor, 0):
		return fmt.Errorf("floor: must not be negative")
	}
	return nil
}
