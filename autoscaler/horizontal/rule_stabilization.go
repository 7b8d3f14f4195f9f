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
	up, down := s.behavior.up.window, s.behavior.down.window+s.silence()
	stable := s.in.History.stabilize(s.in.Now, s.in.Current, s.replicas, up, down)
	switch {
	case stable == s.replicas:
		return pass(s, "Stable", "no recent recommendation speaks against it")
	case s.replicas < s.in.Current:
		return change(stable, "ScaleDownStabilized", fmt.Sprintf("the highest recommendation of the last %s is %d%s%s",
			short(s.behavior.down.window), stable, s.since(), s.young(down)))
	case s.replicas > s.in.Current:
		return change(stable, "ScaleUpStabilized", fmt.Sprintf("the lowest recommendation of the last %s is %d%s",
			short(up), stable, s.young(up)))
	}
	return change(stable, "Stabilized", fmt.Sprintf("recent recommendations ask for %d", stable))
}

// silence is how long ago the quietest of the signals was last heard. The window of scaling in ends there and not now: a rate
// falls to nothing while its source is silent and not yet old enough to be stale, and what is computed from silence
// must not count as a smaller load. Once the source is heard again, the window is the usual one.
func (s *state) silence() time.Duration {
	var longest time.Duration
	for i := range s.readings {
		if r := &s.readings[i]; r.known() && r.signal.Age != nil {
			longest = max(longest, *r.signal.Age)
		}
	}
	return longest
}

// noticeable is the silence from which on a reason mentions it. Whatever is read is some seconds old.
const noticeable = 20 * time.Second

// since says so when the window ends noticeably before the present.
func (s *state) since() string {
	silence := s.silence()
	if silence < noticeable {
		return ""
	}
	return fmt.Sprintf(", counted back from the last sign of life %s ago", short(silence))
}

// young says so when the history is shorter than the window: after a restart, the replicas found then count as recommended.
func (s *state) young(window time.Duration) string {
	since := s.in.History.Since()
	if since.IsZero() || s.in.Now.Sub(since) >= window {
		return ""
	}
	return fmt.Sprintf(", counting the replicas found when watching began at %s", since.UTC().Format(time.TimeOnly))
}
