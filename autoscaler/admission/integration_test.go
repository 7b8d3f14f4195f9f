package admission

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// world is two namespaces of their own on a real cluster: one with pods, and one that the autoscaler is in.
type world struct {
	t                    *testing.T
	config               *rest.Config
	client               client.Client
	kube                 *kubernetes.Clientset
	cache                cache.Cache
	namespace, autoscale string
	configuration        string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	w := &world{t: t}
	var err error
	w.config, err = clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	w.config.QPS, w.config.Burst = -1, -1
	transport, err := rest.HTTPClientFor(w.config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	all := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, autoscalingv2.AddToScheme, v1alpha1.AddToScheme} {
		require.NoError(t, add(all))
	}
	w.client, err = client.New(w.config, client.Options{Scheme: all, HTTPClient: transport})
	require.NoError(t, err)
	w.kube, err = kubernetes.NewForConfigAndClient(w.config, transport)
	require.NoError(t, err)
	w.installDefinitions()
	w.namespace, w.autoscale = w.makeNamespace("admission-test-"), w.makeNamespace("autoscaler-")
	w.configuration = w.autoscale
	t.Cleanup(func() {
		_ = w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(context.WithoutCancel(t.Context()), w.configuration, metav1.DeleteOptions{})
	})
	w.startCache(all)
	return w
}

// startCache makes the cache as the autoscaler does.
func (w *world) startCache(all *runtime.Scheme) {
	var err error
	w.cache, err = cache.New(w.config, cache.Options{Scheme: all, ByObject: workload.CachedObjects(), ReaderFailOnMissingInformer: true,
		DefaultNamespaces: map[string]cache.Config{w.namespace: {}}})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); assert.NoError(w.t, w.cache.Start(ctx)) }()
	w.t.Cleanup(func() { cancel(); <-done })
	for object := range workload.CachedObjects() {
		_, err := w.cache.GetInformer(ctx, object)
		require.NoError(w.t, err)
	}
	require.True(w.t, w.cache.WaitForCacheSync(ctx))
}

func (w *world) installDefinitions() {
	w.t.Helper()
	manifests, err := crd.Manifests()
	require.NoError(w.t, err)
	for _, text := range manifests {
		var object unstructured.Unstructured
		require.NoError(w.t, yaml.Unmarshal(text, &object.Object))
		require.NoError(w.t, w.client.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(&object), client.FieldOwner("test"), client.ForceOwnership))
	}
	w.eventually("the definitions are served", func() bool {
		return w.client.List(w.t.Context(), &v1alpha1.WorkloadAutoscalerList{}) == nil
	})
}

func (w *world) makeNamespace(prefix string) string {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	require.NoError(w.t, w.client.Create(w.t.Context(), namespace))
	w.t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(w.t.Context()), namespace) })
	return namespace.Name
}

const patience = 2 * time.Minute

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, patience, 50*time.Millisecond, what)
}

// replica is one replica of the autoscaler, as far as this package is concerned.
type replica struct {
	*world
	server  *Server
	leading atomic.Bool
	stop    func()
}

// start starts a replica that talks to the API server as an administrator.
func (w *world) start(leading bool, c clock.WithTicker, edit func(*Config)) *replica {
	return w.startAs(w.kube, leading, c, edit)
}

func (w *world) startAs(kube kubernetes.Interface, leading bool, c clock.WithTicker, edit func(*Config)) *replica {
	w.t.Helper()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Configuration, cfg.Interval = "127.0.0.1:0", w.configuration, model.Duration(time.Second)
	if edit != nil {
		edit(&cfg)
	}
	r := &replica{world: w}
	r.leading.Store(leading)
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	r.server, err = New(cfg, Dependencies{Reader: w.cache, Kube: kube, Namespace: w.autoscale, Only: []string{w.namespace}, Leading: r.leading.Load,
		Clock: c, Logger: logger, Metrics: NewMetrics(prometheus.NewRegistry())})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); assert.NoError(w.t, r.server.Run(ctx)) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(r.stop)
	return r
}

func (r *replica) up() bool        { return testutil.ToFloat64(r.server.deps.Metrics.up) == 1 }
func (r *replica) missed() float64 { return testutil.ToFloat64(r.server.deps.Metrics.missed) }
func (r *replica) count(of result) float64 {
	return testutil.ToFloat64(r.server.deps.Metrics.reviews.WithLabelValues(string(of)))
}

// policy makes a policy for a Deployment, whose status has sizes.
func (w *world) policy(name string, sizes ...v1alpha1.ContainerSizeStatus) {
	w.t.Helper()
	p := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Vertical: &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyOnCreate}}}
	require.NoError(w.t, w.client.Create(w.t.Context(), p))
	p.Status.Vertical = &v1alpha1.VerticalStatus{Containers: sizes}
	require.NoError(w.t, w.client.Status().Update(w.t.Context(), p))
	w.eventually("the cache has the sizes", func() bool {
		var cached v1alpha1.WorkloadAutoscaler
		err := w.cache.Get(w.t.Context(), client.ObjectKeyFromObject(p), &cached)
		return err == nil && cached.Status.Vertical != nil
	})
}

