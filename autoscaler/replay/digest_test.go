package replay_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func number(v float64) *float64 { return &v }

func TestStepsInJSON(t *testing.T) {
	steps := []replay.Step{
		{Time: start, Container: "web", Resource: vertical.CPU, Usage: 0.25},
		{Time: start.Add(time.Millisecond), Container: `a "b" ü`, Resource: vertical.Memory, Usage: 123456789, Request: number(1 << 30), Recommended: number(0.1),
			Next: number(1e21), Model: "VPA", Warmup: true, Over: true, OOM: true, Change: true, Reason: "killed <at> \u2028 1 GiB\n"},
	}
	for _, step := range steps {
		text, err := step.AppendJSON(nil)
		require.NoError(t, err)
		var got replay.Step
		require.NoError(t, json.Unmarshal(text, &got), "%s", text)
		assert.Equal(t, step, got)
		want, err := json.Marshal(step)
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(text))
	}
}

func TestDigest(t *testing.T) {
	d := replay.NewDigest()
	const n = 100_000
	for i := range n {
		s := replay.Step{Time: start.Add(time.Duration(i) * time.Minute), Container: "web", Resource: vertical.Memory, Usage: float64(i), Request: number(float64(i) + 1), Next: number(float64(i) + 2)}
		s.Change, s.OOM = true, i%1000 == 0
		d.Add(&s)
	}
	assert.Equal(t, n, d.Samples)
	assert.Equal(t, start, d.First)
	assert.Len(t, d.OOMs, 20)
	changes := d.Changes()
	require.Len(t, changes, 20)
	for i, c := range changes {
		assert.Equal(t, float64(i), c.Usage, "the first are the largest by ratio, and they are in the order of time")
	}

	trace := d.Trace("web", vertical.Memory)
	require.NotNil(t, trace)
	points := trace.Points()
	assert.LessOrEqual(t, len(points), replay.Columns)
	assert.Greater(t, len(points), replay.Columns/2-1)
	for i := 1; i < len(points); i++ {
		assert.Greater(t, points[i].Usage, points[i-1].Usage)
	}
	assert.Equal(t, float64(n-1), points[len(points)-1].Usage, "no peak is lost")
	assert.Equal(t, float64(n), points[len(points)-1].Request)
	assert.Nil(t, d.Trace("web", vertical.CPU))
}

func TestATraceHasGaps(t *testing.T) {
	d := replay.NewDigest()
	for _, at := range []time.Duration{0, time.Second, 30 * time.Second} {
		d.Add(&replay.Step{Time: start.Add(at), Container: "web", Resource: vertical.CPU, Usage: 1})
	}
	points := d.Trace("web", vertical.CPU).Points()
	require.Len(t, points, 31)
	assert.Equal(t, 1.0, points[1].Usage)
	assert.True(t, math.IsNaN(points[15].Usage))
	assert.True(t, math.IsNaN(points[30].Request))
}
