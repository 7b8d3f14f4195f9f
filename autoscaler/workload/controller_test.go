package workload

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/signal"
)

// stage is a controller on a clock and an API of the test's. What a real API server does is tested in the autoscaler package; here are the
// times, and the failures that a real one does not have on demand.
type stage struct {
	t          *testing.T
	clock      *clocktesting.FakeClock
	client     client.Client
	controller *Controller
	scales     *scalefake.FakeScaleClient
	live       int32   // replicas that the scale subresource has
	updates    []int32 // replicas that were written to it
	refusals   []error // of the next updates
	value      string  // what every query gives
	statuses   []v1alpha1.WorkloadAutoscalerStatus
	statusErr  error
	mu         sync.Mutex
	records    []decision.Record
	forgotten  []string
}

func (s *stage) Record(_ context.Context, r decision.Record, _ bool) {
	s.records = append(s.records, r)
}
func (s *stage) Observe(decision.Record)       {}
func (s *stage) Forget(namespace, name string) { s.forgotten = append(s.forgotten, namespace+"/"+name) }

// Status makes the stage the place where statuses are written.
func (s *stage) Status() client.SubResourceWriter { return statusWriter{s} }

type statusWriter struct{ *stage }

func (statusWriter) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	panic("not used")
}
func (statusWriter) Update(context.Context, client.Object, ...client.SubResourceUpdateOption) error {
	panic("not used")
}
func (statusWriter) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	panic("not used")
}
func (w statusWriter) Patch(_ context.Context, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	if w.statusErr != nil {
		return w.statusErr
	}
	text, err := patch.Data(o)
	require.NoError(w.t, err)
	var written v1alpha1.WorkloadAutoscaler
	require.NoError(w.t, json.Unmarshal(text, &written))
	w.statuses = append(w.statuses, written.Status)
	return nil
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, clock: clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0)), live: 2, value: "20"}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, v1alpha1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	two, zero := int32(2), int32(0)
	labels := map[string]string{"app": "web"}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}}, Status: appsv1.DeploymentStatus{Replicas: 2}},
		&v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"},
			Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
				Horizontal: &v1alpha1.HorizontalPolicy{Min: 1, Max: 10, Behavior: &v1alpha1.Behavior{ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: &zero}},
					Objectives: []v1alpha1.Objective{{Name: "queue", Query: &v1alpha1.QueryObjective{PromQL: "queue", Target: resource.MustParse("10"), Per: v1alpha1.PerReplica}}}}}},
	).Build()

	s.scales = &scalefake.FakeScaleClient{}
	s.scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: autoscalingv1.ScaleSpec{Replicas: s.live}}, nil
	})
	s.scales.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if len(s.refusals) > 0 {
			err := s.refusals[0]
			s.refusals = s.refusals[1:]
			return true, nil, err
		}
		scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		s.live = scale.Spec.Replicas
		s.updates = append(s.updates, s.live)
		return true, scale, nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		value := s.value
		if r.FormValue("query") != "queue" {
			value = "0"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector",
			"result": []any{map[string]any{"metric": map[string]string{}, "value": []any{0, value}}}}})
	}))
	t.Cleanup(server.Close)
	cfg := signal.DefaultConfig()
	cfg.URL = server.URL
	signals, err := signal.NewClient(cfg, nil, nil, s.clock, signal.NewMetrics(prometheus.NewRegistry()))
	require.NoError(t, err)
	t.Cleanup(signals.Close)

	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	s.controller = NewController(DefaultConfig(), Dependencies{
		Cache: s.client, Status: s, Events: kubefake.NewClientset(), Targets: NewTargets(s.client, mapper, s.scales, s.clock), Signals: signals,
		Journal: s, Clock: s.clock, Logger: slog.New(slog.DiscardHandler), Instance: "test", Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	return s
}

// tick evaluates, a second after the time before.
func (s *stage) tick() *stage {
	s.clock.Step(time.Second)
	require.NoError(s.t, s.controller.Tick(s.t.Context()))
	return s
}

// follow lets the cache catch up with the scale subresource.
func (s *stage) follow() {
	s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = &s.live; d.Status.Replicas = s.live })
}

func (s *stage) edit(change func(*appsv1.Deployment)) {
	var d appsv1.Deployment
	require.NoError(s.t, s.client.Get(s.t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, &d))
	change(&d)
	require.NoError(s.t, s.client.Update(s.t.Context(), &d))
}

func (s *stage) last() decision.Record { return s.records[len(s.records)-1] }

func (s *stage) queue(value string) { s.mu.Lock(); defer s.mu.Unlock(); s.value = value }

func TestConflictIsTriedAgainAtOnce(t *testing.T) {
	s := newStage(t)
	conflict := apierrors.NewConflict(schema.GroupResource{Group: "apps", Resource: "deployments"}, "web", nil)
	s.refusals = []error{conflict, conflict}
	s.queue("50")
	s.tick()
	assert.Equal(t, []int32{5}, s.updates)
	assert.Equal(t, decision.ScaledOut, s.last().Outcome)
}

