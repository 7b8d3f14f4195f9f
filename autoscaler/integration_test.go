package autoscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kubeconfig finds a cluster to test on: the one named by YAGURA_TEST_KUBECONFIG. In CI there must be one.
func kubeconfig(t *testing.T) string {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	return path
}

// signals is a query service whose answers the test sets. It knows the forms of questions that the signal package asks.
type signals struct {
	mu     sync.Mutex
	values map[string]float64 // by query; no entry means no series
	age    float64
	down   bool
}

func (s *signals) set(query string, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[query], s.age, s.down = value, 0.5, false
}

func (s *signals) cut() { s.mu.Lock(); defer s.mu.Unlock(); s.down = true }

func (s *signals) stale(age float64) { s.mu.Lock(); defer s.mu.Unlock(); s.age = age }

func (s *signals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	query := r.FormValue("query")
	value, ok := s.values[query]
	if strings.HasPrefix(query, "time() - ") {
		value, ok = s.age, true
	}
	result := []any{}
	if ok {
		result = append(result, map[string]any{"metric": map[string]string{}, "value": []any{0, strconv.FormatFloat(value, 'g', -1, 64)}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
}

// world is a namespace of its own on a real cluster, with a query service of the test's.
type world struct {
	t         *testing.T
	path      string
	namespace string
	client    client.Client
	signals   *signals
	url       string
}

func newWorld(t *testing.T) *world {
	path := kubeconfig(t)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme, v1alpha1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	ensureInstalled(t, path)
	c, err := client.New(config, client.Options{Scheme: scheme, HTTPClient: transport})
	require.NoError(t, err)
	w := &world{t: t, path: path, client: c, signals: &signals{values: map[string]float64{}, age: 0.5}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "autoscaler-test-"}}
	require.NoError(t, c.Create(t.Context(), namespace))
	w.namespace = namespace.Name
	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), namespace) })
	server := httptest.NewServer(w.signals)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// ensureInstalled installs the definitions as `yagura up` does.
func ensureInstalled(t *testing.T, path string) {
	t.Helper()
	a := newAutoscaler(t, Config{Kubeconfig: path})
	config, _, err := a.restConfig()
	require.NoError(t, err)
	k, err := connect(config, clock.RealClock{})
	require.NoError(t, err)
	a.cfg.InstallCRDs = true
	require.NoError(t, a.ensureDefinitions(t.Context(), k))
	k.close()
}

// newAutoscaler fills in what is not set with short defaults.
func newAutoscaler(t *testing.T, cfg Config, registry ...prometheus.Registerer) *Autoscaler {
	t.Helper()
	registry = append(registry, prometheus.NewRegistry())
	base := DefaultConfig()
	base.Kubeconfig, base.InstallCRDs, base.Namespaces = cfg.Kubeconfig, cfg.InstallCRDs, cfg.Namespaces
	base.LeaderElection.Namespace = cfg.LeaderElection.Namespace
	base.LeaderElection.LeaseDuration = model.Duration(3 * time.Second)
	base.LeaderElection.RenewDeadline = model.Duration(2 * time.Second)
	base.LeaderElection.RetryPeriod = model.Duration(500 * time.Millisecond)
	if cfg.Signal.URL != "" {
		base.Signal.URL = cfg.Signal.URL
	}
	if cfg.Providers.Instances != nil {
		base.Providers.Instances = cfg.Providers.Instances
	}
	base.Workload.Interval = model.Duration(200 * time.Millisecond)
	base.Workload.StatusInterval = model.Duration(500 * time.Millisecond)
	base.Journal.Endpoint = ""
	// The client libraries keep the first logger for the rest of the process, so it must outlive the test.
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	a, err := New(base, logger, registry[0])
	require.NoError(t, err)
	return a
}

// start makes an autoscaler for the test's namespace and runs it until the test ends or stop is called.
func (w *world) start() (a *Autoscaler, stop func()) {
	a = newAutoscaler(w.t, Config{Kubeconfig: w.path, Namespaces: []string{w.namespace}, LeaderElection: LeaderElectionConfig{Namespace: w.namespace}, InstallCRDs: true, Signal: signalURL(w.url)})
	return a, w.run(a)
}

// run runs an autoscaler until the test ends or stop is called.
func (w *world) run(a *Autoscaler) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(w.t, a.Run(ctx))
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) deployment(name string, replicas int32) {
	w.t.Helper()
	labels := map[string]string{"app": name}
	require.NoError(w.t, w.client.Create(w.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "main", Image: "none"}}}}},
	}))
	w.eventually("the deployment's pods", func() bool {
		var d appsv1.Deployment
		require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &d))
		return d.Status.Replicas == replicas
	})
}

