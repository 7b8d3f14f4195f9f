package nodes

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/forecast"
)

// scaled has the replicas of a Deployment follow a WorkloadAutoscaler.
func (w *fleetWorld) scaled(name string, most int32) {
	w.t.Helper()
	require.NoError(w.t, w.client.Create(w.t.Context(), &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Horizontal: &v1alpha1.HorizontalPolicy{Min: 1, Max: most, Objectives: []v1alpha1.Objective{
				{Name: "load", Query: &v1alpha1.QueryObjective{PromQL: "load", Target: resource.MustParse("1")}}}}},
	}))
}

// asks has a WorkloadAutoscaler say what the loop over workloads would: it does not run here.
func (w *fleetWorld) asks(name string, recommended, desired int32, known metav1.ConditionStatus) {
	w.t.Helper()
	p := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKeyFromObject(p), p))
	patch, err := json.Marshal(map[string]any{"status": v1alpha1.WorkloadAutoscalerStatus{
		ObservedGeneration: p.Generation, CurrentReplicas: desired, DesiredReplicas: desired, RecommendedReplicas: &recommended,
		Conditions: []metav1.Condition{{Type: v1alpha1.ScalingActive, Status: known, Reason: "Test", LastTransitionTime: metav1.Now()}}}})
	require.NoError(w.t, err)
	require.NoError(w.t, w.client.Status().Patch(w.t.Context(), p, client.RawPatch("application/merge-patch+json", patch)))
}

// An hour of growth is put into the leader's memory. What it foresees is bought with a boot still to go, kept while it may come, and given
// back when it has not.
func TestNodesComeAheadOfAForecast(t *testing.T) {
	w := newFleetWorld(t)
	w.config = func(cfg *Config) {
		eager(cfg)
		cfg.Forecast.Interval = model.Duration(2 * time.Second)
	}
	w.policy(func(s *v1alpha1.NodePolicySpec) {
		saving(s)
		s.Forecast = &v1alpha1.NodeForecast{Horizon: &metav1.Duration{Duration: 30 * time.Second}}
	})
	l := w.lead()
	w.deployment("web", 4, "1500m")
	w.scaled("web", 7)
	w.asks("web", 600, 4, metav1.ConditionTrue)
	w.eventually("pods run", 60*time.Second, func() bool { return w.running() == 4 })
	cores := func() (sum int64) {
		for _, k := range w.claims() {
			if k.DeletionTimestamp == nil {
				sum += k.Spec.Offer.Allocatable.Cpu().Value()
			}
		}
		return sum
	}
	assert.GreaterOrEqual(t, cores(), int64(6))

	key := types.NamespacedName{Namespace: w.namespace, Name: "web"}
	w.eventually("the workload is known", 30*time.Second, func() bool {
		known := make(chan bool, 1)
		l.controller.post(t.Context(), func() {
			k := l.controller.ahead.workloads[key]
			if k != nil {
				now := l.controller.deps.Clock.Now()
				grown := forecast.NewHistory(time.Duration(l.controller.cfg.Forecast.Interval), l.controller.cfg.Forecast.capacity())
				for ago := time.Hour; ago >= 0; ago -= 2 * time.Second {
					grown.Add(now.Add(-ago), int32(600-ago.Seconds()/6))
				}
				k.history = grown
			}
			known <- k != nil
		})
		return <-known
	})
	w.eventually("nodes are asked for ahead of time", 60*time.Second, func() bool { return len(aheadActions(l.journal)) > 0 })
	action := aheadActions(l.journal)[0]
	assert.Equal(t, "Create", action.Action)
	assert.Contains(t, action.Reason, "forecast of "+w.namespace+"/web")
	w.eventually("there is room for seven of 1.5 cores", 60*time.Second, func() bool { return cores() >= 11 })
	assert.Equal(t, 4, w.running(), "replicas are left alone")
	w.eventually("the status says so", 30*time.Second, func() bool {
		s := w.status().Forecast
		return s != nil && s.Pods == 3 && len(s.Workloads) == 1 && s.Workloads[0].Workload == key.String() && s.Workloads[0].Replicas == 7
	})
	assert.Positive(t, testutil.ToFloat64(l.controller.deps.Metrics.boughtAhead.WithLabelValues(w.name)))

	// The signal is lost: nothing more is foreseen, and once the horizon has passed the room is not needed.
	w.asks("web", 600, 4, metav1.ConditionFalse)
	w.eventually("nothing is foreseen any more", 90*time.Second, func() bool { return w.status().Forecast == nil })
	w.eventually("nodes are given back", 90*time.Second, func() bool { return cores() < 11 })
	w.eventually("the pods run still", 30*time.Second, func() bool { return w.running() == 4 })
}

// waiting is how many pods of the world the scheduler has found no place for.
func (w *fleetWorld) waiting() int {
	var pods corev1.PodList
	require.NoError(w.t, w.client.List(w.t.Context(), &pods, client.InNamespace(w.namespace)))
	n := 0
	for i := range pods.Items {
		if _, judged := judgment(&pods.Items[i]); judged {
			n++
		}
	}
	return n
}

// aheadActions are what was done for forecasts.
func aheadActions(n *notes) []decision.NodeAction {
	var out []decision.NodeAction
	for _, r := range n.with(decision.Provisioned) {
		for _, a := range r.NodeActions {
			if a.Code == codeForecast {
				out = append(out, a)
			}
		}
	}
	return out
}

// A limit of nodes that both would use up is spent on the pods that are there.
func TestALimitIsNotSpentOnForecasts(t *testing.T) {
	w := newFleetWorld(t)
	w.config = eager
	one := int32(1)
	w.policy(func(s *v1alpha1.NodePolicySpec) {
		s.Limits = &v1alpha1.NodeLimits{Nodes: &one}
		s.Forecast = &v1alpha1.NodeForecast{Horizon: &metav1.Duration{Duration: time.Hour}}
	})
	w.deployment("web", 0, "7000m")
	w.scaled("web", 7)
	w.asks("web", 0, 0, metav1.ConditionTrue)
	w.deployment("shop", 1, "1500m")
	w.eventually("pods wait", 30*time.Second, func() bool { return w.waiting() == 1 })
	// What an earlier leader has foreseen counts at once, long before any history could be there.
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: w.name}}
	until, err := json.Marshal(map[string]any{"status": map[string]any{"forecast": v1alpha1.NodeForecastStatus{Workloads: []v1alpha1.WorkloadForecast{
		{Workload: w.namespace + "/web", Replicas: 2, Until: metav1.NewTime(time.Now().Add(50 * time.Minute)), Reason: "an earlier leader has said so"}}}}})
	require.NoError(t, err)
	require.NoError(t, w.client.Status().Patch(t.Context(), policy, client.RawPatch("application/merge-patch+json", until)))
	l := w.lead()
	w.eventually("pods run", 60*time.Second, func() bool { return w.running() == 1 })
	w.eventually("the forecast stands", 30*time.Second, func() bool { s := w.status().Forecast; return s != nil && s.Pods == 2 })
	assert.Len(t, w.claims(), 1)
	assert.NotContains(t, w.claims()[0].Spec.Reason, "forecast")
	assert.Empty(t, aheadActions(l.journal))
}
