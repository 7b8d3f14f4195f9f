package nodes

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/forecast"
)

// forecaster remembers what workloads have asked for, and what is foreseen for them. A new leader begins with an empty memory, and
// with the forecasts that still stand according to the policies' statuses.
type forecaster struct {
	workloads map[types.NamespacedName]*foreseen
	// sampled is when samples were taken last, due whose forecasts have not been made since.
	sampled time.Time
	due     []types.NamespacedName
	// restored is true once the statuses were read.
	restored bool
	horizon  time.Duration
	// factor bounds forecasts to a multiple of what is asked for.
	factor float64
	// demand are the foreseen pods that are not asked for yet, pods and reasons of the same workloads.
	demand []cluster.Demand
	shown  []v1alpha1.WorkloadForecast
	// retryAt is when the next purchase may be tried after one that failed.
	retryAt time.Time
}

// foreseen is what is known of one workload.
type foreseen struct {
	uid      types.UID
	target   v1alpha1.TargetReference
	history  *forecast.History
	standing forecast.Standing
}

// forecasting are the policies that want forecasts.
func (w *world) forecasting() []*v1alpha1.NodePolicy {
	var out []*v1alpha1.NodePolicy
	for _, name := range slices.Sorted(maps.Keys(w.policies)) {
		if p := w.policies[name]; p.Spec.Forecast != nil && p.DeletionTimestamp == nil && !observes(p) {
			out = append(out, p)
		}
	}
	return out
}

// lookAhead samples what workloads ask for, and finds which pods beyond that are foreseen. While the world is not to be trusted no
// sample is taken, which leaves a hole in the history.
func (c *Controller) lookAhead(now time.Time) []cluster.Demand {
	policies := c.world.forecasting()
	f := &c.ahead
	if len(policies) == 0 {
		*f = forecaster{}
		c.deps.Metrics.foreseenPods.Set(0)
		return nil
	}
	if f.workloads == nil {
		f.workloads = map[types.NamespacedName]*foreseen{}
	}
	c.aim(policies)
	f.drop(c.world)
	if !f.restored {
		f.restored = true
		c.restore(policies, now)
	}
	if c.hold() == "" {
		if now.Sub(f.sampled) >= time.Duration(c.cfg.Forecast.Interval) {
			f.sampled = now
			c.sample(now)
		}
		c.predict(now)
	}
	f.demand, f.shown = c.expectedPods(now)
	return f.demand
}

// aim finds the horizon and the bound that hold for all policies: forecasts belong to workloads, and any of the policies may serve them.
func (c *Controller) aim(policies []*v1alpha1.NodePolicy) {
	f := &c.ahead
	f.horizon, f.factor = 0, 0
	for _, p := range policies {
		horizon := bootTime(p.Name, c.world.claims, time.Duration(c.cfg.Forecast.BootTime)) + time.Duration(c.cfg.Forecast.Interval)
		if p.Spec.Forecast.Horizon != nil {
			horizon = p.Spec.Forecast.Horizon.Duration
		}
		f.horizon = max(f.horizon, min(horizon, forecast.MaxHorizon))
		growth := 2.0
		if percent := p.Spec.Forecast.MaxGrowth; percent != nil {
			growth = 1 + float64(*percent)/100
		}
		if f.factor == 0 || growth < f.factor {
			f.factor = growth
		}
	}
}

const (
	// leastBoots is how many nodes must have become ready for their times to count.
	leastBoots = 3
	// longestBoot is how long after its claim a node that becomes ready may have been one before.
	longestBoot = 30 * time.Minute
)

// bootTime is the time within which nine of ten nodes of a policy were ready, of those that are there; else what is given.
func bootTime(policy string, claims map[string]*v1alpha1.NodeClaim, otherwise time.Duration) time.Duration {
	var boots []time.Duration
	for _, k := range claims {
		if k.Spec.Policy != policy {
			continue
		}
		ready := meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Status != "True" {
			continue
		}
		if boot := ready.LastTransitionTime.Sub(k.CreationTimestamp.Time); boot >= 0 && boot <= longestBoot {
			boots = append(boots, boot)
		}
	}
	if len(boots) < leastBoots {
		return otherwise
	}
	slices.Sort(boots)
	return boots[(len(boots)*9+9)/10-1]
}

// drop forgets workloads that are not scaled any more, or that are others by now.
func (f *forecaster) drop(w *world) {
	for key, k := range f.workloads {
		if p := w.scaled[key]; p == nil || p.UID != k.uid || p.Spec.TargetRef != k.target || !scales(p) {
			delete(f.workloads, key)
		}
	}
}

// scales reports whether replicas follow what a WorkloadAutoscaler decides.
func scales(p *v1alpha1.WorkloadAutoscaler) bool {
	return p.Spec.Mode == v1alpha1.Apply && p.Spec.Horizontal != nil && p.DeletionTimestamp == nil
}

// of is the memory of a workload, nil when there is no room for another one.
func (f *forecaster) of(key types.NamespacedName, p *v1alpha1.WorkloadAutoscaler, cfg ForecastConfig) *foreseen {
	k := f.workloads[key]
	if k == nil && len(f.workloads) < cfg.MaxWorkloads {
		k = &foreseen{uid: p.UID, target: p.Spec.TargetRef, history: forecast.NewHistory(time.Duration(cfg.Interval), cfg.capacity())}
		f.workloads[key] = k
	}
	return k
}