func (w *world) deployment(name string, replicas int32) {
	w.t.Helper()
	labels := map[string]string{"app": name}
	require.NoError(w.t, w.client.Create(w.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "main", Image: "none", Resources: corev1.ResourceRequirements{
					Requests: list("cpu", "1", "memory", "1Gi"), Limits: list("memory", "2Gi")}}}}}},
	}))
}

func (w *world) pods(name string) []corev1.Pod {
	w.t.Helper()
	var pods corev1.PodList
	require.NoError(w.t, w.client.List(w.t.Context(), &pods, client.InNamespace(w.namespace), client.MatchingLabels{"app": name}))
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// another deletes a Deployment's pod and waits for the one that takes its place.
func (w *world) another(name string) *corev1.Pod {
	w.t.Helper()
	before := w.pods(name)
	for i := range before {
		require.NoError(w.t, w.client.Delete(w.t.Context(), &before[i], client.GracePeriodSeconds(0)))
	}
	var pod *corev1.Pod
	w.eventually("a new pod", func() bool {
		for _, p := range w.pods(name) {
			if len(before) == 0 || p.UID != before[0].UID {
				pod = &p
				return true
			}
		}
		return false
	})
	return pod
}

// sized waits for a Deployment's pod that has its size. The API server gives the webhook up after two seconds, which a loaded machine may
// need: then the pod is created as its manifest says, and another one has to come.
func (w *world) sized(name string) *corev1.Pod {
	w.t.Helper()
	var sized *corev1.Pod
	w.eventually("a sized pod", func() bool {
		pods := w.pods(name)
		for i := range pods {
			if cpuOf(&pods[i]) == "250m" {
				sized = &pods[i]
				return true
			}
			assert.NoError(w.t, client.IgnoreNotFound(w.client.Delete(w.t.Context(), &pods[i], client.GracePeriodSeconds(0))))
		}
		return false
	})
	return sized
}

func cpuOf(p *corev1.Pod) string { return p.Spec.Containers[0].Resources.Requests.Cpu().String() }

var small = v1alpha1.ContainerSizeStatus{Name: "main", Role: "default", Target: list("cpu", "250m", "memory", "300Mi"), Limits: list("memory", "600Mi"),
	Environment: map[string]string{"GOMEMLIMIT": "500MiB"}, Reason: "peak 240Mi"}

func TestPodsAreCreatedWithTheirSizes(t *testing.T) {
	w := newWorld(t)
	w.policy("web", small)
	r := w.start(true, clock.RealClock{}, nil)
	w.eventually("up", r.up)
	w.deployment("web", 1)
	pod := w.sized("web")
	c := pod.Spec.Containers[0]
	assert.Equal(t, list("cpu", "250m", "memory", "300Mi"), c.Resources.Requests)
	assert.Equal(t, list("memory", "600Mi"), c.Resources.Limits)
	assert.Equal(t, []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "500MiB"}}, c.Env)
	assert.Equal(t, "web: main cpu from 1 to 250m, memory from 1Gi to 300Mi, memory limit from 2Gi to 600Mi, GOMEMLIMIT=500MiB (peak 240Mi)", pod.Annotations[Annotation])
	w.eventually("the pod runs", func() bool { return len(w.pods("web")) == 1 && w.pods("web")[0].Status.Phase == corev1.PodRunning })

	// A dry run passes through the webhook, too.
	copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "dry", Labels: pod.Labels, OwnerReferences: pod.OwnerReferences},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
	w.eventually("a sized pod in a dry run", func() bool {
		dry := copied.DeepCopy()
		require.NoError(t, w.client.Create(t.Context(), dry, client.DryRunAll))
		return cpuOf(dry) == "250m"
	})
	// Pods that are nobody's never come here.
	sum := r.count(resultNoPolicy)
	require.NoError(t, w.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "bare"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}))
	assert.Equal(t, sum, r.count(resultNoPolicy))

	// Ended in an orderly way, it is forgotten by the API server: nobody else serves at its address.
	r.stop()
	_, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), w.configuration, metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), err)
	assert.Equal(t, "1", cpuOf(w.another("web")))
}

// TestWebhookIsDown: the API server cannot reach the webhook, of which no server hears anything.
func TestWebhookIsDown(t *testing.T) {
	w := newWorld(t)
	w.policy("web", small)
	r := w.start(true, clock.RealClock{}, func(c *Config) { c.URL = "https://127.0.0.1:1" })
	w.eventually("nothing speaks against it", r.up)
	time.Sleep(grace + time.Second)
	w.deployment("web", 1)
	w.eventually("a pod as its manifest says", func() bool { return len(w.pods("web")) == 1 && cpuOf(&w.pods("web")[0]) == "1" })
	w.eventually("the metrics say so", func() bool { return !r.up() && r.missed() == 1 })
	r.stop()

	r = w.start(true, clock.RealClock{}, nil)
	w.another("web")
	w.sized("web")
	w.eventually("the gauge, too", r.up)
}