func (w *world) replicaSet(name string) {
	labels := map[string]string{"app": name}
	two := int32(2)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
	w.create(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.ReplicaSetSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}})
}

func (w *world) policy(name string, edit func(*v1alpha1.WorkloadAutoscaler)) *v1alpha1.WorkloadAutoscaler {
	zero := int32(0)
	p := &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WorkloadAutoscalerSpec{
			TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, Mode: v1alpha1.Apply,
			Horizontal: &v1alpha1.HorizontalPolicy{Min: 1, Max: 10,
				Objectives: []v1alpha1.Objective{{Name: "queue", Query: &v1alpha1.QueryObjective{PromQL: "sum(queue)", Target: resource.MustParse("10"), Per: v1alpha1.PerReplica}}},
				Behavior:   &v1alpha1.Behavior{ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: &zero}}},
		},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	require.NoError(w.t, w.client.Create(w.t.Context(), o))
}

func (w *world) replicas(name string) int32 {
	var d appsv1.Deployment
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &d))
	return *d.Spec.Replicas
}

func (w *world) status(name string) v1alpha1.WorkloadAutoscalerStatus {
	var p v1alpha1.WorkloadAutoscaler
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &p))
	return p.Status
}

func (w *world) notes(reason string) []string {
	var list corev1.EventList
	require.NoError(w.t, w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)))
	var notes []string
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "WorkloadAutoscaler" && e.Reason == reason {
			notes = append(notes, e.Message)
		}
	}
	return notes
}

const patience = 20 * time.Second

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, patience, 50*time.Millisecond, what)
}

func TestReplicasFollowTheSignal(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.signals.set("sum(queue)", 20)
	a, _ := w.start()
	w.create(w.policy("web", nil))
	w.eventually("on target", func() bool { return w.status("web").Outcome == "Unchanged" })

	w.signals.set("sum(queue)", 57)
	w.eventually("scaled out", func() bool { return w.replicas("web") == 6 })
	w.eventually("said so", func() bool { return len(w.notes("ScaledOut")) == 1 })
	assert.Equal(t, []string{"Scaled out from 2 to 6: queue at 28.5 per replica, target 10"}, w.notes("ScaledOut"))
	w.eventually("status follows", func() bool { s := w.status("web"); return s.CurrentReplicas == 6 && s.Outcome == "Unchanged" })
	s := w.status("web")
	assert.NotNil(t, s.LastScaleTime)
	assert.Equal(t, "Fresh", s.Objectives[0].State)

	w.signals.set("sum(queue)", 31)
	w.eventually("scaled in", func() bool { return w.replicas("web") == 4 })

	// A lost signal holds, whatever it said last, and says the same everywhere.
	w.signals.cut()
	w.eventually("held", func() bool {
		reason := w.status("web").Reason
		return strings.HasPrefix(reason, "Held at 4: no signal is known: queue is missing: no answer:") && slices.Contains(w.notes("Held"), reason)
	})
	assert.Equal(t, int32(4), w.replicas("web"))
	w.signals.set("sum(queue)", 40)
	w.eventually("resumed", func() bool { return w.status("web").Outcome == "Unchanged" && len(w.notes("Resumed")) > 0 })
	w.signals.stale(600)
	w.eventually("stale", func() bool {
		return strings.Contains(w.status("web").Reason, "queue is stale: the newest sample of queue is 10m0s old")
	})

	assert.Equal(t, Leading, a.State().Phase)
	assert.Equal(t, 1, a.State().Policies)
}

func TestSetByHandIsGovernedAgain(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 3)
	w.signals.set("sum(queue)", 30)
	w.start()
	w.create(w.policy("web", nil))
	w.eventually("on target", func() bool { return w.status("web").Outcome == "Unchanged" })

	w.scaleByHand("web", 8)
	w.eventually("brought back", func() bool { return w.replicas("web") == 3 })
	w.scaleByHand("web", 0)
	w.eventually("switched off", func() bool { return strings.Contains(w.status("web").Reason, "switched off") })
	assert.Equal(t, int32(0), w.replicas("web"))
	w.scaleByHand("web", 1)
	w.eventually("governed again", func() bool { return w.replicas("web") == 3 })
}

func (w *world) scaleByHand(name string, replicas int32) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	require.NoError(w.t, w.client.SubResource("scale").Patch(w.t.Context(), d, patch))
}

