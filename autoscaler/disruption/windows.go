package disruption

import (
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// farthest is how far ahead AfterOpen looks.
const farthest = 366 * 24 * time.Hour

// AfterOpen is when windows will have been open for a time, from a time on: when work that takes so long will be done. Windows that
// overlap count once. Without windows all time counts. It is zero when that is more than a year away.
func AfterOpen(windows []v1alpha1.Window, from time.Time, need time.Duration) (time.Time, error) {
	if len(windows) == 0 {
		if need > farthest {
			return time.Time{}, nil
		}
		return from.Add(need), nil
	}
	spans := make([]schedule, len(windows))
	for i, w := range windows {
		var err error
		if spans[i], err = parse(w.Schedule, w.Timezone, w.Duration.Duration); err != nil {
			return time.Time{}, fmt.Errorf("window %d: %w", i, err)
		}
	}
	for at := from; at.Sub(from) <= farthest; {
		var until, next time.Time
		for _, s := range spans {
			if start := s.cron.Next(at.Add(-s.duration).In(s.zone)); !start.IsZero() && !start.After(at) {
				if end := start.Add(s.duration); end.After(until) {
					until = end
				}
			}
			if start := s.next(at); !start.IsZero() && (next.IsZero() || start.Before(next)) {
				next = start
			}
		}
		switch {
		case !until.IsZero() && until.Sub(at) >= need:
			return at.Add(need).In(from.Location()), nil
		case !until.IsZero():
			need -= until.Sub(at)
			at = until
		case next.IsZero():
			return time.Time{}, nil
		default:
			at = next
		}
	}
	return time.Time{}, nil
}
