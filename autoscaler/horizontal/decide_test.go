package horizontal

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// workload is a target with a policy, evaluated again and again.
type workload struct {
	policy  v1alpha1.WorkloadAutoscaler
	history History
	at      time.Time
	current int32
	signals []Signal
	owner   string
}

// newWorkload has replicas, and one objective on a queue whose target is 10 per replica.
func newWorkload(current int32) *workload {
	return &workload{
		at: now, current: current,
		policy: v1alpha1.WorkloadAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
			Spec: v1alpha1.WorkloadAutoscalerSpec{
				TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"},
				Mode:      v1alpha1.Apply,
				Horizontal: &v1alpha1.HorizontalPolicy{Min: 2, Max: 20, Objectives: []v1alpha1.Objective{
					{Name: "queue", Query: &v1alpha1.QueryObjective{PromQL: "queue", Target: resource.MustParse("10"), Per: v1alpha1.PerReplica}},
				}},
			},
		},
		signals: []Signal{{State: decision.Fresh}},
	}
}

// with adds an objective on errors: a total of 5.
func (w *workload) with(s Signal) *workload {
	w.policy.Spec.Horizontal.Objectives = append(w.policy.Spec.Horizontal.Objectives, v1alpha1.Objective{
		Name: "errors", Query: &v1alpha1.QueryObjective{LogQL: "errors", Target: resource.MustParse("5")}})
	w.signals = append(w.signals, s)
	return w
}

func (w *workload) value(v float64) *workload {
	w.signals[0] = Signal{State: decision.Fresh, Value: v}
	return w
}

func (w *workload) lost(state decision.State, reason string) *workload {
	w.signals[0] = Signal{State: state, Reason: reason}
	return w
}

func (w *workload) mode(m v1alpha1.Mode) *workload { w.policy.Spec.Mode = m; return w }

func (w *workload) behavior(up, down int32) *workload {
	w.policy.Spec.Horizontal.Behavior = &v1alpha1.Behavior{
		ScaleUp:   &v1alpha1.ScalingRules{StabilizationWindowSeconds: &up},
		ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: &down},
	}
	return w
}

// tick evaluates once, a second after the time before, and carries out what comes of it.
func (w *workload) tick() decision.Record {
	w.at = w.at.Add(time.Second)
	r := Decide(Input{Now: w.at, Policy: &w.policy, Current: w.current, Existing: w.current, Owner: w.owner,
		Pods: buildPods(make([]podCase, w.current), corev1.ResourceCPU), Signals: w.signals, Readiness: publishedReadiness, History: &w.history})
	if r.Scaled() {
		w.history.Scale(w.at, r.CurrentReplicas, r.DesiredReplicas)
		w.current = r.DesiredReplicas
	}
	return r
}

