package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

func TestEventReasons(t *testing.T) {
	record := func(outcome decision.Outcome, code string, desired int32) *decision.Record {
		return &decision.Record{Outcome: outcome, Code: code, DesiredReplicas: desired}
	}
	steps := []struct {
		record *decision.Record
		want   string
	}{
		{record(decision.Unchanged, "OnTarget", 3), ""},
		{record(decision.ScaledOut, "AboveTarget", 5), "ScaledOut"},
		{record(decision.Held, "ScaleUpLimit", 5), "Held"},
		{record(decision.ScaledOut, "AboveTarget", 7), "ScaledOut"},
		{record(decision.Unchanged, "OnTarget", 7), ""},
		{record(decision.Held, "SignalMissing", 7), "Held"},
		{record(decision.Held, "SignalMissing", 7), ""},
		{record(decision.Held, "SignalStale", 7), "Held"},
		{record(decision.Unchanged, "OnTarget", 7), "Resumed"},
		{record(decision.Failed, "TargetNotFound", 7), "Failed"},
		{record(decision.Failed, "TargetNotFound", 7), ""},
		{record(decision.Unchanged, "OnTarget", 7), ""},
		{record(decision.Recommended, "AboveTarget", 9), "Recommended"},
		{record(decision.Recommended, "ScaleUpLimit", 9), ""},
		{record(decision.Recommended, "AboveTarget", 8), "Recommended"},
		{record(decision.Observed, "AboveTarget", 7), ""},
	}
	var tracker decision.Tracker
	for i, step := range steps {
		before := tracker.Last()
		novelty := tracker.Observe(step.record)
		assert.Equal(t, step.want, eventReason(step.record, before, novelty), "step %d", i)
	}
}
