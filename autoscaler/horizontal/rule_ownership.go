package horizontal

import (
	"fmt"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// ownership keeps two autoscalers from driving one target: the replicas would swing between their opinions for ever. Only acting is
// forbidden, so that a policy can be tried out beside the one that it is to replace.
type ownership struct{}

func (ownership) name() string { return "ownership" }

func (ownership) judge(s *state) verdict {
	switch {
	case s.in.Owner == "":
		return pass(s, "Free", "nobody else scales the target")
	case s.in.Policy.Spec.Mode != v1alpha1.Apply:
		return pass(s, "OwnedElsewhere", fmt.Sprintf("%s scales the target, which this policy leaves alone anyway", s.in.Owner))
	}
	return hold(s, "OwnedElsewhere", fmt.Sprintf("%s scales the target; two autoscalers must not", s.in.Owner))
}
