package drain_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/drain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a node and a namespace of its own on a real API server with its controllers. The node is one more of the simulated ones; pods
// that are to be on it select it at first.
type world struct {
	*testing.T
	kube      kubernetes.Interface
	namespace string
	node      string
	clock     *clocktesting.FakeClock
	config    drain.Config
	d         *drain.Drainer
	since     time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	config.QPS, config.Burst = -1, -1
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	kube, err := kubernetes.NewForConfigAndClient(config, transport)
	require.NoError(t, err)
	w := &world{T: t, kube: kube, config: drain.DefaultConfig(), clock: clocktesting.NewFakeClock(time.Now())}
	w.since = w.clock.Now()
	namespace, err := kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "drain-test-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.namespace = namespace.Name
	w.node = w.makeNode()
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		_ = kube.CoreV1().Nodes().Delete(ctx, w.node, metav1.DeleteOptions{})
		_ = kube.CoreV1().Namespaces().Delete(ctx, w.namespace, metav1.DeleteOptions{})
	})
	w.restart()
	return w
}

// restart replaces the Drainer by one that knows nothing.
func (w *world) restart() {
	w.d = drain.New(drain.Dependencies{
		Kube: w.kube, FieldManager: "yagura-autoscaler", Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
		Metrics: drain.NewMetrics(prometheus.NewRegistry()), Config: w.config,
	})
}

// makeNode makes a node like the simulated ones that are there.
func (w *world) makeNode() string {
	w.Helper()
	list, err := w.kube.CoreV1().Nodes().List(w.Context(), metav1.ListOptions{LabelSelector: "!drain-test"})
	require.NoError(w, err)
	i := slices.IndexFunc(list.Items, func(n corev1.Node) bool {
		return strings.Contains(fmt.Sprint(n.Annotations, n.Labels), "kwok") && len(n.Spec.Taints) == 0
	})
	require.GreaterOrEqual(w, i, 0, "a simulated node")
	model := &list.Items[i]
	name := w.namespace
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}}}
	for k, v := range model.Labels {
		n.Labels[k] = v
	}
	for k, v := range model.Annotations {
		n.Annotations[k] = v
	}
	n.Labels[corev1.LabelHostname], n.Labels["drain-test"] = name, name
	n.Status.Allocatable, n.Status.Capacity = model.Status.Allocatable, model.Status.Capacity
	_, err = w.kube.CoreV1().Nodes().Create(w.Context(), n, metav1.CreateOptions{})
	require.NoError(w, err)
	w.eventually("the node is ready", func() bool {
		n, err := w.kube.CoreV1().Nodes().Get(w.Context(), name, metav1.GetOptions{})
		require.NoError(w, err)
		return len(n.Spec.Taints) == 0 && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
	})
	return name
}

func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	require.Eventually(w, holds, 3*time.Minute, 100*time.Millisecond, what)
}

// here makes pods prefer the world's node as long as it takes pods, and go elsewhere after that.
func (w *world) here(spec *corev1.PodSpec) {
	spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
		Weight: 100, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "drain-test", Operator: corev1.NodeSelectorOpIn, Values: []string{w.node}}}},
	}}}}
}

func (w *world) template(name string, edit ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	w.here(&t.Spec)
	for _, e := range edit {
		e(&t)
	}
	return t
}

// deployment creates a Deployment and waits until its pods are ready on the world's node.
func (w *world) deployment(name string, replicas int32, edit ...func(*appsv1.Deployment)) []*corev1.Pod {
	w.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, Template: w.template(name),
	}}
	for _, e := range edit {
		e(d)
	}
	_, err := w.kube.AppsV1().Deployments(w.namespace).Create(w.Context(), d, metav1.CreateOptions{})
	require.NoError(w, err)
	var pods []*corev1.Pod
	w.eventually("the pods are ready", func() bool {
		pods = w.pods(name)
		return len(pods) == int(replicas) && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !ready(p) })
	})
	for _, p := range pods {
		require.Equal(w, w.node, p.Spec.NodeName)
	}
	if len(pods) == 1 { // the Deployment has seen it, too
		w.eventually("the Deployment rests", func() bool {
			d, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.Context(), name, metav1.GetOptions{})
			require.NoError(w, err)
			return d.Status.ReadyReplicas == replicas && d.Status.UpdatedReplicas == replicas
		})
	}
	return pods
}

