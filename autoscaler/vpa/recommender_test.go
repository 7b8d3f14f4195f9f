package vpa_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

// source answers with what the test says.
type source struct {
	usage vpa.Usage
	err   error
	asked []string
	// answers, unless nil, take the place of usage.
	answers chan vpa.Usage
}

func (s *source) Usage(ctx context.Context, v *vpav1.VerticalPodAutoscaler) (vpa.Usage, error) {
	s.asked = append(s.asked, v.Name)
	if s.answers != nil {
		select {
		case u := <-s.answers:
			return u, nil
		case <-ctx.Done():
			return vpa.Usage{}, ctx.Err()
		}
	}
	return s.usage, s.err
}

// lister lists from a client, as it is at the moment.
type lister struct{ client.Reader }

func (l lister) List(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error) {
	var list vpav1.VerticalPodAutoscalerList
	err := l.Reader.List(ctx, &list)
	return list.Items, err
}

// room is a recommender on objects in memory. What an API server does with them is the matter of the integration test.
type room struct {
	t           *testing.T
	source      *source
	client      client.Client
	clock       *clocktesting.FakeClock
	registry    *prometheus.Registry
	recommender *vpa.Recommender
}

func newRoom(t *testing.T, objects ...vpav1.VerticalPodAutoscaler) *room {
	scheme := runtime.NewScheme()
	require.NoError(t, vpav1.AddToScheme(scheme))
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&vpav1.VerticalPodAutoscaler{})
	for i := range objects {
		builder.WithObjects(&objects[i])
	}
	r := &room{t: t, source: &source{}, client: builder.Build(), registry: prometheus.NewRegistry(),
		clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))}
	r.recommender = vpa.NewRecommender(vpa.DefaultConfig(), vpa.Dependencies{
		Objects: lister{r.client}, Source: r.source, Status: r.client, Clock: r.clock, Logger: slog.New(slog.DiscardHandler), Metrics: vpa.NewMetrics(r.registry)})
	return r
}

func (r *room) tick() vpav1.VerticalPodAutoscalerStatus {
	r.t.Helper()
	require.NoError(r.t, r.recommender.Tick(r.t.Context()))
	return r.status("web")
}

func (r *room) status(name string) vpav1.VerticalPodAutoscalerStatus {
	r.t.Helper()
	var v vpav1.VerticalPodAutoscaler
	require.NoError(r.t, r.client.Get(r.t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &v))
	return v.Status
}

func ours(edit func(*vpav1.VerticalPodAutoscaler)) vpav1.VerticalPodAutoscaler {
	return object("web", func(v *vpav1.VerticalPodAutoscaler) {
		v.Generation = 7
		v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "yagura"}}
		if edit != nil {
			edit(v)
		}
	})
}

func policies(list ...vpav1.ContainerResourcePolicy) func(*vpav1.VerticalPodAutoscaler) {
	return func(v *vpav1.VerticalPodAutoscaler) {
		v.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{ContainerPolicies: list}
	}
}

func reading(target, lower, upper, floor float64) vpa.Reading {
	return vpa.Reading{Estimate: vertical.Estimate{Target: target, Lower: lower, Upper: upper, Floor: floor, Confidence: 0.9}, Fresh: true}
}

const mib = 1 << 20

func usage(containers map[string]map[corev1.ResourceName]vpa.Reading) vpa.Usage {
	return vpa.Usage{Pods: 2, Containers: containers}
}

func mainUsage() vpa.Usage {
	return usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {
		corev1.ResourceCPU: reading(0.2501, 0.1, 0.5, 0), corev1.ResourceMemory: reading(300*mib, 200*mib, 400*mib, 0)}})
}

// line writes a recommendation in a line: target, bounds and the target without policy.
func line(r vpav1.RecommendedContainerResources) string {
	text := r.ContainerName
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := r.Target[name]; ok {
			lower, upper, uncapped := r.LowerBound[name], r.UpperBound[name], r.UncappedTarget[name]
			text += fmt.Sprintf(" %s %s [%s %s] %s", name, q.String(), lower.String(), upper.String(), uncapped.String())
		}
	}
	return text
}

