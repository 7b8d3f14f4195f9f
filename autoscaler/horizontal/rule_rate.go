package horizontal

import (
	"fmt"
	"strings"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// rate limits the change within a period to what the policies of that direction allow.
type rate struct{}

func (rate) name() string { return "rate" }

func (rate) judge(s *state) verdict {
	current := s.in.Current
	switch {
	case s.replicas > current:
		highest := max(current, s.behavior.up.highest(current, s.in.History, s.in.Now))
		if s.replicas > highest {
			return change(highest, "ScaleUpLimit", "scaling up "+s.behavior.up.describe())
		}
	case s.replicas < current:
		lowest := min(current, s.behavior.down.lowest(current, s.in.History, s.in.Now))
		if s.replicas < lowest {
			return change(lowest, "ScaleDownLimit", "scaling down "+s.behavior.down.describe())
		}
	}
	return pass(s, "WithinRate", "the change is within the rate policies")
}

// describe says what the policies of a direction allow.
func (d direction) describe() string {
	if d.choose == v1alpha1.SelectDisabled {
		return "is disabled"
	}
	parts := make([]string, 0, len(d.limits))
	for _, l := range d.limits {
		unit := plural(l.value, "pod")
		if l.percent {
			unit = fmt.Sprintf("%d%%", l.value)
		}
		parts = append(parts, fmt.Sprintf("%s per %s", unit, short(l.period)))
	}
	joined := " or "
	if d.choose == v1alpha1.SelectMin {
		joined = " and "
	}
	return "is limited to " + strings.Join(parts, joined)
}
