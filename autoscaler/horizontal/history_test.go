package horizontal

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWindowsAgainstAllRecommendations compares the history, which forgets what cannot matter any more, with one that keeps all.
func TestWindowsAgainstAllRecommendations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		up, down := time.Duration(random.IntN(40))*time.Second, time.Duration(random.IntN(40))*time.Second
		history := &History{}
		var all []recommendation
		for at := now; at.Before(now.Add(3 * time.Minute)); at = at.Add(time.Duration(1+random.IntN(3)) * time.Second) {
			current, recommended := int32(random.IntN(10)), int32(random.IntN(10))
			lowest, highest := recommended, recommended
			for _, r := range all {
				if r.at.After(at.Add(-up)) {
					lowest = min(lowest, r.replicas)
				}
				if r.at.After(at.Add(-down)) {
					highest = max(highest, r.replicas)
				}
			}
			want := min(max(current, lowest), highest)
			require.Equal(t, want, history.stabilize(at, current, recommended, up, down))
			history.Recommend(at, recommended)
			all = append(all, recommendation{at, recommended})
		}
	}
}

func TestHistoryStaysSmall(t *testing.T) {
	history := &History{}
	for i := range 5_000 {
		at := now.Add(time.Duration(i) * time.Second)
		history.stabilize(at, 5, int32(5+i%3), 0, time.Hour)
		history.Recommend(at, int32(5+i%3))
		history.Scale(at, 5, 6)
	}
	assert.LessOrEqual(t, len(history.highest), 3)
	assert.LessOrEqual(t, len(history.lowest), 3)
	assert.LessOrEqual(t, len(history.scalings), int(longestPeriod/time.Second)+1)
}

func TestReplicasAtStartOfPeriod(t *testing.T) {
	history := &History{}
	history.Scale(now.Add(-90*time.Second), 1, 5)
	history.Scale(now.Add(-30*time.Second), 5, 3)
	history.Scale(now.Add(-10*time.Second), 3, 9)
	assert.Equal(t, int32(9), history.replicasAt(9, 5*time.Second, now))
	assert.Equal(t, int32(3), history.replicasAt(9, 15*time.Second, now))
	assert.Equal(t, int32(5), history.replicasAt(9, time.Minute, now))
	assert.Equal(t, int32(1), history.replicasAt(9, time.Hour, now))
}