// pod makes a pod that nobody controls on the world's node.
func (w *world) pod(name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	w.Helper()
	t := w.template(name)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: t.Labels, Annotations: map[string]string{}}, Spec: t.Spec}
	for _, e := range edit {
		e(p)
	}
	_, err := w.kube.CoreV1().Pods(w.namespace).Create(w.Context(), p, metav1.CreateOptions{})
	require.NoError(w, err)
	w.eventually("the pod is ready", func() bool { got := w.get(name); return got != nil && ready(got) })
	return w.get(name)
}

func safe(p *corev1.Pod) { p.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "true" }

func ready(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func (w *world) pods(app string) []*corev1.Pod {
	w.Helper()
	list, err := w.kube.CoreV1().Pods(w.namespace).List(w.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	require.NoError(w, err)
	var out []*corev1.Pod
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

func (w *world) get(name string) *corev1.Pod {
	p, err := w.kube.CoreV1().Pods(w.namespace).Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return p
}

func (w *world) current() *corev1.Node {
	w.Helper()
	n, err := w.kube.CoreV1().Nodes().Get(w.Context(), w.node, metav1.GetOptions{})
	require.NoError(w, err)
	return n
}

func (w *world) cordon() {
	w.Helper()
	require.NoError(w, w.d.Cordon(w.Context(), w.current(), v1alpha1.DisruptDrifted))
}

// plan gives each pod of the namespace a place.
func (w *world) plan(edit ...func(*drain.Plan)) drain.Plan {
	w.Helper()
	p := drain.Plan{Reason: v1alpha1.DisruptDrifted, Since: w.since}
	list, err := w.kube.CoreV1().Pods(w.namespace).List(w.Context(), metav1.ListOptions{})
	require.NoError(w, err)
	for i := range list.Items {
		p.Places = append(p.Places, cluster.Placement{Node: "elsewhere", Pod: cluster.PodRef{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: list.Items[i].Name}}})
	}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func (w *world) drain(edit ...func(*drain.Plan)) drain.Progress {
	w.Helper()
	p, err := w.d.Drain(w.Context(), w.current(), w.plan(edit...))
	require.NoError(w, err)
	return p
}

// drainUntilDone goes on until the node is empty.
func (w *world) drainUntilDone(edit ...func(*drain.Plan)) drain.Progress {
	w.Helper()
	var p drain.Progress
	for range 600 {
		if p = w.drain(edit...); p.Done {
			return p
		}
		w.clock.Step(time.Second)
		time.Sleep(50 * time.Millisecond) // the controllers' turn
	}
	require.FailNow(w, "the drain does not end", "%+v", p)
	return p
}

// code is where a pod stands.
func code(p drain.Progress, name string) string {
	for _, pod := range p.Pods {
		if pod.Pod.Name == name {
			return pod.Code
		}
	}
	return ""
}

func (w *world) budget(name string, atLeast int) {
	w.Helper()
	n := intstr.FromInt32(int32(atLeast))
	_, err := w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Create(w.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, atLeast)},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &n, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}},
	}, metav1.CreateOptions{})
	require.NoError(w, err)
	w.eventually("the budget is known", func() bool {
		b, err := w.kube.PolicyV1().PodDisruptionBudgets(w.namespace).Get(w.Context(), fmt.Sprintf("%s-%d", name, atLeast), metav1.GetOptions{})
		require.NoError(w, err)
		return b.Status.ObservedGeneration == b.Generation && b.Status.ExpectedPods > 0
	})
}

// webhook refuses evictions in the test's namespace until the returned function is called.
func (w *world) webhook(why string) (lift func()) {
	w.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &review); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: why}}
		review.Request = nil
		_ = json.NewEncoder(rw).Encode(review)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	none, ignore := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Ignore
	webhooks := w.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := webhooks.Create(w.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "keeper.yagura.test", SideEffects: &none, FailurePolicy: &ignore, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: &server.URL, CABundle: authority},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"}}}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(w, err)
	remove := func() { _ = webhooks.Delete(context.WithoutCancel(w.Context()), w.namespace, metav1.DeleteOptions{}) }
	w.Cleanup(remove)
	probe := w.pods("web")[0].Name
	refused := func() bool {
		err := w.kube.PolicyV1().Evictions(w.namespace).Evict(w.Context(), &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: probe}, DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
		})
		return err != nil && strings.Contains(err.Error(), why)
	}
	w.eventually("the webhook is called", refused)
	return func() {
		remove()
		w.eventually("the webhook is not called any more", func() bool { return !refused() })
		w.clock.Step(time.Minute)
	}
}
