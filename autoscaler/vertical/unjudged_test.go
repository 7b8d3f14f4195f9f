package vertical_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// TestWhoWasNeverJudgedIsNotChosen follows a steady load past the moments at which the forecasts of an hour and of a day have
// something to say for the first time.
func TestWhoWasNeverJudgedIsNotChosen(t *testing.T) {
	for _, r := range []vertical.Resource{vertical.CPU, vertical.Memory} {
		model, err := vertical.New(vertical.Auto, r, vertical.Options{})
		require.NoError(t, err)
		unit := 1.0
		if r == vertical.Memory {
			unit = 1 << 30
		}
		random := rand.New(rand.NewPCG(1, 2))
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		highest := 0.0
		for minute := range 3 * 24 * 60 {
			used := unit * max(0.05, 0.3+0.1*random.NormFloat64())
			highest = max(highest, used)
			require.True(t, model.Observe(vertical.Sample{Time: at.Add(time.Duration(minute) * time.Minute), Value: used, Mean: used}))
			if e, ok := model.Estimate(at.Add(time.Duration(minute) * time.Minute)); ok && minute > 12*60 {
				assert.LessOrEqual(t, e.Target, 2*highest, "%s after %d minutes: %s", r, minute, e.Reason)
			}
		}
	}
}