func lines(s vpav1.VerticalPodAutoscalerStatus) []string {
	var all []string
	if s.Recommendation != nil {
		for _, r := range s.Recommendation.ContainerRecommendations {
			all = append(all, line(r))
		}
	}
	return all
}

// states writes conditions as type=status/reason.
func states(s vpav1.VerticalPodAutoscalerStatus) []string {
	var all []string
	for _, c := range s.Conditions {
		all = append(all, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return all
}

func TestRecommends(t *testing.T) {
	two := usage(map[string]map[corev1.ResourceName]vpa.Reading{
		"proxy": {corev1.ResourceCPU: reading(0.01, 0.01, 0.01, 0), corev1.ResourceMemory: reading(20*mib, 20*mib, 20*mib, 0)},
		"main":  mainUsage().Containers["main"],
	})
	const all = "main cpu 251m [100m 500m] 251m memory 300Mi [200Mi 400Mi] 300Mi"
	for name, c := range map[string]struct {
		edit       func(*vpav1.VerticalPodAutoscaler)
		usage      vpa.Usage
		want       []string
		conditions []string
	}{
		"without a policy": {nil, two, []string{all, "proxy cpu 10m [10m 10m] 10m memory 20Mi [20Mi 20Mi] 20Mi"}, []string{"RecommendationProvided=True/"}},
		"no floor but 1m and 4Mi": {nil, usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {
			corev1.ResourceCPU: reading(0, 0, 0, 0), corev1.ResourceMemory: reading(1, 1, 1, 0)}}),
			[]string{"main cpu 1m [1m 1m] 1m memory 4Mi [4Mi 4Mi] 4Mi"}, []string{"RecommendationProvided=True/"}},
		"endless upper bound": {nil, usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {corev1.ResourceCPU: reading(1, 0, 1e20, 0)}}),
			[]string{"main cpu 1 [1m 100G] 1"}, []string{"RecommendationProvided=True/"}},
		"never below the recent peak": {nil, usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {corev1.ResourceMemory: reading(100*mib, 50*mib, 120*mib, 200*mib)}}),
			[]string{"main memory 200Mi [50Mi 200Mi] 200Mi"}, []string{"RecommendationProvided=True/"}},
		"bounds of a container and of all others": {policies(
			vpav1.ContainerResourcePolicy{ContainerName: "*", MaxAllowed: corev1.ResourceList{"memory": resource.MustParse("350Mi"), "cpu": resource.MustParse("0")}},
			vpav1.ContainerResourcePolicy{ContainerName: "proxy", MinAllowed: corev1.ResourceList{"cpu": resource.MustParse("50m")}}), two,
			[]string{"main cpu 251m [100m 500m] 251m memory 300Mi [200Mi 350Mi] 300Mi", "proxy cpu 50m [50m 50m] 10m memory 20Mi [20Mi 20Mi] 20Mi"},
			[]string{"RecommendationProvided=True/"}},
		"a container left alone, and one resource of another": {policies(
			vpav1.ContainerResourcePolicy{ContainerName: "proxy", Mode: ptr(vpav1.ContainerScalingModeOff)},
			vpav1.ContainerResourcePolicy{ContainerName: "main", ControlledResources: &[]corev1.ResourceName{"memory"}}), two,
			[]string{"main memory 300Mi [200Mi 400Mi] 300Mi"}, []string{"RecommendationProvided=True/"}},
		"no pods":          {nil, vpa.Usage{}, nil, []string{"NoPodsMatched=True/NoPodsMatched", "RecommendationProvided=False/NoPodsMatched"}},
		"nothing is known": {nil, usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {}}), nil, []string{"RecommendationProvided=False/NoHistory"}},
		"being read":       {nil, vpa.Usage{Pods: 1, Loading: true}, nil, []string{"FetchingHistory=True/Loading", "RecommendationProvided=False/NoHistory"}},
		"a short history": {nil, usage(map[string]map[corev1.ResourceName]vpa.Reading{"main": {
			corev1.ResourceCPU: {Estimate: vertical.Estimate{Target: 1, Lower: 1, Upper: 1, Confidence: 0.1}, Fresh: true}}}),
			[]string{"main cpu 1 [1 1] 1"}, []string{"LowConfidence=True/ShortHistory", "RecommendationProvided=True/"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, ours(c.edit))
			r.source.usage = c.usage
			s := r.tick()
			assert.Equal(t, c.want, lines(s))
			assert.Equal(t, c.conditions, states(s))
			assert.Equal(t, int64(7), *s.ObservedGeneration)
		})
	}
}

