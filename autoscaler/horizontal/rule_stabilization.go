package horizontal

import (
	"fmt"
	"time"
)

// stabilization follows a falling signal only to the highest, and a rising one only to the lowest, of the recommendations within
// the window of that direction.
type stabilization struct{}

func (stabilization) name() string { return "stabilization" }

func (stabilization) judge(s *state) verdict {
	up, down := s.behavior.up.window, s.behavior.down.window
	stable := s.in.History.stabilize(s.in.Now, s.in.Current, s.replicas, up, down)
	switch {
	case stable == s.replicas:
		return pass(s, "Stable", "no recent recommendation speaks against it")
	case s.replicas < s.in.Current:
		return change(stable, "ScaleDownStabilized", fmt.Sprintf("the highest recommendation of the last %s is %d%s",
			short(down), stable, s.young(down)))
	case s.replicas > s.in.Current:
		return change(stable, "ScaleUpStabilized", fmt.Sprintf("the lowest recommendation of the last %s is %d%s",
			short(up), stable, s.young(up)))
	}
	return change(stable, "Stabilized", fmt.Sprintf("recent recommendations ask for %d", stable))
}

// young says so when the history is shorter than the window: after a restart, the replicas found then count as recommended.
func (s *state) young(window time.Duration) string {
	since := s.in.History.Since()
	if since.IsZero() || s.in.Now.Sub(since) >= window {
		return ""
	}
	return fmt.Sprintf(", counting the replicas found when watching began at %s", since.UTC().Format(time.TimeOnly))
}
