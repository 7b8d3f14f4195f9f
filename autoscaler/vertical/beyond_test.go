package vertical_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// TestNothingIsAskedForThatWasNeverSeen follows bursts that come at random times, of which a forecast is wrong by any factor.
func TestNothingIsAskedForThatWasNeverSeen(t *testing.T) {
	for _, name := range names {
		random := rand.New(rand.NewPCG(3, 4))
		m := newModel(t, name, vertical.CPU)
		const quiet, busy, peak = 0.05, 4.0, 16.0
		usage := func(int) float64 {
			switch r := random.Float64(); {
			case r < 0.01:
				return peak
			case r < 0.05:
				return busy * random.Float64()
			}
			return quiet * (1 + 0.1*random.Float64())
		}
		for i := range 5 * 288 {
			at := begin.Add(time.Duration(i) * 5 * time.Minute)
			m.Observe(vertical.Sample{Time: at, Value: usage(i)})
			// A tenth for growth, and half of a tenth for the width of a bucket.
			if e := target(t, m, at); e.Target > 1.15*peak {
				t.Fatalf("%s: %s", name, e.Reason)
			}
		}
	}
}
