package horizontal

import "fmt"

// tolerance follows the signal that asks for the most replicas, unless it deviates from its target by no more than the
// tolerance of that direction.
type tolerance struct{}

func (tolerance) name() string { return "tolerance" }

func (tolerance) judge(s *state) verdict {
	p := s.winner.proposal
	switch {
	case p.Replicas > s.replicas:
		return change(p.Replicas, "AboveTarget", s.winner.describe())
	case p.Replicas < s.replicas:
		return change(p.Replicas, "BelowTarget", s.winner.describe())
	case s.behavior.tolerance.holds(p.Ratio):
		return pass(s, "OnTarget", fmt.Sprintf("%s, within the tolerance of %s%% up and %s%% down", s.winner.describe(),
			number(s.behavior.tolerance.Up*100), number(s.behavior.tolerance.Down*100)))
	}
	return pass(s, "SameReplicas", fmt.Sprintf("%s, which asks for no other number than %d", s.winner.describe(), s.replicas))
}
