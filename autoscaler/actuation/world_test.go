package actuation

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// world is a namespace of its own on a real cluster of simulated nodes, and an Executor whose clock the test moves.
type world struct {
	*testing.T
	kube      kubernetes.Interface
	own       kubernetes.Interface // the Executor's
	namespace string
	policy    *v1alpha1.WorkloadAutoscaler
	clock     *clocktesting.FakeClock
	config    Config
	x         *Executor
	// fault is asked before each call of the Executor; what it returns is the answer, unless that is nil.
	fault atomic.Pointer[func(*http.Request) (*http.Response, error)]
}

// faulty is the Executor's way to the API server.
type faulty struct {
	w    *world
	next http.RoundTripper
}

func (f faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	if fault := f.w.fault.Load(); fault != nil {
		if response, err := (*fault)(r); response != nil || err != nil {
			return response, err
		}
	}
	return f.next.RoundTrip(r)
}

// WrappedRoundTripper lets idle connections be closed.
func (f faulty) WrappedRoundTripper() http.RoundTripper { return f.next }

// breaks makes calls of the Executor fail as the function says.
func (w *world) breaks(fault func(*http.Request) (*http.Response, error)) { w.fault.Store(&fault) }

func newWorld(t *testing.T) *world {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig(t))
	require.NoError(t, err)
	config.QPS, config.Burst = -1, -1
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	kube, err := kubernetes.NewForConfigAndClient(config, transport)
	require.NoError(t, err)
	namespace, err := kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "actuation-test-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = kube.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), namespace.Name, metav1.DeleteOptions{})
	})
	w := &world{T: t, kube: kube, namespace: namespace.Name, config: DefaultConfig(), clock: clocktesting.NewFakeClock(time.Now().Add(time.Hour))}
	own := *transport
	own.Transport = faulty{w, transport.Transport}
	w.own, err = kubernetes.NewForConfigAndClient(config, &own)
	require.NoError(t, err)
	w.policy = &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
	w.policy.Spec.Vertical = &v1alpha1.VerticalPolicy{Recreate: &v1alpha1.RecreatePolicy{}}
	w.restart()
	return w
}

// restart replaces the Executor by a new one that knows nothing. It waits for answers as long as they take.
func (w *world) restart() {
	if w.x != nil {
		w.x.Wait()
	}
	w.config.Wait = model.Duration(time.Second) // of a clock that stands still
	w.config.Timeout = model.Duration(time.Minute)
	w.x = New(w.config, Dependencies{Kube: w.own, Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry())})
}

func sizes(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)},
	}
}

func podTemplate(name string, edit ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none", Resources: sizes("100m", "64Mi")}}},
	}
	for _, e := range edit {
		e(&template)
	}
	return template
}

// deployment creates a Deployment, waits until its pods are ready and returns them.
func (w *world) deployment(name string, replicas int32, edit ...func(*corev1.PodTemplateSpec)) []*corev1.Pod {
	w.Helper()
	_, err := w.kube.AppsV1().Deployments(w.namespace).Create(w.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: podTemplate(name, edit...)},
	}, metav1.CreateOptions{})
	require.NoError(w, err)
	return w.reported(w.readyPods(name, int(replicas)))
}

func (w *world) statefulSet(name string, replicas int32) []*corev1.Pod {
	w.Helper()
	_, err := w.kube.AppsV1().StatefulSets(w.namespace).Create(w.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			ServiceName: name, Template: podTemplate(name)},
	}, metav1.CreateOptions{})
	require.NoError(w, err)
	return w.reported(w.readyPods(name, int(replicas)))
}

func (w *world) pods(app string) []*corev1.Pod {
	w.Helper()
	list, err := w.kube.CoreV1().Pods(w.namespace).List(w.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	require.NoError(w, err)
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
	}
	return pods
}

func (w *world) pod(name string) *corev1.Pod {
	w.Helper()
	pod, err := w.kube.CoreV1().Pods(w.namespace).Get(w.Context(), name, metav1.GetOptions{})
	require.NoError(w, err)
	return pod
}

func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	require.Eventually(w, holds, 2*time.Minute, 50*time.Millisecond, what)
}

func (w *world) readyPods(app string, n int) []*corev1.Pod {
	w.Helper()
	var pods []*corev1.Pod
	w.eventually(fmt.Sprintf("%d ready pods of %s", n, app), func() bool {
		pods = w.pods(app)
		return len(pods) == n && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !ready(p) })
	})
	return pods
}

