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

// sizing is a vertical decision about one container.
func sizing(tick int) *Record {
	usage, request, limit, recommended := 0.1*float64(tick), 1.0, 2.0, 0.5+0.001*float64(tick)
	desired, desiredLimit := 0.5, 1.0
	return &Record{Namespace: "shop", Name: "checkout", Time: start.Add(time.Duration(tick) * time.Second), Outcome: Held, Code: "BrakeClosed", Direction: Vertical,
		Sizes: []Size{{Container: "web", Resource: "cpu", Usage: &usage, Request: &request, Limit: &limit, Recommended: &recommended,
			Desired: &desired, DesiredLimit: &desiredLimit, State: Fresh, Verdicts: []SizeVerdict{{Rule: "estimate", From: 1, To: recommended}}}},
		Pods: []PodAction{{Pod: "web-0", Method: InPlace, Result: Pending, Code: "Sent"}}}
}

func TestWhatMakesAVerticalDecisionAnother(t *testing.T) {
	other := 0.75
	tests := map[string]struct {
		alter func(*Record)
		want  bool
	}{
		"other usage and another recommendation": {func(*Record) {}, false},
		"other words":                            {func(r *Record) { r.Sizes[0].Reason, r.Pods[0].Reason = "other", "other" }, false},
		"another confidence":                     {func(r *Record) { r.Sizes[0].Confidence = 0.9 }, false},
		"another request in force":               {func(r *Record) { r.Sizes[0].Request = &other }, true},
		"another limit in force":                 {func(r *Record) { r.Sizes[0].Limit = nil }, true},
		"another size":                           {func(r *Record) { r.Sizes[0].Desired = &other }, true},
		"no size any more":                       {func(r *Record) { r.Sizes[0].Desired = nil }, true},
		"another limit":                          {func(r *Record) { r.Sizes[0].DesiredLimit = &other }, true},
		"stale usage":                            {func(r *Record) { r.Sizes[0].State = Stale }, true},
		"another role":                           {func(r *Record) { r.Sizes[0].Role = "leader" }, true},
		"one container more":                     {func(r *Record) { r.Sizes = append(r.Sizes, Size{Container: "log"}) }, true},
		"another result at a pod":                {func(r *Record) { r.Pods[0].Result = Done }, true},
		"another pod":                            {func(r *Record) { r.Pods[0].Pod = "web-1" }, true},
		"another cause at a pod":                 {func(r *Record) { r.Pods[0].Code = "PodDisruptionBudget" }, true},
		"nothing done any more":                  {func(r *Record) { r.Pods = nil }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var tracker Tracker
			tracker.Observe(sizing(0))
			r := sizing(1)
			tc.alter(r)
			assert.Equal(t, tc.want, tracker.Observe(r).Different)
		})
	}
}

func TestVerticalHolds(t *testing.T) {
	var tracker Tracker
	steps := []struct {
		outcome     Outcome
		code        string
		enter, left bool
	}{
		{Unchanged, "Fits", false, false},
		{Held, "LargestNode", true, false},
		{Held, "LargestNode", false, false},
		{Held, "Quota", true, false},
		{Resized, "OOM", false, true},
		{RolledBack, "RolledBack", false, false},
		{Held, "StartingUp", true, false},
		{Unchanged, "Fits", false, true},
	}
	for i, step := range steps {
		r := sizing(i)
		r.Outcome, r.Code = step.outcome, step.code
		got := tracker.Observe(r)
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
