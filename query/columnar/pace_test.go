package columnar

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pace of a quarter rests three times as long as it works.
func TestPace(t *testing.T) {
	for share, rest := range map[float64]time.Duration{0.25: 3 * time.Second, 0.5: time.Second, 0.8: 250 * time.Millisecond, 1: 0} {
		p := pace{share: share}
		require.InDelta(t, float64(rest), float64(p.restAfter(time.Second)), 1000, "%g", share)
	}
}