func (w *world) target(replicas int32, pods ...*corev1.Pod) Target {
	t := Target{Policy: w.policy, Replicas: replicas}
	for _, pod := range pods {
		t.Pods = append(t.Pods, sizing.Pod{Object: pod, Role: sizing.DefaultRole})
	}
	return t
}

func inPlace(pod *corev1.Pod, want corev1.ResourceRequirements) sizing.Step {
	return sizing.Step{Pod: pod, Containers: map[string]corev1.ResourceRequirements{"main": want}, InPlace: true}
}

// recreate is a step that cannot be carried out in place.
func recreate(pod *corev1.Pod, want corev1.ResourceRequirements) sizing.Step {
	s := inPlace(pod, want)
	s.InPlace, s.Recreate = false, true
	return s
}

func both(pod *corev1.Pod, want corev1.ResourceRequirements) sizing.Step {
	s := inPlace(pod, want)
	s.Recreate = true
	return s
}

// execute takes steps and returns the account of the only one.
func (w *world) execute(t Target, steps ...sizing.Step) decision.PodAction {
	w.Helper()
	actions := w.x.Execute(w.Context(), t, steps)
	require.Len(w, actions, 1)
	return actions[0]
}

// reported writes to pods' statuses what their containers have, as a kubelet does and a simulated node does not. Without it the
// API server supposes that the node cannot resize.
func (w *world) reported(pods []*corev1.Pod) []*corev1.Pod {
	w.Helper()
	for i, pod := range pods {
		pods[i] = w.node(pod)
	}
	return pods
}

// nodesDeclare says that the nodes have a feature.
func (w *world) nodesDeclare(feature string) {
	w.Helper()
	nodes, err := w.kube.CoreV1().Nodes().List(w.Context(), metav1.ListOptions{})
	require.NoError(w, err)
	for i := range nodes.Items {
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"declaredFeatures": []string{feature}}})
		require.NoError(w, err)
		_, err = w.kube.CoreV1().Nodes().Patch(w.Context(), nodes.Items[i].Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		require.NoError(w, err)
	}
}

// node says in a pod's status what a kubelet would say.
func (w *world) node(pod *corev1.Pod, conditions ...corev1.PodCondition) *corev1.Pod {
	w.Helper()
	pod = w.pod(pod.Name)
	pod.Status.ObservedGeneration = pod.Generation
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			container, _ := containerOf(pod, statuses[i].Name)
			if statuses[i].Resources == nil || len(conditions) == 0 {
				statuses[i].Resources = container.Resources.DeepCopy()
			}
		}
	}
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress
	})
	for _, c := range conditions {
		c.Status, c.ObservedGeneration, c.LastTransitionTime = corev1.ConditionTrue, pod.Generation, metav1.NewTime(w.clock.Now())
		pod.Status.Conditions = append(pod.Status.Conditions, c)
	}
	after, err := w.kube.CoreV1().Pods(w.namespace).UpdateStatus(w.Context(), pod, metav1.UpdateOptions{})
	require.NoError(w, err)
	return after
}

// webhook gives every pod that is created in the test's namespace what the returned pointer says, as the admission webhook of
// the autoscaler does.
func (w *world) webhook(want corev1.ResourceRequirements) *atomic.Pointer[corev1.ResourceRequirements] {
	w.Helper()
	var size atomic.Pointer[corev1.ResourceRequirements]
	size.Store(&want)
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &review); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if s := size.Load(); s != nil {
			review.Response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
			review.Response.Patch, _ = json.Marshal([]any{map[string]any{"op": "add", "path": "/spec/containers/0/resources", "value": s}})
		}
		review.Request = nil
		_ = json.NewEncoder(rw).Encode(review)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	none, ignore, never := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Ignore, admissionregistrationv1.NeverReinvocationPolicy
	_, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(w.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "sizes.yagura.test", SideEffects: &none, FailurePolicy: &ignore, ReinvocationPolicy: &never, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: ptr.To(server.URL), CABundle: authority},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(w, err)
	w.Cleanup(func() {
		_ = w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(context.WithoutCancel(w.Context()), w.namespace, metav1.DeleteOptions{})
	})
	probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: podTemplate("probe").Spec}
	w.eventually("the webhook is called", func() bool {
		pod, err := w.kube.CoreV1().Pods(w.namespace).Create(w.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && sameResources(pod.Spec.Containers[0].Resources, want)
	})
	return &size
}
