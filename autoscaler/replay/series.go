package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// series replays one resource of one container. It is not safe for concurrent use.
type series struct {
	container string
	resource  vertical.Resource
	model     vertical.Model
	rules     Rules
	warmup    time.Duration

	first, last, decided, killed time.Time
	// shortest is the shortest interval between two samples so far.
	shortest time.Duration
	request  float64 // 0 while there is none
	tally    tally
}

// gap is how many times the shortest interval between two samples is a gap: the container counts as not running in it.
const gap = 10

// step takes one sample. The request that it meets was decided before.
func (s *series) step(sample Sample) (Step, error) {
	if err := s.check(sample); err != nil {
		return Step{}, err
	}
	if s.first.IsZero() {
		s.first, s.request = sample.Time, s.rules.Declared
	}
	elapsed := s.interval(sample.Time)
	step := Step{
		Time: sample.Time, Container: s.container, Resource: s.resource, Usage: sample.Usage,
		Request: present(s.request), Warmup: sample.Time.Before(s.first.Add(s.warmup)),
	}
	step.Over = s.request > 0 && sample.Usage > s.request
	step.OOM = step.Over && s.resource == vertical.Memory

	s.model.Observe(vertical.Sample{Time: sample.Time, Value: sample.Usage, Mean: sample.Usage})
	if step.OOM {
		s.model.ObserveOOM(vertical.OOM{Time: sample.Time, Limit: s.request, Usage: sample.Usage})
	}
	s.decide(&step)
	s.last = sample.Time
	if !step.Warmup {
		s.tally.add(&step, elapsed)
	}
	return step, nil
}

func (s *series) check(sample Sample) error {
	switch {
	case math.IsNaN(sample.Usage) || math.IsInf(sample.Usage, 0) || sample.Usage < 0:
		return fmt.Errorf("value %v: want a finite number that is not negative", sample.Usage)
	case s.first.IsZero() || sample.Time.After(s.last):
		return nil
	case sample.Time.Equal(s.last):
		return fmt.Errorf("timestamp %s: container %s has a sample of that time already", stamp(sample.Time), s.container)
	}
	return fmt.Errorf("timestamp %s: container %s has a sample of %s before it", stamp(sample.Time), s.container, stamp(s.last))
}

// interval is how long the container ran up to now, as far as its samples tell.
func (s *series) interval(now time.Time) time.Duration {
	if s.last.IsZero() {
		return 0
	}
	elapsed := now.Sub(s.last)
	if s.shortest == 0 || elapsed < s.shortest {
		s.shortest = elapsed
	}
	if elapsed > gap*s.shortest {
		return s.shortest
	}
	return elapsed
}

// decide sets the request in force from here on.
func (s *series) decide(step *Step) {
	step.Next = step.Request
	if step.OOM {
		s.killed = step.Time
	}
	if !step.OOM && !s.decided.IsZero() && step.Time.Before(s.decided.Add(s.rules.Every)) {
		return
	}
	estimate, ok := s.model.Estimate(step.Time)
	if !ok {
		return
	}
	recent := !s.killed.IsZero() && step.Time.Sub(s.killed) < oomAnswer
	s.decided = step.Time
	step.Recommended, step.Model = present(estimate.Target), estimate.Model
	next, words := s.rules.next(s.resource, s.request, step.Usage, &estimate, recent)
	step.Change = s.request > 0 && next != s.request
	switch {
	case step.OOM:
		step.Reason = fmt.Sprintf("killed at %s using %s: %s%s", Quantity(s.resource, s.request), Quantity(s.resource, step.Usage), estimate.Reason, words)
	case step.Change || s.request == 0:
		step.Reason = estimate.Reason + words
	}
	s.request = next
	step.Next = present(next)
}

func present(v float64) *float64 {
	if v == 0 {
		return nil
	}
	return &v
}