func TestNobodyElsesTarget(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.deployment("api", 2)
	w.signals.set("sum(queue)", 50)
	one := int32(1)
	w.create(&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web-hpa"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &one, MaxReplicas: 5,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}})
	w.create(w.policy("web", nil))
	w.create(w.policy("api", nil))
	time.Sleep(1100 * time.Millisecond) // creation times are in whole seconds, and the older policy owns
	w.create(w.policy("late", func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.TargetRef.Name = "api"; p.Spec.Horizontal.Max = 3 }))
	w.start()
	w.eventually("held because of the HPA", func() bool {
		return w.status("web").Reason == "Held at 2: HorizontalPodAutoscaler web-hpa scales the target; two autoscalers must not"
	})
	w.eventually("held because of the older policy", func() bool {
		return strings.HasSuffix(w.status("late").Reason, "WorkloadAutoscaler api scales the target; two autoscalers must not")
	})
	w.eventually("the older policy acts", func() bool { return w.replicas("api") == 5 })
	assert.Equal(t, int32(2), w.replicas("web"))
}

func TestModes(t *testing.T) {
	w := newWorld(t)
	w.signals.set("sum(queue)", 50)
	for name, mode := range map[string]v1alpha1.Mode{"observe": v1alpha1.Observe, "recommend": ""} {
		w.deployment(name, 2)
		w.create(w.policy(name, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Mode = mode }))
	}
	w.start()
	w.eventually("recommended", func() bool { return w.status("recommend").Outcome == "Recommended" })
	assert.Equal(t, int32(5), w.status("recommend").DesiredReplicas)
	w.eventually("event", func() bool {
		return slices.Equal(w.notes("Recommended"), []string{"Recommended from 2 to 5: queue at 25 per replica, target 10"})
	})
	w.eventually("observed", func() bool { return w.status("observe").Outcome == "Observed" })
	assert.Equal(t, int32(2), w.replicas("observe"))
	assert.Equal(t, int32(2), w.replicas("recommend"))
}

func TestTargetsThatAreNotThere(t *testing.T) {
	w := newWorld(t)
	w.signals.set("sum(queue)", 30)
	w.create(w.policy("late", nil))
	w.create(w.policy("odd", func(p *v1alpha1.WorkloadAutoscaler) {
		p.Spec.TargetRef = v1alpha1.TargetReference{APIVersion: "example.com/v1", Kind: "Unheard", Name: "x"}
	}))
	w.start()
	w.eventually("missing", func() bool { return w.status("late").Reason == "Failed: there is no Deployment late" })
	w.eventually("unknown", func() bool {
		return w.status("odd").Reason == "Failed: the cluster has no kind Unheard in example.com/v1"
	})
	w.deployment("late", 1)
	w.eventually("found", func() bool { return w.replicas("late") == 3 })
}

func TestAnyScalableKind(t *testing.T) {
	w := newWorld(t)
	w.replicaSet("set")
	w.signals.set("sum(queue)", 40)
	w.create(w.policy("set", func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.TargetRef.Kind = "ReplicaSet" }))
	w.start()
	w.eventually("scaled", func() bool {
		var rs appsv1.ReplicaSet
		require.NoError(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "set"}, &rs))
		return *rs.Spec.Replicas == 4
	})
}

func TestStandbyTakesOver(t *testing.T) {
	w := newWorld(t)
	w.deployment("web", 2)
	w.signals.set("sum(queue)", 20)
	w.create(w.policy("web", nil))
	first, stop := w.start()
	w.eventually("leading", func() bool { return first.State().Phase == Leading })
	second, _ := w.start()
	w.eventually("standing by", func() bool {
		s := second.State()
		return s.Phase == Standby && s.Message == "led by "+first.Instance()
	})
	assert.NoError(t, second.State().ready())
	stop()
	assert.Equal(t, Stopped, first.State().Phase)
	w.eventually("taken over", func() bool { return second.State().Phase == Leading })
	w.signals.set("sum(queue)", 50)
	w.eventually("acting", func() bool { return w.replicas("web") == 5 })
}

func TestWaitsForAClusterThatComesLater(t *testing.T) {
	w := newWorld(t)
	later := filepath.Join(t.TempDir(), "kubeconfig")
	path := w.path
	w.path = later
	a, _ := w.start()
	w.eventually("no file", func() bool {
		return a.State().Phase == WaitingForKubeconfig && strings.Contains(a.State().Message, "no such file")
	})
	assert.Error(t, a.State().ready())
	assert.NoError(t, a.State().healthy(time.Now()))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	config, err := clientcmd.Load(text)
	require.NoError(t, err)
	for _, cluster := range config.Clusters {
		cluster.Server = "https://127.0.0.1:1"
	}
	require.NoError(t, clientcmd.WriteToFile(*config, later))
	w.eventually("no server", func() bool {
		return a.State().Phase == WaitingForAPIServer && strings.Contains(a.State().Message, "refused")
	})

	require.NoError(t, os.WriteFile(later, text, 0o600))
	w.eventually("there", func() bool { return a.State().Phase == Leading })
}

func signalURL(url string) signal.Config { return signal.Config{URL: url} }