func TestRefusesBadSpecs(t *testing.T) {
	for want, edit := range map[string]func(*vpav1.VerticalPodAutoscaler){
		"spec.targetRef: kind and name must be set": func(v *vpav1.VerticalPodAutoscaler) { v.Spec.TargetRef = nil },
		"spec.recommenders: there are 2, and only one can write the status": func(v *vpav1.VerticalPodAutoscaler) {
			v.Spec.Recommenders = append(v.Spec.Recommenders, &vpav1.VerticalPodAutoscalerRecommenderSelector{Name: "other"})
		},
		"spec.resourcePolicy.containerPolicies[0].containerName: must be set":                     policies(vpav1.ContainerResourcePolicy{}),
		"spec.resourcePolicy.containerPolicies[1].containerName: there is a policy for a already": policies(vpav1.ContainerResourcePolicy{ContainerName: "a"}, vpav1.ContainerResourcePolicy{ContainerName: "a"}),
		"spec.resourcePolicy.containerPolicies[0].minAllowed.cpu: 2 is above maxAllowed, 1": policies(vpav1.ContainerResourcePolicy{ContainerName: "a",
			MinAllowed: corev1.ResourceList{"cpu": resource.MustParse("2")}, MaxAllowed: corev1.ResourceList{"cpu": resource.MustParse("1")}}),
		"spec.resourcePolicy.containerPolicies[0].maxAllowed.memory: must not be negative": policies(vpav1.ContainerResourcePolicy{ContainerName: "a",
			MaxAllowed: corev1.ResourceList{"memory": resource.MustParse("-1")}}),
	} {
		t.Run(want, func(t *testing.T) {
			r := newRoom(t, ours(edit))
			r.source.usage = mainUsage()
			s := r.tick()
			assert.Equal(t, []string{"ConfigUnsupported=True/InvalidSpec", "RecommendationProvided=False/InvalidSpec"}, states(s))
			assert.Equal(t, want, s.Conditions[0].Message)
			assert.Empty(t, r.source.asked)
		})
	}
}

// TestOutagesTakeNothingAway goes through what may happen to a recommendation that was given once.
func TestOutagesTakeNothingAway(t *testing.T) {
	given := []string{"main cpu 251m [100m 500m] 251m memory 300Mi [200Mi 400Mi] 300Mi"}
	for name, c := range map[string]struct {
		change     func(*source)
		conditions []string
		fails      bool
	}{
		"the source is down":     {func(s *source) { s.err = errors.New("no answer") }, []string{"RecommendationProvided=True/"}, true},
		"the target is gone":     {func(s *source) { s.err = fmt.Errorf("%w: there is no Deployment web", vpa.ErrTarget) }, []string{"ConfigUnsupported=True/TargetUnknown", "RecommendationProvided=True/"}, false},
		"the pods are gone":      {func(s *source) { s.usage = vpa.Usage{} }, []string{"NoPodsMatched=True/NoPodsMatched", "RecommendationProvided=True/"}, false},
		"nothing known any more": {func(s *source) { s.usage.Containers["main"] = nil }, []string{"RecommendationProvided=True/SignalsStale"}, false},
		"stale usage says less": {func(s *source) {
			for name := range s.usage.Containers["main"] {
				s.usage.Containers["main"][name] = vpa.Reading{Estimate: vertical.Estimate{Target: 0.001, Confidence: 1}}
			}
		}, []string{"RecommendationProvided=True/SignalsStale"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, ours(nil))
			r.source.usage = mainUsage()
			require.Equal(t, given, lines(r.tick()))
			c.change(r.source)
			if c.fails {
				require.ErrorContains(t, r.recommender.Tick(t.Context()), "shop/web: read usage: no answer")
			} else {
				r.tick()
			}
			s := r.status("web")
			assert.Equal(t, given, lines(s))
			assert.Equal(t, c.conditions, states(s))
			r.source.err, r.source.usage = nil, mainUsage()
			assert.Equal(t, []string{"RecommendationProvided=True/"}, states(r.tick()))
		})
	}
}

