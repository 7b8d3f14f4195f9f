package decision

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// evaluation is a decision with one verdict; the value differs from one to the next.
func evaluation(tick int, outcome Outcome, code string) *Record {
	value := float64(tick) * 1.1
	return &Record{Namespace: "shop", Name: "checkout", Time: start.Add(time.Duration(tick) * time.Second), Outcome: outcome, Code: code,
		CurrentReplicas: 3, DesiredReplicas: 3,
		Objectives: []Objective{{Name: "queue", Value: &value, State: Fresh}},
		Verdicts:   []Verdict{{Rule: "tolerance", Action: Pass, Code: code, From: 3, To: 3, Reason: time.Duration(tick).String()}}}
}

func TestEqualTicksAreCountedAndRecordedOnceAMinute(t *testing.T) {
	var tracker Tracker
	var recorded []*Record
	for tick := range 150 {
		r := evaluation(tick, Unchanged, "OnTarget")
		if tracker.Observe(r).Recorded {
			recorded = append(recorded, r)
		}
	}
	require.Len(t, recorded, 3)
	assert.Equal(t, start.Add(time.Minute), recorded[1].Time)
	assert.Equal(t, int64(0), recorded[0].EqualTicks)
	assert.Equal(t, int64(59), recorded[1].EqualTicks)
	assert.Equal(t, int64(59), recorded[2].EqualTicks)
	assert.Same(t, recorded[2], tracker.Last())
}

func TestRecordsAndEqualTicksAccountForEveryEvaluation(t *testing.T) {
	var tracker Tracker
	var sum int64
	codes := []string{"OnTarget", "OnTarget", "OnTarget", "SameReplicas"}
	for tick := range 1000 {
		r := evaluation(tick, Unchanged, codes[tick/7%len(codes)])
		if tracker.Observe(r).Recorded {
			sum += 1 + r.EqualTicks
		}
	}
	assert.Equal(t, int64(1000), sum+tracker.equal)
}

func TestWhatMakesADecisionAnother(t *testing.T) {
	tests := map[string]struct {
		alter func(*Record)
		want  bool
	}{
		"another value":               {func(r *Record) { v := 99.0; r.Objectives[0].Value = &v }, false},
		"another age":                 {func(r *Record) { v := 1.0; r.Objectives[0].AgeSeconds = &v }, false},
		"other words, same code":      {func(r *Record) { r.Verdicts[0].Reason = "other"; r.Reason = "other" }, false},
		"another recommendation":      {func(r *Record) { r.RecommendedReplicas = 9 }, false},
		"another outcome":             {func(r *Record) { r.Outcome = Held }, true},
		"another verdict":             {func(r *Record) { r.Verdicts[0].Action = Hold }, true},
		"another reason of a verdict": {func(r *Record) { r.Verdicts[0].Code = "SameReplicas" }, true},
		"another result of a verdict": {func(r *Record) { r.Verdicts[0].To = 4 }, true},
		"one verdict more":            {func(r *Record) { r.Verdicts = append(r.Verdicts, Verdict{Rule: "mode"}) }, true},
		"another state of a signal":   {func(r *Record) { r.Objectives[0].State = Stale }, true},
		"another query":               {func(r *Record) { r.Objectives[0].Query = "up" }, true},
		"another maximum":             {func(r *Record) { r.MaxReplicas = 9 }, true},
		"replicas set by somebody":    {func(r *Record) { r.CurrentReplicas = 4 }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var tracker Tracker
			tracker.Observe(evaluation(0, Unchanged, "OnTarget"))
			r := evaluation(1, Unchanged, "OnTarget")
			tc.alter(r)
			got := tracker.Observe(r)
			assert.Equal(t, tc.want, got.Recorded)
			assert.Equal(t, tc.want, got.Different)
		})
	}
}

func TestHolds(t *testing.T) {
	var tracker Tracker
	steps := []struct {
		outcome     Outcome
		code        string
		enter, left bool
	}{
		{Unchanged, "OnTarget", false, false},
		{Held, "SignalMissing", true, false},
		{Held, "SignalMissing", false, false},
		{Held, "ScaleDownStabilized", true, false},
		{ScaledIn, "BelowTarget", false, true},
		{Unchanged, "OnTarget", false, false},
	}
	for i, step := range steps {
		got := tracker.Observe(evaluation(i, step.outcome, step.code))
		assert.Equal(t, step.enter, got.EnteredHold, "step %d", i)
		assert.Equal(t, step.left, got.LeftHold, "step %d", i)
	}
}

func TestJSON(t *testing.T) {
	value, age, replicas := 83.2, 0.8, int32(5)
	r := Record{Namespace: "shop", Name: "checkout", Target: Target{"apps/v1", "Deployment", "checkout"}, Mode: "Apply", Time: start,
		Outcome: ScaledOut, Code: "AboveTarget", Reason: "because", CurrentReplicas: 3, ReadyReplicas: 3, RecommendedReplicas: 5, DesiredReplicas: 5,
		MinReplicas: 2, MaxReplicas: 40, EqualTicks: 12,
		Objectives: []Objective{{Name: "cpu", Kind: "Resource", Query: "q", Value: &value, Target: 70, Unit: "percent", Per: "Replica", Replicas: &replicas, State: Fresh, AgeSeconds: &age}},
		Verdicts:   []Verdict{{Rule: "rate", Action: Change, Code: "ScaleUpLimit", From: 5, To: 4, Reason: "slowly"}}}
	line, err := r.JSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{"namespace":"shop","name":"checkout","target":{"apiVersion":"apps/v1","kind":"Deployment","name":"checkout"},
		"mode":"Apply","time":"2026-11-23T12:00:00Z","outcome":"ScaledOut","code":"AboveTarget","reason":"because",
		"currentReplicas":3,"readyReplicas":3,"recommendedReplicas":5,"desiredReplicas":5,"minReplicas":2,"maxReplicas":40,
		"objectives":[{"name":"cpu","kind":"Resource","query":"q","value":83.2,"target":70,"unit":"percent","per":"Replica","replicas":5,"state":"Fresh","ageSeconds":0.8}],
		"verdicts":[{"rule":"rate","action":"Change","code":"ScaleUpLimit","from":5,"to":4,"reason":"slowly"}],"equalTicks":12}`, string(line))
	var back Record
	require.NoError(t, json.Unmarshal(line, &back))
	assert.Equal(t, r, back)
}
