package nodes

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// watchtower is a Controller that knows a workload and a policy with forecasts, and has nobody to buy from.
type watchtower struct {
	*Controller
	clock *clocktesting.FakeClock
}

func newWatchtower(t *testing.T) *watchtower {
	clock := clocktesting.NewFakeClock(start)
	w := &watchtower{clock: clock, Controller: &Controller{
		cfg: DefaultConfig(), world: newWorld(0), moves: newMover(), tell: newTeller(), book: newOfferBook(),
		deps: Dependencies{Clock: clock, Metrics: NewMetrics(prometheus.NewRegistry())},
	}}
	w.policy("general", func(p *v1alpha1.NodePolicy) {
		p.Spec.Mode, p.Spec.Forecast = v1alpha1.Apply, &v1alpha1.NodeForecast{Horizon: &metav1.Duration{Duration: 5 * time.Minute}}
	})
	w.workload("web", 100, func(*v1alpha1.WorkloadAutoscaler) {})
	return w
}

func (w *watchtower) policy(name string, edit func(*v1alpha1.NodePolicy)) {
	p := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if known := w.world.policies[name]; known != nil {
		p = known.DeepCopy()
	}
	edit(p)
	w.world.apply(event{object: p}, w.clock.Now())
}

// workload makes a Deployment, and what scales it: both for as many replicas as are there.
func (w *watchtower) workload(name string, most int32, edit func(*v1alpha1.WorkloadAutoscaler)) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}, Spec: appsv1.DeploymentSpec{Replicas: new(int32),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{PriorityClassName: "high", Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}}}}}
	key := eventKey{kind: ownerKind}
	key.name.Name = name
	w.world.apply(event{key: key, object: d}, w.clock.Now())
	p := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 1},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Horizontal: &v1alpha1.HorizontalPolicy{Min: 1, Max: most}}}
	edit(p)
	w.world.apply(event{object: p}, w.clock.Now())
}

// asks has the signals of a workload ask for replicas, which are there at once.
func (w *watchtower) asks(name string, replicas int32, known bool) {
	status := metav1.ConditionFalse
	if known {
		status = metav1.ConditionTrue
	}
	key := types.NamespacedName{Namespace: "shop", Name: name}
	p := w.world.scaled[key].DeepCopy()
	desired := min(replicas, p.Spec.Horizontal.Max)
	p.Status = v1alpha1.WorkloadAutoscalerStatus{ObservedGeneration: p.Generation, RecommendedReplicas: &replicas, DesiredReplicas: desired,
		Conditions: []metav1.Condition{{Type: v1alpha1.ScalingActive, Status: status}}}
	w.world.apply(event{object: p}, w.clock.Now())
	t := w.world.targets[targetKey{"Deployment", key}]
	t.replicas = desired
	w.world.podsOfOwner[t.uid] = int(desired)
}

// pass lets minutes go by in which web asks for what a load says.
func (w *watchtower) pass(minutes int, load func(minute int) int32, known bool) []cluster.Demand {
	for m := range minutes {
		w.asks("web", load(m), known)
		w.clock.Step(time.Minute)
		w.setDemand(w.clock.Now())
	}
	return w.ahead.demand
}

func TestPodsAreForeseenWhileLoadGrows(t *testing.T) {
	w := newWatchtower(t)
	assert.Empty(t, w.pass(10, func(m int) int32 { return int32(10 + m) }, true), "no model has proven anything yet")
	demand := w.pass(40, func(m int) int32 { return int32(20 + m) }, true)
	require.Len(t, demand, 1)
	assert.Equal(t, cluster.Forecast, demand[0].Kind)
	assert.Equal(t, "forecast of shop/web", demand[0].Name)
	assert.Equal(t, 5, demand[0].Count, "a replica a minute, five minutes ahead")
	assert.Equal(t, forecastPriority, *demand[0].Pod.Spec.Priority)
	assert.Empty(t, demand[0].Pod.Spec.PriorityClassName)
	assert.Equal(t, "high", w.world.targets[targetKey{"Deployment", types.NamespacedName{Namespace: "shop", Name: "web"}}].template.Spec.PriorityClassName, "the cache's object is left alone")
	assert.Equal(t, 5.0, testutil.ToFloat64(w.deps.Metrics.foreseenPods))

	status := w.ahead.status(w.world.policies["general"])
	require.NotNil(t, status)
	assert.Equal(t, int32(5), status.Pods)
	assert.Equal(t, 5*time.Minute, status.Horizon.Duration)
	require.Len(t, status.Workloads, 1)
	assert.Equal(t, int32(64), status.Workloads[0].Replicas)
	assert.Contains(t, status.Workloads[0].Reason, "Trend foresees 64 replicas within 5m0s, 59 are asked for now")

	// Nothing is bought by the plan for others, nor does it count there.
	assert.Zero(t, plannedPods(w.world))
	w.withForecasts(func() { assert.Equal(t, 5, plannedPods(w.world)) })
	assert.Zero(t, plannedPods(w.world))

	// What is foreseen grows together with what is asked for up to the maximum.
	demand = w.pass(38, func(m int) int32 { return int32(60 + m) }, true)
	require.Len(t, demand, 1)
	assert.Equal(t, 3, demand[0].Count, "97 are asked for, 100 is the most")

	// The signal is lost: what was foreseen stands until it could have come, and nothing else is foreseen.
	for range 4 {
		assert.NotEmpty(t, w.pass(1, func(int) int32 { return 97 }, false))
	}
	assert.Empty(t, w.pass(2, func(int) int32 { return 97 }, false))
	assert.Nil(t, w.ahead.status(w.world.policies["general"]))
	assert.Equal(t, 6.0, testutil.ToFloat64(w.deps.Metrics.samplesDropped.WithLabelValues("unknown")))
}

