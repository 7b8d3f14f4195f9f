package autoscaler

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"
)

// paper is a lease on which every write does what the test says.
type paper struct {
	resourcelock.Interface
	write func() error
}

func (p *paper) Identity() string                                                { return "me" }
func (p *paper) Create(context.Context, resourcelock.LeaderElectionRecord) error { return p.write() }
func (p *paper) Update(context.Context, resourcelock.LeaderElectionRecord) error { return p.write() }

// A process that wakes up after a while knows at once that it may lead no more, whatever its elector has not noticed yet.
func TestALeaseHoldsOnlySoLong(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	lease := &paper{write: func() error { return nil }}
	f := &fence{Interface: lease, clock: clock, deadline: 10 * time.Second}
	mine := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
	assert.False(t, f.holds(), "it was never taken")
	require.NoError(t, f.Create(t.Context(), mine))
	assert.True(t, f.holds())
	clock.Step(10 * time.Second)
	assert.True(t, f.holds())
	clock.Step(time.Nanosecond)
	assert.False(t, f.holds(), "somebody else may take it from now on")

	lease.write = func() error { clock.Step(9 * time.Second); return nil }
	require.NoError(t, f.Update(t.Context(), mine))
	assert.True(t, f.holds())
	clock.Step(2 * time.Second)
	assert.False(t, f.holds(), "it counts from the question, not from the answer")

	lease.write = func() error { return errors.New("conflict") }
	require.Error(t, f.Update(t.Context(), mine))
	assert.False(t, f.holds(), "it was not renewed")

	lease.write = func() error { return nil }
	require.NoError(t, f.Update(t.Context(), mine))
	assert.True(t, f.holds())
	lease.write = func() error { return errors.New("no answer") }
	require.Error(t, f.Update(t.Context(), mine))
	assert.True(t, f.holds(), "the last renewal still counts")
	lease.write = func() error { assert.False(t, f.holds(), "whoever gives it back leads no more"); return nil }
	require.NoError(t, f.Update(t.Context(), resourcelock.LeaderElectionRecord{}))
	assert.False(t, f.holds())
}