func TestReplicasShareCertificates(t *testing.T) {
	w := newWorld(t)
	w.policy("web", small)
	c := testingclock.NewFakeClock(time.Now())
	stop := tickle(c)
	defer stop()
	var replicas []*replica
	for i := range 4 {
		replicas = append(replicas, w.start(i == 0, c, nil))
	}
	for _, r := range replicas {
		w.eventually("certificates", r.up)
	}
	secret, err := w.kube.CoreV1().Secrets(w.autoscale).Get(t.Context(), "yagura-admission", metav1.GetOptions{})
	require.NoError(t, err)
	first, err := decode(secret.Data)
	require.NoError(t, err)

	// Two years on, every certificate has been renewed, and pods were sized all along.
	w.deployment("web", 1)
	w.eventually("a pod", func() bool { return len(w.pods("web")) == 1 })
	for range 8 {
		c.Step(90 * day)
		w.eventually("certificates", func() bool { return w.certificateAge(c.Now()) < servingLife*2/3 })
		c.Step(settle * 2)
		for _, r := range replicas {
			w.eventually("up", r.up)
		}
	}
	secret, err = w.kube.CoreV1().Secrets(w.autoscale).Get(t.Context(), "yagura-admission", metav1.GetOptions{})
	require.NoError(t, err)
	last, err := decode(secret.Data)
	require.NoError(t, err)
	assert.NotEqual(t, first.serving.Leaf.SerialNumber, last.serving.Leaf.SerialNumber)
	assert.Len(t, last.authorities, 2)
	assert.True(t, last.trusted(c.Now()))
}

// tickle lets a fake clock's tickers tick while the test looks on.
func tickle(c *testingclock.FakeClock) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				c.Step(tick)
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (w *world) certificateAge(now time.Time) time.Duration {
	secret, err := w.kube.CoreV1().Secrets(w.autoscale).Get(w.t.Context(), "yagura-admission", metav1.GetOptions{})
	require.NoError(w.t, err)
	k, err := decode(secret.Data)
	require.NoError(w.t, err)
	return now.Sub(k.serving.Leaf.NotBefore)
}

func TestCertificateIsReplacedWithoutARestart(t *testing.T) {
	w := newWorld(t)
	w.policy("web", small)
	r := w.start(true, clock.RealClock{}, func(c *Config) {
		c.URL = "https://localhost:" + freePort(t)
		c.Listen = strings.TrimPrefix(c.URL, "https://")
	})
	w.eventually("up", r.up)
	served := func() *tls.ConnectionState {
		connection, err := tls.Dial("tcp", r.server.cfg.Listen, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is looked at below
		require.NoError(t, err)
		defer connection.Close()
		state := connection.ConnectionState()
		return &state
	}
	before := served().PeerCertificates[0]
	assert.NoError(t, before.VerifyHostname("localhost"))
	// Whoever wants another certificate at once takes this one out of the Secret.
	_, err := w.kube.CoreV1().Secrets(w.autoscale).Patch(t.Context(), "yagura-admission", types.MergePatchType, []byte(`{"data":{"tls.crt":"","tls.key":""}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	w.eventually("another certificate", func() bool { return !served().PeerCertificates[0].Equal(before) })
	w.eventually("up", r.up)
	w.deployment("web", 1)
	w.sized("web")

	// And a deleted Secret comes back, with a new authority beside the old one.
	require.NoError(t, w.kube.CoreV1().Secrets(w.autoscale).Delete(t.Context(), "yagura-admission", metav1.DeleteOptions{}))
	w.eventually("a Secret", func() bool {
		secret, err := w.kube.CoreV1().Secrets(w.autoscale).Get(t.Context(), "yagura-admission", metav1.GetOptions{})
		if err != nil {
			return false
		}
		k, err := decode(secret.Data)
		return err == nil && len(k.authorities) == 2
	})
	w.eventually("up", r.up)
	w.another("web")
	w.sized("web")
}

// TestNeverBeyondWhatIsAllowed: the API server would refuse the sized pod, so it gets the one of the manifest.
func TestNeverBeyondWhatIsAllowed(t *testing.T) {
	w := newWorld(t)
	big := small
	big.Target, big.Limits = list("cpu", "4", "memory", "1Gi"), list("memory", "2Gi")
	w.policy("web", big)
	r := w.start(true, clock.RealClock{}, nil)
	w.eventually("up", r.up)
	require.NoError(t, w.client.Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "little"},
		Spec: corev1.ResourceQuotaSpec{Hard: list("requests.cpu", "2")}}))
	w.eventually("the cache has the quota", func() bool {
		var q corev1.ResourceQuota
		return w.cache.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "little"}, &q) == nil && len(q.Status.Hard) > 0
	})
	w.deployment("web", 1)
	w.eventually("a pod as its manifest says", func() bool { return len(w.pods("web")) == 1 && cpuOf(&w.pods("web")[0]) == "1" })
	assert.EqualValues(t, 1, r.count(resultRefusal))
	assert.True(t, r.up(), "that is no fault of the webhook's")
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}