func TestNothingIsForeseen(t *testing.T) {
	general := func(edit func(*v1alpha1.NodePolicy)) func(*watchtower) {
		return func(w *watchtower) { w.policy("general", edit) }
	}
	tests := map[string]func(w *watchtower){
		"forecasts are off":           general(func(p *v1alpha1.NodePolicy) { p.Spec.Forecast = nil }),
		"the policy observes":         general(func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Observe }),
		"the policy is being deleted": general(func(p *v1alpha1.NodePolicy) { p.DeletionTimestamp = &metav1.Time{Time: start} }),
		"replicas are only recommended": func(w *watchtower) {
			w.workload("web", 100, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Mode = v1alpha1.Recommend })
		},
		"only sizes are looked after": func(w *watchtower) {
			w.workload("web", 100, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Horizontal = nil })
		},
		"the status is of another spec": func(w *watchtower) { w.world.scaled[types.NamespacedName{Namespace: "shop", Name: "web"}].Generation++ },
		"the world is not seen":         func(w *watchtower) { w.deps.Leading = func() bool { return false } },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWatchtower(t)
			w.pass(30, func(m int) int32 { return int32(10 + m) }, true)
			change(w)
			for range 20 {
				w.clock.Step(time.Minute)
				w.setDemand(w.clock.Now())
			}
			assert.Empty(t, w.ahead.demand)
		})
	}
}

func TestSomebodyElsesReplicasAreNotForeseen(t *testing.T) {
	w := newWatchtower(t)
	require.NotEmpty(t, w.pass(50, func(m int) int32 { return int32(10 + m) }, true))
	target := w.world.targets[targetKey{"Deployment", types.NamespacedName{Namespace: "shop", Name: "web"}}]
	target.replicas = 3
	w.setDemand(w.clock.Now())
	assert.Empty(t, w.ahead.demand, "somebody has set fewer")
	target.replicas, w.world.podsOfOwner[target.uid] = 59, 30
	w.setDemand(w.clock.Now())
	assert.NotEmpty(t, w.ahead.demand)
	w.clock.Step(maxUnborn + time.Second)
	w.setDemand(w.clock.Now())
	assert.Empty(t, w.ahead.demand, "nobody makes even those that are asked for")
}

func TestForecastMemoryIsBounded(t *testing.T) {
	w := newWatchtower(t)
	w.cfg.Forecast.MaxWorkloads = 3
	for i := range 10 {
		w.workload(fmt.Sprintf("app-%d", i), 10, func(*v1alpha1.WorkloadAutoscaler) {})
		w.asks(fmt.Sprintf("app-%d", i), 5, true)
	}
	w.pass(1, func(int) int32 { return 5 }, true)
	assert.Len(t, w.ahead.workloads, 3)
	assert.Equal(t, 8.0, testutil.ToFloat64(w.deps.Metrics.samplesDropped.WithLabelValues("limit")))
	gone := w.world.scaled[types.NamespacedName{Namespace: "shop", Name: "app-0"}]
	w.world.apply(event{object: gone, deleted: true}, w.clock.Now())
	w.pass(1, func(int) int32 { return 5 }, true)
	assert.NotContains(t, w.ahead.workloads, types.NamespacedName{Namespace: "shop", Name: "app-0"})
	assert.Len(t, w.ahead.workloads, 3, "another one has its place")
	w.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Forecast = nil })
	w.setDemand(w.clock.Now())
	assert.Empty(t, w.ahead.workloads)
}