// sample notes what every workload asks for. A signal that is not known leaves a hole.
func (c *Controller) sample(now time.Time) {
	f := &c.ahead
	f.due = f.due[:0]
	for _, key := range slices.SortedFunc(maps.Keys(c.world.scaled), compareNames) {
		p := c.world.scaled[key]
		if !scales(p) || c.world.targetOf(key, p) == nil {
			continue
		}
		s := &p.Status
		if s.RecommendedReplicas == nil || s.ObservedGeneration != p.Generation || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ScalingActive) {
			c.deps.Metrics.samplesDropped.WithLabelValues("unknown").Inc()
			continue
		}
		k := f.of(key, p, c.cfg.Forecast)
		if k == nil {
			c.deps.Metrics.samplesDropped.WithLabelValues("limit").Inc()
			continue
		}
		k.history.Add(now, max(*s.RecommendedReplicas, p.Spec.Horizontal.Min))
		f.due = append(f.due, key)
	}
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// predictions is how many forecasts are made in one round: each takes some tenths of a millisecond, and pods must not wait for them.
const predictions = 25

func (c *Controller) predict(now time.Time) {
	f := &c.ahead
	n := min(len(f.due), predictions)
	for _, key := range f.due[:n] {
		k, p := f.workloads[key], c.world.scaled[key]
		if k == nil || p == nil {
			continue
		}
		desired := p.Status.DesiredReplicas
		got := forecast.Predict(forecast.Input{Now: now, History: k.history, Desired: desired, Max: p.Spec.Horizontal.Max, Horizon: f.horizon, MaxFactor: f.factor})
		c.deps.Metrics.forecasts.WithLabelValues(cmp.Or(string(got.Model), "None")).Inc()
		if got.Replicas > desired {
			k.standing.Add(forecast.Held{Replicas: got.Replicas, Until: now.Add(f.horizon), Reason: got.Reason})
		}
	}
	f.due = f.due[n:]
}

// expectedPods are the pods that are foreseen beyond those that are there or asked for.
func (c *Controller) expectedPods(now time.Time) ([]cluster.Demand, []v1alpha1.WorkloadForecast) {
	var demand []cluster.Demand
	var shown []v1alpha1.WorkloadForecast
	pods := 0
	children := c.world.makers()
	for _, key := range slices.SortedFunc(maps.Keys(c.ahead.workloads), compareNames) {
		p := c.world.scaled[key]
		held, ok := c.ahead.workloads[key].standing.Highest(now)
		t := c.world.targetOf(key, p)
		if !ok || t == nil || overruled(p, t, now) || c.round.demand.unborn(demandName(key, p), now) {
			continue
		}
		replicas := min(held.Replicas, p.Spec.Horizontal.Max)
		missing := int(replicas) - max(int(p.Status.DesiredReplicas), c.world.podsOf(t, children))
		if missing <= 0 {
			continue
		}
		pod := podOf(key.Namespace, p.Spec.TargetRef.Name, t)
		// Everybody else comes first, and nobody is evicted for a pod that may never come.
		last := forecastPriority
		pod.Spec.Priority, pod.Spec.PriorityClassName = &last, ""
		demand = append(demand, cluster.Demand{Name: "forecast of " + demandName(key, p), Pod: pod, Count: missing, Kind: cluster.Forecast})
		shown = append(shown, v1alpha1.WorkloadForecast{Workload: key.String(), Replicas: replicas, Until: metav1.NewTime(held.Until), Reason: held.Reason})
		pods += missing
	}
	c.deps.Metrics.foreseenPods.Set(float64(pods))
	return demand, shown
}

// forecastPriority is the lowest for which nodes are bought.
const forecastPriority int32 = -10

// maxShown is how many workloads a status names.
const maxShown = 50

// status is what a policy's status says of forecasts, nil when nothing is foreseen or the policy wants none.
func (f *forecaster) status(p *v1alpha1.NodePolicy) *v1alpha1.NodeForecastStatus {
	if p.Spec.Forecast == nil || len(f.demand) == 0 || observes(p) {
		return nil
	}
	s := &v1alpha1.NodeForecastStatus{Horizon: metav1.Duration{Duration: f.horizon}}
	order := make([]int, len(f.demand))
	for i := range f.demand {
		order[i] = i
		s.Pods += int32(f.demand[i].Count)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.demand[b].Count, f.demand[a].Count) })
	for _, i := range order[:min(len(order), maxShown)] {
		s.Workloads = append(s.Workloads, f.shown[i])
	}
	return s
}

// restore takes over the forecasts that an earlier leader has made, as far as they are within the bounds that hold now.
func (c *Controller) restore(policies []*v1alpha1.NodePolicy, now time.Time) {
	for _, policy := range policies {
		if policy.Status.Forecast == nil {
			continue
		}
		for _, told := range policy.Status.Forecast.Workloads {
			namespace, name, _ := strings.Cut(told.Workload, "/")
			key := types.NamespacedName{Namespace: namespace, Name: name}
			p := c.world.scaled[key]
			if p == nil || !scales(p) || !told.Until.After(now) || told.Until.Sub(now) > forecast.MaxHorizon {
				continue
			}
			highest := int32(min(c.ahead.factor*float64(max(p.Status.DesiredReplicas, 1)), float64(p.Spec.Horizontal.Max)))
			if k := c.ahead.of(key, p, c.cfg.Forecast); k != nil {
				k.standing.Add(forecast.Held{Replicas: min(told.Replicas, highest), Until: told.Until.Time, Reason: told.Reason})
			}
		}
	}
}
