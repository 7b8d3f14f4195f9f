package horizontal

import "fmt"

// minMax keeps the result within the policy's limits.
type minMax struct{}

func (minMax) name() string { return "minMax" }

func (minMax) judge(s *state) verdict {
	switch {
	case s.replicas > s.policy.Max:
		return change(s.policy.Max, "TooManyReplicas", fmt.Sprintf("the maximum is %d", s.policy.Max))
	case s.replicas < s.policy.Min:
		return change(s.policy.Min, "TooFewReplicas", fmt.Sprintf("the minimum is %d", s.policy.Min))
	}
	return pass(s, "WithinRange", fmt.Sprintf("within %d to %d", s.policy.Min, s.policy.Max))
}