func TestContainersThatAreGone(t *testing.T) {
	r := newRoom(t, ours(nil))
	r.source.usage = mainUsage()
	r.tick()
	r.source.usage = usage(map[string]map[corev1.ResourceName]vpa.Reading{"new": {corev1.ResourceCPU: reading(1, 1, 1, 0)}})
	assert.Equal(t, []string{"new cpu 1 [1 1] 1"}, lines(r.tick()))
}

func TestWritesOnlyWhatChanged(t *testing.T) {
	other := object("other", func(v *vpav1.VerticalPodAutoscaler) {
		v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "somebody"}}
	})
	r := newRoom(t, ours(nil), other, object("plain", nil))
	r.source.usage = mainUsage()
	first := r.tick()
	r.clock.Step(time.Hour)
	assert.Equal(t, first, r.tick())
	assert.Equal(t, []string{"web", "web"}, r.source.asked)
	assert.Empty(t, r.status("other"))
	assert.Empty(t, r.status("plain"))

	r.source.usage.Containers["main"][corev1.ResourceCPU] = reading(1, 1, 1, 0)
	second := r.tick()
	assert.Equal(t, []string{"main cpu 1 [1 1] 1 memory 300Mi [200Mi 400Mi] 300Mi"}, lines(second))
	assert.Equal(t, first.Conditions[0].LastTransitionTime, second.Conditions[0].LastTransitionTime, "provided all the time")
	written, err := r.registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, written)
	count, err := testutil.GatherAndCount(r.registry, "yagura_autoscaler_vpa_objects")
	require.NoError(t, err)
	assert.Equal(t, 2, count)
}

// TestTheFirstRecommendationComesSoon runs the recommender: what waits for its history is looked at every few seconds, what has a
// recommendation once an interval.
func TestTheFirstRecommendationComesSoon(t *testing.T) {
	r := newRoom(t, ours(nil))
	asked := make(chan vpa.Usage) // an answer for each question
	r.source.answers = asked
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.recommender.Run(ctx) }()
	defer func() { cancel(); <-done }()

	asked <- vpa.Usage{Pods: 1, Loading: true}
	r.wait("being read", func() bool { return len(r.status("web").Conditions) == 2 })
	r.clock.Step(5 * time.Second)
	asked <- mainUsage()
	r.wait("recommended", func() bool { return r.status("web").Recommendation != nil })
	for range 11 { // the rest of the minute
		r.wait("waiting", r.clock.HasWaiters)
		r.clock.Step(5 * time.Second)
	}
	next := mainUsage()
	next.Containers["main"][corev1.ResourceCPU] = reading(1, 1, 1, 0)
	asked <- next
	r.wait("recommended anew", func() bool { return lines(r.status("web"))[0] == "main cpu 1 [1 1] 1 memory 300Mi [200Mi 400Mi] 300Mi" })
	cancel()
	<-done
	assert.Len(t, r.source.asked, 3)
}

func (r *room) wait(what string, holds func() bool) {
	r.t.Helper()
	require.Eventually(r.t, holds, 20*time.Second, time.Millisecond, what)
}
