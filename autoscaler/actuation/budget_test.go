package actuation

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newTestBrake(share float64, atLeast, watched int) *brake {
	b := newBrake(Config{ChangedShare: share, ChangedAtLeast: atLeast}, NewMetrics(prometheus.NewRegistry()))
	b.watch(watched)
	return b
}

func uid(i int) types.UID { return types.UID(fmt.Sprint(i)) }

func TestTheBrakeCountsDistinctPodsWithinAnHour(t *testing.T) {
	b := newTestBrake(0.2, 2, 50)
	for i := range 10 {
		allowed, added := b.take(uid(i), noon.Add(time.Duration(i)*time.Minute), false, false)
		require.True(t, allowed)
		require.True(t, added)
		if i < 5 { // the same pod twice is one pod
			allowed, added = b.take(uid(i), noon.Add(time.Duration(i)*time.Minute), false, false)
			require.True(t, allowed)
			require.False(t, added)
		}
	}
	at := noon.Add(10 * time.Minute)
	open, reason := b.state(at)
	assert.False(t, open)
	assert.Equal(t, "10 of 50 pods were changed within 1h0m0s, and no more than 10 may be", reason)
	allowed, _ := b.take("new", at, false, false)
	assert.False(t, allowed)
	allowed, _ = b.take("new", at, false, true)
	assert.False(t, allowed, "to take back what nobody did is a change")
	allowed, _ = b.take(uid(3), at, false, true)
	assert.True(t, allowed, "what was changed can be taken back")
	allowed, _ = b.take("killed", at, true, false)
	assert.True(t, allowed, "a kill for memory is answered")

	// Eleven are counted, and two have to go before there is room.
	open, _ = b.state(noon.Add(time.Hour))
	assert.False(t, open)
	open, _ = b.state(noon.Add(time.Hour + time.Minute))
	assert.True(t, open)
	b.state(noon.Add(3 * time.Hour))
	assert.Empty(t, b.changed)
}

func TestTheBrakeOfASmallCluster(t *testing.T) {
	b := newTestBrake(0.2, 2, 3)
	for i := range 2 {
		allowed, _ := b.take(uid(i), noon, false, false)
		assert.True(t, allowed)
	}
	allowed, _ := b.take("third", noon, false, false)
	assert.False(t, allowed)
	b.untake(uid(1))
	allowed, _ = b.take("third", noon, false, false)
	assert.True(t, allowed, "what was not done does not count")
}

func TestTheBrakeLearnsFromPods(t *testing.T) {
	b := newTestBrake(0.5, 0, 4)
	b.learn("a", noon.Add(-59*time.Minute), noon)
	b.learn("b", noon.Add(-time.Minute), noon)
	b.learn("old", noon.Add(-time.Hour), noon)
	open, _ := b.state(noon)
	assert.False(t, open)
	open, _ = b.state(noon.Add(time.Minute))
	assert.True(t, open)
}

func TestEvictionsPerMinute(t *testing.T) {
	clock := clocktesting.NewFakeClock(noon)
	r := newRate(4, clock)
	_, ok := r.take(clock.Now())
	require.True(t, ok, "one at once")
	_, ok = r.take(clock.Now())
	require.False(t, ok, "a predecessor may have done the others")
	taken := 1
	var last time.Time
	for range 600 {
		clock.Step(time.Second)
		if _, ok := r.take(clock.Now()); ok {
			taken, last = taken+1, clock.Now()
		}
	}
	assert.LessOrEqual(t, taken, 4*11)
	assert.Greater(t, taken, 4*10-4)
	// In no minute were there more than four: after the last one there is room again a minute later at the latest.
	assert.True(t, r.full(last))
	clock.SetTime(last.Add(time.Minute))
	giveBack, ok := r.take(clock.Now())
	require.True(t, ok)
	for range 3 {
		_, ok = r.take(clock.Now())
		require.True(t, ok || r.full(clock.Now()))
	}
	require.True(t, r.full(clock.Now()))
	giveBack()
	assert.False(t, r.full(clock.Now()))

	none := newRate(0, clock)
	_, ok = none.take(clock.Now())
	assert.False(t, ok)
}

func TestUnavailableAllowed(t *testing.T) {
	tests := []struct {
		value  *intstr.IntOrString
		wanted int
		want   int
	}{
		{nil, 10, 1},
		{at(intstr.FromInt32(3)), 10, 3},
		{at(intstr.FromString("25%")), 10, 2},
		{at(intstr.FromString("25%")), 3, 1},
		{at(intstr.FromString("100%")), 7, 7},
		{at(intstr.FromString("some")), 7, 1},
	}
	for _, tc := range tests {
		assert.Equal(t, tc.want, unavailableAllowed(tc.value, tc.wanted), "%v of %d", tc.value, tc.wanted)
	}
}

func at(v intstr.IntOrString) *intstr.IntOrString { return &v }
