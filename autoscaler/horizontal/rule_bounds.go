package horizontal

import "fmt"

// bounds brings a target that is outside of the policy's limits back to the nearer one at once, whatever the signals say.
type bounds struct{}

func (bounds) name() string { return "bounds" }

func (bounds) judge(s *state) verdict {
	switch current := s.in.Current; {
	case current > s.policy.Max:
		v := change(s.policy.Max, "AboveMaximum", fmt.Sprintf("%d is above the maximum of %d", current, s.policy.Max))
		v.settled = true
		return v
	case current < s.policy.Min:
		v := change(s.policy.Min, "BelowMinimum", fmt.Sprintf("%d is below the minimum of %d", current, s.policy.Min))
		v.settled = true
		return v
	}
	return pass(s, "WithinLimits", fmt.Sprintf("the current replicas are within %d to %d", s.policy.Min, s.policy.Max))
}
