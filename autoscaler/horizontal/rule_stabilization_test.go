package horizontal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// quiet is a value that rests on a source which was last heard that long ago.
func (w *workload) quiet(v float64, age time.Duration) *workload {
	w.signals[0] = Signal{State: decision.Fresh, Value: v, Age: &age}
	return w
}

// TestSilenceIsNoSmallerLoad falls silent at different replicas and windows. The value
// decays, as a rate over the last ten seconds does, long before the source is stale.
func TestSilenceIsNoSmallerLoad(t *testing.T) {
	for name, window := range map[string]int32{"no window": 0, "a window shorter than the silence": 5, "a longer window": 60} {
		t.Run(name, func(t *testing.T) {
			w := newWorkload(6).behavior(0, window)
			for range 100 {
				assert.Equal(t, decision.Unchanged, w.quiet(60, 500*time.Millisecond).tick().Outcome)
			}
			for silent := range 110 {
				left := max(0, 60-6*float64(silent))
				r := w.quiet(left, time.Duration(silent)*time.Second+500*time.Millisecond).tick()
				assert.Equal(t, int32(6), r.DesiredReplicas, "silent for %d s: %s", silent, r.Reason)
			}
			assert.Equal(t, int32(6), w.lost(decision.Stale, "no line for 2m").tick().DesiredReplicas)

			// The source is heard again, and there really is less to do.
			scaledIn := false
			for range window + 2 {
				scaledIn = scaledIn || w.quiet(20, 500*time.Millisecond).tick().Outcome == decision.ScaledIn
			}
			assert.True(t, scaledIn, "the load that is heard again counts")
			assert.Equal(t, int32(2), w.current)
		})
	}
}

// TestASlowSourceIsFollowedWhenItIsHeard exports once a minute: its falling value is followed
// once it is heard after the fall, and its rising value at once.
func TestASlowSourceIsFollowedWhenItIsHeard(t *testing.T) {
	w := newWorkload(6).behavior(0, 0)
	for age := range 60 {
		assert.Equal(t, int32(6), w.quiet(60, time.Duration(age)*time.Second).tick().DesiredReplicas)
	}
	assert.Equal(t, decision.ScaledOut, w.quiet(80, 0).tick().Outcome)
	assert.Equal(t, decision.ScaledIn, w.quiet(40, 0).tick().Outcome)
}