// A new leader knows no history, and must not give back what was bought for a forecast that stands.
func TestANewLeaderGoesOnFromTheStatus(t *testing.T) {
	told := func(workload string, replicas int32, in time.Duration) v1alpha1.WorkloadForecast {
		return v1alpha1.WorkloadForecast{Workload: workload, Replicas: replicas, Until: metav1.NewTime(start.Add(in)), Reason: "it grows"}
	}
	tests := map[string]struct {
		told v1alpha1.WorkloadForecast
		want int
	}{
		"it stands":                     {told("shop/web", 25, 3*time.Minute), 5},
		"it is over":                    {told("shop/web", 25, 0), 0},
		"it stands for ever":            {told("shop/web", 25, 100*time.Hour), 0},
		"it exceeds the bound":          {told("shop/web", 90, 3*time.Minute), 20},
		"it is below what is asked for": {told("shop/web", 3, 3*time.Minute), 0},
		"it is absurd":                  {told("shop/web", -1, 3*time.Minute), 0},
		"of a workload that is gone":    {told("shop/old", 25, 3*time.Minute), 0},
		"of a name that is none":        {told("web", 25, 3*time.Minute), 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWatchtower(t)
			w.asks("web", 20, true)
			w.policy("general", func(p *v1alpha1.NodePolicy) {
				p.Status.Forecast = &v1alpha1.NodeForecastStatus{Workloads: []v1alpha1.WorkloadForecast{tc.told}}
			})
			w.setDemand(start)
			pods := 0
			for _, d := range w.ahead.demand {
				pods += d.Count
			}
			assert.Equal(t, tc.want, pods)
			w.clock.Step(3 * time.Minute)
			w.setDemand(w.clock.Now())
			assert.Empty(t, w.ahead.demand)
		})
	}
}

func TestTheHorizonIsTheTimeThatNodesTake(t *testing.T) {
	claims := map[string]*v1alpha1.NodeClaim{}
	add := func(policy string, boot time.Duration, status metav1.ConditionStatus) {
		name := fmt.Sprintf("%s-%d", policy, len(claims))
		claims[name] = &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(start)}, Spec: v1alpha1.NodeClaimSpec{Policy: policy},
			Status: v1alpha1.NodeClaimStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, LastTransitionTime: metav1.NewTime(start.Add(boot))}}}}
	}
	add("general", time.Minute, metav1.ConditionTrue)
	add("general", time.Minute, metav1.ConditionTrue)
	add("other", time.Hour, metav1.ConditionTrue)
	assert.Equal(t, 7*time.Minute, bootTime("general", claims, 7*time.Minute), "two are too few")
	for i := range 8 {
		add("general", time.Duration(i+1)*time.Minute, metav1.ConditionTrue)
	}
	add("general", 40*time.Minute, metav1.ConditionFalse)
	add("general", 9*time.Hour, metav1.ConditionTrue) // ready again after a fault
	add("general", -time.Minute, metav1.ConditionTrue)
	assert.Equal(t, 7*time.Minute, bootTime("general", claims, 0), "nine of ten")

	w := newWatchtower(t)
	w.policy("slow", func(p *v1alpha1.NodePolicy) {
		growth := int32(50)
		p.Spec.Mode, p.Spec.Forecast = v1alpha1.Apply, &v1alpha1.NodeForecast{MaxGrowth: &growth}
	})
	w.setDemand(start)
	assert.Equal(t, 6*time.Minute, w.ahead.horizon, "the default boot and a sample: the longest of all policies")
	assert.Equal(t, 1.5, w.ahead.factor, "the smallest")
}

// A purchase would need a Keeper, which there is none of.
func TestNothingIsBoughtAheadWhileOthersWait(t *testing.T) {
	w := newWatchtower(t)
	require.NotEmpty(t, w.pass(50, func(m int) int32 { return int32(10 + m) }, true))
	offer := cluster.Offer{Name: "m", Policy: "general", Available: true, Stock: -1, PricePerHour: 1,
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}}
	w.book.force = []cluster.Offer{offer}
	buy := func(others *cluster.Plan) { w.buyAhead(t.Context(), others, w.clock.Now()) }
	assert.Panics(t, func() { buy(&cluster.Plan{}) }, "otherwise it is")
	buy(&cluster.Plan{Create: []cluster.NewNode{{Offer: offer}}})
	buy(&cluster.Plan{Unschedulable: []cluster.Unschedulable{{Reasons: []cluster.Reason{{Code: "Resources"}, {Code: "Limit"}}}}})
	w.round.retryAt = map[string]time.Time{"general": w.clock.Now().Add(time.Second)}
	buy(&cluster.Plan{})
	w.round.retryAt = nil
	w.ahead.retryAt = w.clock.Now().Add(time.Second)
	buy(&cluster.Plan{})
	w.ahead.retryAt = time.Time{}
	w.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Recommend })
	buy(&cluster.Plan{})
	none := 0
	w.policy("general", func(p *v1alpha1.NodePolicy) { p.Spec.Mode = v1alpha1.Apply })
	w.world.state.SetPolicies([]cluster.Policy{{Name: "general", Left: cluster.Limits{Nodes: &none}}})
	buy(&cluster.Plan{})
}
