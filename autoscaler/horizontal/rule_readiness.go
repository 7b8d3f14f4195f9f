package horizontal

import (
	"fmt"
	"strings"
)

// readiness reports how pods counted that are not ready or have no sample: against any change. The proposal of a resource
// objective has that worked in already.
type readiness struct{}

func (readiness) name() string { return "readiness" }

func (readiness) judge(s *state) verdict {
	p := s.winner.proposal
	if p.Unready == 0 && p.Missing == 0 {
		return pass(s, "AllCounted", "every pod counts with its own value")
	}
	var parts []string
	if p.Unready > 0 {
		parts = append(parts, plural(int32(p.Unready), "pod")+" not ready")
	}
	if p.Missing > 0 {
		parts = append(parts, plural(int32(p.Missing), "pod")+" without samples")
	}
	others := strings.Join(parts, " and ")
	if p.KeptByPods {
		return hold(s, "PodsUnknown", fmt.Sprintf("%s, but the %s could make up for it", s.winner.describe(), others))
	}
	if p.Ratio > 1 {
		return pass(s, "CountedAsIdle", others+" counted as idle")
	}
	if p.Missing > 0 {
		return pass(s, "CountedAsBusy", others+": those without samples counted as busy")
	}
	return pass(s, "LeftOut", others+" left out")
}