func TestReasons(t *testing.T) {
	missing := Signal{State: decision.Missing, Reason: "the query returned no series"}
	tests := map[string]struct {
		workload    *workload
		wantOutcome decision.Outcome
		wantCode    string
		wantReason  string
	}{
		"more load": {newWorkload(3).value(50), decision.ScaledOut, "AboveTarget",
			"Scaled out from 3 to 5: queue at 16.7 per replica, target 10"},
		"more load than the rate allows": {newWorkload(3).value(150), decision.ScaledOut, "AboveTarget",
			"Scaled out from 3 to 7: queue at 50 per replica, target 10; 15 wanted, scaling up is limited to 4 pods per 15s or 100% per 15s"},
		"more load than the maximum": {newWorkload(18).value(500), decision.ScaledOut, "AboveTarget",
			"Scaled out from 18 to 20: queue at 27.8 per replica, target 10; 50 wanted, the maximum is 20"},
		"at the maximum": {newWorkload(20).value(500), decision.Held, "TooManyReplicas",
			"Held at 20: queue at 25 per replica, target 10, which asks for 50, but the maximum is 20"},
		"within tolerance": {newWorkload(3).value(31), decision.Unchanged, "OnTarget",
			"Unchanged at 3: queue at 10.3 per replica, target 10, within the tolerance of 10% up and 10% down"},
		"less load, right after the start": {newWorkload(5).value(20), decision.Held, "ScaleDownStabilized",
			"Held at 5: queue at 4 per replica, target 10, which asks for 2, but the highest recommendation of the last 5m is 5, counting the replicas found when watching began at 12:00:01"},
		"less load, no stabilization": {newWorkload(5).value(20).behavior(0, 0), decision.ScaledIn, "BelowTarget",
			"Scaled in from 5 to 2: queue at 4 per replica, target 10"},
		"idle at the minimum": {newWorkload(2).value(0).behavior(0, 0), decision.Unchanged, "TooFewReplicas",
			"Unchanged at 2: queue at 0 per replica, target 10; the minimum is 2"},
		"above the maximum": {newWorkload(25).value(0), decision.ScaledIn, "AboveMaximum",
			"Scaled in from 25 to 20: 25 is above the maximum of 20"},
		"below the minimum, without signals": {newWorkload(1).lost(decision.Missing, "gone"), decision.ScaledOut, "BelowMinimum",
			"Scaled out from 1 to 2: 1 is below the minimum of 2"},
		"switched off": {newWorkload(0).value(100), decision.Held, "ScalingDisabled",
			"Held at 0: the target is switched off: its replicas are set to 0"},
		"signal missing": {newWorkload(5).lost(decision.Missing, "the query returned no series"), decision.Held, "SignalMissing",
			"Held at 5: no signal is known: queue is missing: the query returned no series"},
		"signal stale": {newWorkload(5).lost(decision.Stale, "the newest sample is 2m4s old"), decision.Held, "SignalStale",
			"Held at 5: no signal is known: queue is stale: the newest sample is 2m4s old"},
		"one of two signals missing, less load": {newWorkload(5).value(20).behavior(0, 0).with(missing), decision.Held, "SignalMissing",
			"Held at 5: the known signals ask for 2, but nothing is scaled in on part of them: errors is missing: the query returned no series"},
		"one of two signals missing, more load": {newWorkload(5).value(80).with(missing), decision.ScaledOut, "AboveTarget",
			"Scaled out from 5 to 8: queue at 16 per replica, target 10"},
		"one of two signals missing, same load": {newWorkload(5).value(50).with(missing), decision.Unchanged, "OnTarget",
			"Unchanged at 5: queue at 10 per replica, target 10, within the tolerance of 10% up and 10% down; no scaling in while errors is missing: the query returned no series"},
		"the higher of two": {newWorkload(5).value(20).behavior(0, 0).with(Signal{State: decision.Fresh, Value: 8}), decision.ScaledOut, "AboveTarget",
			"Scaled out from 5 to 8: errors at 8, target 5"},
		"recommend": {newWorkload(3).value(50).mode(v1alpha1.Recommend), decision.Recommended, "AboveTarget",
			"Recommended from 3 to 5: queue at 16.7 per replica, target 10"},
		"observe": {newWorkload(3).value(50).mode(v1alpha1.Observe), decision.Observed, "AboveTarget",
			"Observed only, 3 would become 5: queue at 16.7 per replica, target 10"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := tc.workload.tick()
			assert.Equal(t, tc.wantReason, got.Reason)
			assert.Equal(t, tc.wantOutcome, got.Outcome)
			assert.Equal(t, tc.wantCode, got.Code)
			assert.Equal(t, "mode", got.Verdicts[len(got.Verdicts)-1].Rule)
			for i := 1; i < len(got.Verdicts); i++ {
				assert.Equal(t, got.Verdicts[i-1].To, got.Verdicts[i].From, "each rule starts where the one before it ended")
			}
		})
	}
}

func TestOwnership(t *testing.T) {
	w := newWorkload(3).value(100)
	w.owner = "HorizontalPodAutoscaler web"
	got := w.tick()
	assert.Equal(t, decision.Held, got.Outcome)
	assert.Equal(t, "Held at 3: HorizontalPodAutoscaler web scales the target; two autoscalers must not", got.Reason)
	assert.Equal(t, int32(10), got.RecommendedReplicas, "the recommendation is still known")

	got = w.mode(v1alpha1.Recommend).tick()
	assert.Equal(t, decision.Recommended, got.Outcome, "a policy that does not act can be tried beside the owner")
}

func TestNoScaleInBeforeTheWindowWasSeen(t *testing.T) {
	w := newWorkload(10).value(20).behavior(0, 60)
	started := w.at
	for range 60 {
		require.Equal(t, decision.Held, w.tick().Outcome)
	}
	got := w.tick()
	assert.Equal(t, decision.ScaledIn, got.Outcome)
	assert.Equal(t, time.Minute, w.at.Sub(started).Truncate(time.Second)-time.Second, "exactly a window after the first evaluation")
}

func TestNoScaleInRightAfterAnOutage(t *testing.T) {
	w := newWorkload(10).value(100).behavior(0, 30)
	for range 60 {
		require.Equal(t, decision.Unchanged, w.tick().Outcome)
	}
	w.lost(decision.Missing, "the query service does not answer")
	for range 300 {
		require.Equal(t, decision.Held, w.tick().Outcome)
	}
	w.value(20)
	for range 29 {
		got := w.tick()
		require.Equal(t, decision.Held, got.Outcome)
		require.Equal(t, "ScaleDownStabilized", got.Code)
	}
	assert.Equal(t, decision.ScaledIn, w.tick().Outcome)
}

