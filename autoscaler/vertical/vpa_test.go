package vertical_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vertical/vpa"
)

var vpaStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newVPA(t *testing.T, resource vertical.Resource, o vpa.Options) vertical.Model {
	t.Helper()
	m, err := vertical.NewVPA(resource, o)
	require.NoError(t, err)
	return m
}

func TestVPACPU(t *testing.T) {
	m := newVPA(t, vertical.CPU, vpa.DefaultOptions())
	_, ok := m.Estimate(vpaStart)
	assert.False(t, ok, "nothing is known yet")
	for i := range 2 * 24 * 60 {
		value := 0.2
		if i%20 == 0 {
			value = 1.5 // a twentieth of the time, so below the percentile
		}
		require.True(t, m.Observe(vertical.Sample{Time: vpaStart.Add(time.Duration(i) * time.Minute), Value: value}))
	}
	now := vpaStart.Add(48 * time.Hour)
	e, ok := m.Estimate(now)
	require.True(t, ok)
	assert.InDelta(t, 0.2*1.05*1.15, e.Target, 0.01, "a bucket's width and the margin")
	assert.Less(t, e.Lower, e.Target+1e-9)
	assert.Greater(t, e.Upper, e.Target)
	assert.InDelta(t, 2.0/3, e.Confidence, 0.001, "two days")
	assert.Zero(t, e.Floor)
	assert.Equal(t, 2*24*60, e.Samples)
	assert.Equal(t, vpaStart, e.Since)
	assert.Equal(t, "VPA", e.Model)
	assert.Regexp(t, `^percentile 90 of CPU usage is 0\.2\d\d cores, with a margin of 15% 0\.2\d\d cores, from 2880 samples$`, e.Reason)

	_, ok = m.Estimate(now.Add(9 * 24 * time.Hour))
	assert.False(t, ok, "everything known is too old")
}

func TestVPAMemory(t *testing.T) {
	const mib = 1 << 20
	m := newVPA(t, vertical.Memory, vpa.DefaultOptions().WithoutFloor())
	require.True(t, m.Observe(vertical.Sample{Time: vpaStart, Value: 100 * mib}))
	e, ok := m.Estimate(vpaStart)
	require.True(t, ok)
	assert.InDelta(t, 115*mib, e.Target, 6*mib, "no floor of 250 MiB")
	assert.InDelta(t, 115*mib, e.Floor, mib)

	m.ObserveOOM(vertical.OOM{Time: vpaStart.Add(time.Minute), Limit: 120 * mib, Usage: 119 * mib})
	killed, ok := m.Estimate(vpaStart.Add(time.Minute))
	require.True(t, ok)
	assert.InDelta(t, 220*1.15*mib, killed.Target, 12*mib, "100 MiB more than there was")

	with := newVPA(t, vertical.Memory, vpa.DefaultOptions())
	with.Observe(vertical.Sample{Time: vpaStart, Value: 100 * mib})
	e, _ = with.Estimate(vpaStart)
	assert.Equal(t, 250.0*mib, e.Target, "the floor of the VerticalPodAutoscaler")
}

func TestVPARefusesBadSamples(t *testing.T) {
	for _, resource := range []vertical.Resource{vertical.CPU, vertical.Memory, vertical.EphemeralStorage} {
		m := newVPA(t, resource, vpa.DefaultOptions())
		require.True(t, m.Observe(vertical.Sample{Time: vpaStart, Value: 1}))
		for _, value := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
			assert.False(t, m.Observe(vertical.Sample{Time: vpaStart.Add(time.Hour), Value: value}))
		}
		// A kill of another pod, seen late, lets nothing older in.
		m.ObserveOOM(vertical.OOM{Time: vpaStart.Add(-time.Hour), Limit: 1})
		assert.False(t, m.Observe(vertical.Sample{Time: vpaStart.Add(-time.Minute), Value: 1}))
		assert.True(t, m.Observe(vertical.Sample{Time: vpaStart.Add(time.Minute), Value: 1}))
	}
}

func TestVPARefusesBadOptions(t *testing.T) {
	_, err := vertical.NewVPA("gpu", vpa.DefaultOptions())
	assert.ErrorContains(t, err, `no resource "gpu"`)
	for field, change := range map[string]func(*vpa.Options){
		"cpu.target":        func(o *vpa.Options) { o.CPU.Target = 1.1 },
		"memory.lower":      func(o *vpa.Options) { o.Memory.Lower = -0.1 },
		"memory.upper":      func(o *vpa.Options) { o.Memory.Upper = math.NaN() },
		"cpu.halfLife":      func(o *vpa.Options) { o.CPU.HalfLife = 0 },
		"cpu.floor":         func(o *vpa.Options) { o.CPU.Floor = -1 },
		"memory.confidence": func(o *vpa.Options) { o.Memory.Confidence = 0 },
		"margin":            func(o *vpa.Options) { o.Margin = -1 },
		"interval":          func(o *vpa.Options) { o.Interval = 0 },
		"intervals":         func(o *vpa.Options) { o.Intervals = 0 },
		"oomRatio":          func(o *vpa.Options) { o.OOMRatio = 0.9 },
		"oomBump":           func(o *vpa.Options) { o.OOMBump = math.Inf(1) },
	} {
		o := vpa.DefaultOptions()
		change(&o)
		_, err := vertical.NewVPA(vertical.Memory, o)
		assert.ErrorContains(t, err, field+": ")
	}
}