func TestRefusedChangeIsToldAndTriedAgainNextTime(t *testing.T) {
	s := newStage(t)
	s.refusals = []error{apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "web", nil)}
	s.queue("50")
	s.tick()
	assert.Empty(t, s.updates)
	assert.Equal(t, decision.Failed, s.last().Outcome)
	assert.Equal(t, "ScaleRefused", s.last().Code)
	assert.Contains(t, s.last().Reason, "Failed to go from 2 to 5: set the replicas of Deployment web:")
	s.tick()
	assert.Equal(t, []int32{5}, s.updates)
	assert.Equal(t, decision.ScaledOut, s.last().Outcome)
}

func TestEndlessConflict(t *testing.T) {
	s := newStage(t)
	for range 10 {
		s.refusals = append(s.refusals, apierrors.NewConflict(schema.GroupResource{Resource: "deployments"}, "web", nil))
	}
	s.queue("50")
	s.tick()
	assert.Len(t, s.refusals, 10-maxMoves, "tried a few times only")
	assert.Equal(t, "ScaleConflict", s.last().Code)
}

func TestCacheThatIsBehindDoesNotScaleTwice(t *testing.T) {
	s := newStage(t)
	s.queue("50")
	s.tick()
	require.Equal(t, []int32{5}, s.updates)
	// The cache still says 2; the target has 5, which is what the signal asks for.
	s.tick()
	assert.Equal(t, []int32{5}, s.updates)
	assert.Equal(t, int32(5), s.last().CurrentReplicas)
	s.follow()
	s.tick()
	assert.Equal(t, []int32{5}, s.updates)
}

func TestReplicasSetByHandBetweenReadingAndWriting(t *testing.T) {
	s := newStage(t)
	s.live = 4
	s.queue("50")
	s.tick()
	assert.Equal(t, []int32{5}, s.updates)
	assert.Equal(t, "Scaled out from 4 to 5: queue at 25 per replica, target 10", s.last().Reason)

	s = newStage(t)
	s.live = 0
	s.queue("50")
	s.tick()
	assert.Empty(t, s.updates, "switched off just now")
	assert.Equal(t, "ScalingDisabled", s.last().Code)
}

func TestStatusIsWrittenAtOnceForReplicasAndSeldomOtherwise(t *testing.T) {
	s := newStage(t)
	s.tick()
	require.Len(t, s.statuses, 1)
	for range 30 {
		s.tick()
	}
	require.Len(t, s.statuses, 1, "nothing changed")

	// Every tick another outcome: the status follows every ten seconds.
	written := len(s.statuses)
	for i := range 40 {
		s.queue([]string{"20", "NaN"}[i%2])
		s.tick()
	}
	assert.InDelta(t, 4, len(s.statuses)-written, 1)

	s.queue("50")
	s.tick()
	last := s.statuses[len(s.statuses)-1]
	assert.Equal(t, int32(5), last.DesiredReplicas, "replicas are told at once")
	assert.Equal(t, "ScaledOut", last.Outcome)
	assert.Equal(t, s.last().Reason, last.Reason)
	assert.Equal(t, s.clock.Now().Unix(), last.LastScaleTime.Unix())
}

func TestStatusThatCannotBeWrittenIsNotTriedEverySecond(t *testing.T) {
	s := newStage(t)
	s.tick()
	s.statusErr = apierrors.NewInternalError(context.DeadlineExceeded)
	for i := range 120 {
		s.queue([]string{"50", "10"}[i%2])
		s.tick()
		s.follow()
	}
	require.Len(t, s.statuses, 1)
	s.statusErr = nil
	for range 61 {
		s.tick()
	}
	assert.Greater(t, len(s.statuses), 1, "it is tried again within a minute")
}

func TestRecordsOnceAMinute(t *testing.T) {
	s := newStage(t)
	for range 180 {
		s.tick()
	}
	require.Len(t, s.records, 3)
	assert.Equal(t, int64(59), s.records[2].EqualTicks)
}

func TestPolicyThatIsDeletedIsForgotten(t *testing.T) {
	s := newStage(t)
	s.tick()
	assert.Equal(t, 1, s.controller.Policies())
	var p v1alpha1.WorkloadAutoscaler
	require.NoError(t, s.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, &p))
	require.NoError(t, s.client.Delete(t.Context(), &p))
	s.tick()
	assert.Zero(t, s.controller.Policies())
	assert.Equal(t, []string{"shop/web"}, s.forgotten)
}

func TestRunTicksOnTheClockAndStops(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.controller.Run(ctx) }()
	require.Eventually(t, func() bool { return !s.controller.LastTick().IsZero() && s.clock.HasWaiters() }, 5*time.Second, time.Millisecond)
	first := s.controller.LastTick()
	s.clock.Step(time.Second)
	require.Eventually(t, func() bool { return s.controller.LastTick().After(first) }, 5*time.Second, time.Millisecond)
	cancel()
	<-done
	assert.Equal(t, []string{"shop/web"}, s.forgotten, "the next leader measures it")
}