func TestRateOverTime(t *testing.T) {
	w := newWorkload(2).value(200)
	var steps []string
	for range 40 {
		if r := w.tick(); r.Scaled() {
			steps = append(steps, fmt.Sprintf("%d to %d after %s", r.CurrentReplicas, r.DesiredReplicas, w.at.Sub(now)))
		}
	}
	assert.Equal(t, []string{"2 to 6 after 1s", "6 to 12 after 16s", "12 to 20 after 31s"}, steps)
}

func TestSetByHand(t *testing.T) {
	w := newWorkload(5).value(50)
	require.Equal(t, decision.Unchanged, w.tick().Outcome)
	w.current = 3
	got := w.tick()
	assert.Equal(t, decision.ScaledOut, got.Outcome)
	assert.Equal(t, int32(3), got.CurrentReplicas)
	assert.Equal(t, int32(5), got.DesiredReplicas)

	w.current = 0
	assert.Equal(t, "ScalingDisabled", w.tick().Code)
	w.current = 5
	assert.Equal(t, decision.Unchanged, w.tick().Outcome)
}

func TestUnreadyPodsHold(t *testing.T) {
	utilization := int32(50)
	policy := newWorkload(0).policy
	policy.Spec.Horizontal.Objectives = []v1alpha1.Objective{{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: &utilization}}}
	notReady := false
	pods := buildPods([]podCase{{Requests: []int64{500, 500}}, {Requests: []int64{500, 500}, Ready: &notReady, Start: "hot"}}, corev1.ResourceCPU)
	in := Input{Now: now, Policy: &policy, Current: 2, Existing: 2, Pods: pods, Readiness: publishedReadiness, History: &History{},
		Signals: []Signal{{State: decision.Fresh, Usage: Usage{podName(0): {Milli: 900, Time: now}, podName(1): {Milli: 1000, Time: now}}}}}
	got := Decide(in)
	assert.Equal(t, decision.Held, got.Outcome)
	assert.Equal(t, "Held at 2: cpu at 90% of requests, target 50%, but the 1 pod not ready could make up for it", got.Reason)
	require.NotNil(t, got.Objectives[0].Value)
	assert.Equal(t, 90.0, *got.Objectives[0].Value)
}

func TestRequestsThatAreMissingMakeTheSignalInvalid(t *testing.T) {
	utilization := int32(50)
	policy := newWorkload(0).policy
	policy.Spec.Horizontal.Objectives = []v1alpha1.Objective{{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: &utilization}}}
	in := Input{Now: now, Policy: &policy, Current: 2, Existing: 2, Pods: buildPods(make([]podCase, 2), corev1.ResourceCPU), History: &History{},
		Signals: []Signal{{State: decision.Fresh, Usage: Usage{podName(0): {Milli: 900, Time: now}}}}}
	got := Decide(in)
	assert.Equal(t, "Held at 2: no signal is known: cpu is invalid: container container1 of pod pod-0 has no request for cpu", got.Reason)
	assert.Equal(t, decision.Invalid, got.Objectives[0].State)
}

func BenchmarkDecide5000(b *testing.B) {
	const autoscalers = 5000
	utilization := int32(70)
	pods := buildPods([]podCase{{Requests: []int64{500, 500}}, {Requests: []int64{500, 500}}, {Requests: []int64{500, 500}},
		{Requests: []int64{500, 500}}, {Requests: []int64{500, 500}}}, corev1.ResourceCPU)
	usage := Usage{}
	for i := range pods {
		usage[podName(i)] = Sample{Milli: 700, Time: now, Window: 15 * time.Second}
	}
	inputs := make([]Input, autoscalers)
	for i := range inputs {
		w := newWorkload(5).with(Signal{State: decision.Fresh, Value: 5})
		w.policy.Spec.Horizontal.Objectives = append(w.policy.Spec.Horizontal.Objectives,
			v1alpha1.Objective{Name: "cpu", Resource: &v1alpha1.ResourceObjective{Name: v1alpha1.CPU, Utilization: &utilization}})
		inputs[i] = Input{Policy: &w.policy, Current: 5, Existing: 5, Pods: pods, Readiness: publishedReadiness, History: &History{},
			Signals: append(w.value(48).signals, Signal{State: decision.Fresh, Usage: usage})}
	}
	trackers := make([]decision.Tracker, autoscalers)
	at := now
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		for i := range inputs {
			inputs[i].Now = at
			r := Decide(inputs[i])
			trackers[i].Observe(&r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/autoscalers, "ns/autoscaler")
}
