package disruption

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// InWindow says whether work may be done at now: in any of the windows, or always when there are none. Windows are half open, from
// the moment at which they open. The text is one clause for people. A schedule that cannot be read is an error and no window: what
// was meant as a restriction must not become a permission.
func InWindow(windows []v1alpha1.Window, now time.Time) (open bool, why string, err error) {
	if len(windows) == 0 {
		return true, "no windows are set", nil
	}
	var next time.Time
	for i, w := range windows {
		s, err := parse(w.Schedule, w.Timezone, w.Duration.Duration)
		if err != nil {
			return false, "", fmt.Errorf("window %d: %w", i, err)
		}
		if s.applies(now) {
			return true, fmt.Sprintf("the window %q is open", w.Schedule), nil
		}
		if at := s.next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if next.IsZero() {
		return false, "no window ever opens", nil
	}
	return false, "the next window opens at " + next.Format(time.RFC3339), nil
}

// schedule is a span of time that comes back.
type schedule struct {
	cron     cron.Schedule
	zone     *time.Location
	duration time.Duration
}

// fiveFields is cron as Kubernetes' CronJob has it, without descriptors such as @daily.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func parse(text, timezone string, duration time.Duration) (schedule, error) {
	// The parser takes a leading TZ= for a time zone, which has a field of its own here.
	if strings.Contains(text, "=") || len(strings.Fields(text)) != 5 {
		return schedule{}, fmt.Errorf("the schedule %q does not have cron's five fields", text)
	}
	c, err := fiveFields.Parse(text)
	if err != nil {
		return schedule{}, fmt.Errorf("reading the schedule %q: %w", text, err)
	}
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		return schedule{}, fmt.Errorf("the schedule %q: %w", text, err)
	}
	if duration <= 0 {
		return schedule{}, fmt.Errorf("the schedule %q needs a duration above 0", text)
	}
	return schedule{cron: c, zone: zone, duration: duration}, nil
}

// applies says whether now is within [start, start+duration) of some start. Spans that overlap make one.
func (s schedule) applies(now time.Time) bool {
	// The first start after now-duration is the only one that matters: its span ends after now.
	start := s.cron.Next(now.Add(-s.duration).In(s.zone))
	return !start.IsZero() && !start.After(now)
}

// next is the first start after now, zero when there is none within five years, as for the 30th of February.
func (s schedule) next(now time.Time) time.Time { return s.cron.Next(now.In(s.zone)) }
