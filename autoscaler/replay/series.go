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

	first, last, decided time.Time
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
		s.first = sample.Time
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
		return fmt.Errorf("usage %v: want a finite number that is not negative", sample.Usage)
	case s.first.IsZero() || sample.Time.After(s.last):
		return nil
	case sample.Time.Equal(s.last):
		return fmt.Errorf("container %s has two samples of %s", s.container, sample.Time.UTC().Format(time.RFC3339Nano))
	}
	return fmt.Errorf("%s of container %s comes after %s", sample.Time.UTC().Format(time.RFC3339Nano), s.container, s.last.UTC().Format(time.RFC3339Nano))
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
	if !step.OOM && !s.decided.IsZero() && step.Time.Before(s.decided.Add(s.rules.Every)) {
		return
	}
	estimate, ok := s.model.Estimate(step.Time)
	if !ok {
		return
	}
	s.decided = step.Time
	step.Recommended, step.Model = present(estimate.Target), estimate.Model
	next, reason := s.rules.next(s.resource, s.request, &estimate, step.OOM)
	step.Change = s.request > 0 && next != s.request
	if step.Change || step.OOM || s.request == 0 {
		step.Reason = reason
	}
	if step.OOM {
		step.Reason = fmt.Sprintf("killed at %s using %s: %s", quantity(s.resource, s.request), quantity(s.resource, step.Usage), reason)
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
