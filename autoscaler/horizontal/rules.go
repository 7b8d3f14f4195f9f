package horizontal

import (
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// rule is one step of a decision. Each looks at the number of replicas that the rules before it arrived at and says what
// becomes of it, with its reason.
type rule interface {
	// name is the rule's name in records.
	name() string
	judge(s *state) verdict
}

// verdict is what a rule says.
type verdict struct {
	action   decision.Action
	code     string
	replicas int32 // after the rule; only a Change may alter it
	reason   string
	// settled ends the chain with this number, past every rule but the mode.
	settled bool
}

// rules is the chain, in order. Who may act at all comes first, what the signals say second, how far and how soon to follow
// them third.
func rules() []rule {
	return []rule{
		ownership{},
		enabled{},
		bounds{},
		freshness{},
		readiness{},
		tolerance{},
		stabilization{},
		rate{},
		minMax{},
	}
}

// state is what the rules work on.
type state struct {
	in       *Input
	policy   *v1alpha1.HorizontalPolicy
	behavior behavior
	readings []reading
	// winner is the reading that asks for the most replicas, nil when no signal is known.
	winner *reading
	// replicas is the number after the rules so far.
	replicas int32
}

func pass(s *state, code, reason string) verdict {
	return verdict{action: decision.Pass, code: code, replicas: s.replicas, reason: reason}
}

func hold(s *state, code, reason string) verdict {
	return verdict{action: decision.Hold, code: code, replicas: s.in.Current, reason: reason}
}

func change(replicas int32, code, reason string) verdict {
	return verdict{action: decision.Change, code: code, replicas: replicas, reason: reason}
}
