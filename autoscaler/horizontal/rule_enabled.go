package horizontal

// enabled leaves a target alone that somebody has set to zero replicas: that is how a workload is switched off.
type enabled struct{}

func (enabled) name() string { return "enabled" }

func (enabled) judge(s *state) verdict {
	if s.in.Current == 0 {
		return hold(s, "ScalingDisabled", "the target is switched off: its replicas are set to 0")
	}
	return pass(s, "Enabled", "the target is switched on")
}
