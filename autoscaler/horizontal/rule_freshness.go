package horizontal

import (
	"fmt"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// freshness forbids scaling in on a signal that is not known: an outage of the metrics looks like an idle workload. Scaling out
// on the signals that are known stays allowed.
type freshness struct{}

func (freshness) name() string { return "freshness" }

func (freshness) judge(s *state) verdict {
	var unknown []string
	code := ""
	for i := range s.readings {
		r := &s.readings[i]
		if r.known() {
			continue
		}
		if code == "" {
			code = "Signal" + string(r.state)
		}
		unknown = append(unknown, fmt.Sprintf("%s is %s: %s", r.objective.Name, strings.ToLower(string(r.state)), r.reason))
	}
	switch {
	case len(unknown) == 0:
		return pass(s, "AllFresh", "every signal is fresh")
	case s.winner == nil:
		return hold(s, code, fmt.Sprintf("no signal is known: %s", strings.Join(unknown, "; ")))
	case s.winner.proposal.Replicas < s.in.Current:
		return hold(s, code, fmt.Sprintf("the known signals ask for %d, but nothing is scaled in on part of them: %s",
			s.winner.proposal.Replicas, strings.Join(unknown, "; ")))
	}
	return pass(s, code, fmt.Sprintf("no scaling in while %s", strings.Join(unknown, "; ")))
}

// known tells whether every signal is.
func (s *state) allKnown() bool {
	for i := range s.readings {
		if s.readings[i].state != decision.Fresh {
			return false
		}
	}
	return true
}
