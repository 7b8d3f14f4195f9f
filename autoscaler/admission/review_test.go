package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// hook is a server without a cluster.
type hook struct {
	t       *testing.T
	handler http.Handler
	server  *Server
}

func newHook(t *testing.T, reader client.Reader, owner func(context.Context, *v1alpha1.WorkloadAutoscaler) (string, error)) hook {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := New(cfg, Dependencies{Reader: reader, Namespace: "yagura-system", Owner: owner,
		Clock: testingclock.NewFakeClock(time.Now()), Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry())})
	require.NoError(t, err)
	return hook{t, s.Handler(), s}
}

func (h hook) post(body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	return w
}

// create has a pod reviewed and returns it as it would be stored, with the result that was counted.
func (h hook) create(pod *corev1.Pod) (stored *corev1.Pod, result string) {
	h.t.Helper()
	raw, err := json.Marshal(pod)
	require.NoError(h.t, err)
	return h.createRaw(raw)
}

func (h hook) createRaw(raw []byte) (*corev1.Pod, string) {
	h.t.Helper()
	before := h.counts()
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: "42", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop",
			Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw}}})
	require.NoError(h.t, err)
	w := h.post(body)
	require.Equal(h.t, http.StatusOK, w.Code, w.Body)
	var review admissionv1.AdmissionReview
	require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &review))
	require.NotNil(h.t, review.Response)
	assert.True(h.t, review.Response.Allowed, "nothing is ever refused")
	assert.EqualValues(h.t, "42", review.Response.UID)
	if review.Response.Patch != nil {
		patch, err := jsonpatch.DecodePatch(review.Response.Patch)
		require.NoError(h.t, err)
		raw, err = patch.Apply(raw)
		require.NoError(h.t, err, string(review.Response.Patch))
	}
	stored := &corev1.Pod{}
	require.NoError(h.t, json.Unmarshal(raw, stored))
	for result, n := range h.counts() {
		if n > before[result] {
			return stored, result
		}
	}
	return stored, ""
}

func (h hook) counts() map[string]float64 {
	counts := map[string]float64{}
	for _, r := range results {
		counts[string(r)] = testutil.ToFloat64(h.server.deps.Metrics.reviews.WithLabelValues(string(r)))
	}
	return counts
}

func deploymentOf(name string, labels map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}}}
}

func ofDeployment(p *corev1.Pod) {
	p.Labels["pod-template-hash"] = "5d9c7b"
	p.OwnerReferences[0].Name = "web-5d9c7b"
}

func TestWhichPodsAreSized(t *testing.T) {
	controller := true
	cron := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "by-hand",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "web", Controller: &controller}}}}
	for name, tc := range map[string]struct {
		target  string
		owner   string
		policy  func(*v1alpha1.WorkloadAutoscaler)
		pod     func(*corev1.Pod)
		cluster objects
		want    result
	}{
		"a StatefulSet's":             {target: "StatefulSet", owner: "StatefulSet", want: resultSized},
		"a DaemonSet's":               {target: "DaemonSet", owner: "DaemonSet", want: resultSized},
		"a ReplicaSet's":              {target: "ReplicaSet", owner: "ReplicaSet", want: resultSized},
		"a Job's":                     {target: "Job", owner: "Job", want: resultSized},
		"a Deployment's":              {target: "Deployment", owner: "ReplicaSet", pod: ofDeployment, cluster: objects{deploymentOf("web", map[string]string{"app": "web"})}, want: resultSized},
		"not the Deployment's":        {target: "Deployment", owner: "ReplicaSet", pod: ofDeployment, cluster: objects{deploymentOf("web", map[string]string{"app": "api"})}, want: resultNoPolicy},
		"of no Deployment":            {target: "Deployment", owner: "ReplicaSet", pod: ofDeployment, want: resultNoPolicy},
		"a CronJob's":                 {target: "CronJob", owner: "Job", pod: func(p *corev1.Pod) { p.OwnerReferences[0].Name = "by-hand" }, cluster: objects{cron}, want: resultSized},
		"a CronJob's, just now":       {target: "CronJob", owner: "Job", pod: func(p *corev1.Pod) { p.OwnerReferences[0].Name = "web-29384756" }, want: resultSized},
		"not the CronJob's":           {target: "CronJob", owner: "Job", pod: func(p *corev1.Pod) { p.OwnerReferences[0].Name = "web-import" }, want: resultNoPolicy},
		"another's of that name":      {target: "StatefulSet", owner: "DaemonSet", want: resultNoPolicy},
		"nobody's":                    {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) { p.OwnerReferences = nil }, want: resultNoPolicy},
		"owned but not controlled":    {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, want: resultNoPolicy},
		"a mirror of the kubelet's":   {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) { p.Annotations = map[string]string{mirror: "x"} }, want: resultNoPolicy},
		"of a policy that recommends": {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Mode = v1alpha1.Recommend }, want: resultNoPolicy},
		"of a policy that is off":     {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Vertical.Apply = v1alpha1.ApplyOff }, want: resultNoPolicy},
		"of a horizontal policy":      {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.Vertical = nil }, want: resultNoPolicy},
		"of a policy that goes":       {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) { p.DeletionTimestamp = &metav1.Time{} }, want: resultNoPolicy},
		"before anything is known":    {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) { p.Status.Vertical = nil }, want: resultNoSizes},
		"with other containers":       {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) { p.Spec.Containers[0].Name = "other" }, want: resultNoSizes},
		"with a container switched off": {target: "StatefulSet", owner: "StatefulSet", policy: func(p *v1alpha1.WorkloadAutoscaler) {
			p.Spec.Vertical.Containers = []v1alpha1.ContainerVerticalPolicy{{Name: "*", Mode: v1alpha1.ContainerOff}}
		}, want: resultNoSizes},
		"that a VPA has sized": {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) { p.Annotations = map[string]string{vpaUpdates: "Pod resources updated by web"} }, want: resultOtherOwner},
		"that need no change": {target: "StatefulSet", owner: "StatefulSet", pod: func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list("cpu", "0.25", "memory", "307200Ki"), Limits: list("memory", "600Mi")}
		}, want: resultUnchanged},
	} {
		t.Run(name, func(t *testing.T) {
			policy := policyOf(tc.target, "web", tc.policy)
			pod := podOf(tc.owner, "web", tc.pod)
			stored, result := newHook(t, append(tc.cluster, policy), nil).create(pod)
			assert.Equal(t, string(tc.want), result)
			switch tc.want {
			case resultSized:
				assert.Equal(t, "250m", stored.Spec.Containers[0].Resources.Requests.Cpu().String())
				assert.Equal(t, "web: main cpu from 1 to 250m, memory from 1Gi to 300Mi, memory limit from 2Gi to 600Mi (peak 240Mi)", stored.Annotations[Annotation])
			case resultUnchanged:
				assert.True(t, equality.Semantic.DeepEqual(pod.Spec, stored.Spec))
				assert.Equal(t, "web: as it is", stored.Annotations[Annotation])
			default:
				assert.True(t, equality.Semantic.DeepEqual(pod, stored))
			}
		})
	}
}

func TestOldestPolicyCounts(t *testing.T) {
	young := policyOf("StatefulSet", "web", func(p *v1alpha1.WorkloadAutoscaler) {
		p.Name, p.CreationTimestamp = "a-young", metav1.NewTime(epoch.Add(time.Hour))
		p.Status.Vertical.Containers[0].Target = list("cpu", "3")
	})
	old := policyOf("StatefulSet", "web", func(p *v1alpha1.WorkloadAutoscaler) { p.Name, p.CreationTimestamp = "old", metav1.NewTime(epoch) })
	stored, _ := newHook(t, objects{young, old}, nil).create(podOf("StatefulSet", "web", nil))
	assert.Equal(t, "250m", stored.Spec.Containers[0].Resources.Requests.Cpu().String())
}

func TestSomebodyElseSizes(t *testing.T) {
	policy := policyOf("StatefulSet", "web", nil)
	pod := podOf("StatefulSet", "web", nil)
	name, err := "VerticalPodAutoscaler web", error(nil)
	h := newHook(t, objects{policy}, func(context.Context, *v1alpha1.WorkloadAutoscaler) (string, error) { return name, err })
	stored, result := h.create(pod)
	assert.Equal(t, "OtherOwner", result)
	assert.True(t, equality.Semantic.DeepEqual(pod, stored))
	name, err = "", errors.New("the cache is empty")
	stored, result = h.create(pod)
	assert.Equal(t, "Error", result)
	assert.True(t, equality.Semantic.DeepEqual(pod, stored))
}

// TestAskedAgain: after another webhook the API server asks again with what the first answer made of the pod.
func TestAskedAgain(t *testing.T) {
	h := newHook(t, objects{policyOf("StatefulSet", "web", nil)}, nil)
	once, result := h.create(podOf("StatefulSet", "web", nil))
	require.Equal(t, "Sized", result)
	twice, result := h.create(once)
	assert.Equal(t, "Unchanged", result)
	assert.Equal(t, once, twice)

	// The other webhook has added a container and an init container, and has changed what we gave.
	changed := once.DeepCopy()
	changed.Spec.InitContainers = []corev1.Container{{Name: "init"}}
	changed.Spec.Containers = append([]corev1.Container{{Name: "proxy"}}, changed.Spec.Containers...)
	changed.Spec.Containers[1].Resources.Requests = list("cpu", "7", "memory", "300Mi")
	again, result := h.create(changed)
	assert.Equal(t, "Sized", result)
	assert.Equal(t, "250m", again.Spec.Containers[1].Resources.Requests.Cpu().String())
	assert.Empty(t, again.Spec.Containers[0].Resources.Requests)
}

func TestWhatPodsAreGiven(t *testing.T) {
	for name, tc := range map[string]struct {
		status []v1alpha1.ContainerSizeStatus
		rule   v1alpha1.ContainerVerticalPolicy
		pod    func(*corev1.Pod)
		want   func(*corev1.Pod)
	}{
		"more while it starts": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Target: list("cpu", "250m", "memory", "300Mi"), Startup: list("cpu", "2")}},
			want:   func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu", "2", "memory", "300Mi") },
		},
		"the most of several roles": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Role: "leader", Target: list("cpu", "3", "memory", "300Mi")}, {Name: "main", Role: "default", Target: list("cpu", "1", "memory", "400Mi")}},
			want:   func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu", "3", "memory", "400Mi") },
		},
		"no more than a limit that stays": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Target: list("memory", "3Gi"), Limits: list("memory", "6Gi")}},
			rule:   v1alpha1.ContainerVerticalPolicy{Name: "main", Limits: v1alpha1.LimitFixed},
			want:   func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu", "1", "memory", "2Gi") },
		},
		"no limits": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Target: list("memory", "3Gi")}},
			rule:   v1alpha1.ContainerVerticalPolicy{Name: "*", Limits: v1alpha1.LimitNone},
			want: func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list("cpu", "1", "memory", "3Gi")}
			},
		},
		"where there was nothing": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Target: list("cpu", "1", "memory", "3Gi"), Limits: list("memory", "6Gi")}},
			pod:    func(p *corev1.Pod) { p.Spec.Containers[0].Resources = corev1.ResourceRequirements{} },
			want:   func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu", "1", "memory", "3Gi") },
		},
		"variables where there were none": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Environment: map[string]string{"GOMEMLIMIT": "200MiB", "B": "2"}}},
			want: func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "B", Value: "2"}, {Name: "GOMEMLIMIT", Value: "200MiB"}}
			},
		},
		"variables among others": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "main", Environment: map[string]string{"JAVA_TOOL_OPTIONS": "-Xmx200m", "NODE_OPTIONS": "--x", "SET": "2"}}},
			pod: func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "SET"}, {Name: "NODE_OPTIONS", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
			},
			want: func(p *corev1.Pod) {
				p.Spec.Containers[0].Env[1].Value = "2"
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx200m"})
			},
		},
		"a sidecar, too": {
			status: []v1alpha1.ContainerSizeStatus{{Name: "proxy", Target: list("cpu", "20m")}},
			pod:    func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "proxy"}} },
			want:   func(p *corev1.Pod) { p.Spec.InitContainers[1].Resources.Requests = list("cpu", "20m") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := policyOf("StatefulSet", "web", func(p *v1alpha1.WorkloadAutoscaler) {
				p.Status.Vertical.Containers = tc.status
				if tc.rule.Name != "" {
					p.Spec.Vertical.Containers = []v1alpha1.ContainerVerticalPolicy{tc.rule}
				}
			})
			pod := podOf("StatefulSet", "web", tc.pod)
			stored, result := newHook(t, objects{policy}, nil).create(pod)
			assert.Equal(t, "Sized", result)
			want := pod.DeepCopy()
			tc.want(want)
			expected, err := json.Marshal(want.Spec)
			require.NoError(t, err)
			got, err := json.Marshal(stored.Spec)
			require.NoError(t, err)
			assert.JSONEq(t, string(expected), string(got))
			assert.NotEmpty(t, stored.Annotations[Annotation])
		})
	}
}

// TestUnknownFieldsStay: an API server may know fields of pods that this program does not.
func TestUnknownFieldsStay(t *testing.T) {
	h := newHook(t, objects{policyOf("StatefulSet", "web", nil)}, nil)
	raw := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","controller":true}],"new":1},
		"spec":{"containers":[{"name":"main","resources":null,"newer":{"a":[1]}}],"newest":true}}`)
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw}}})
	require.NoError(t, err)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(h.post(body).Body.Bytes(), &review))
	patch, err := jsonpatch.DecodePatch(review.Response.Patch)
	require.NoError(t, err)
	after, err := patch.Apply(raw)
	require.NoError(t, err)
	assert.JSONEq(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","controller":true}],"new":1,
		"annotations":{"yagura.dev/sized":"web: main cpu to 250m, memory to 300Mi (peak 240Mi)"}},
		"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"250m","memory":"300Mi"}},"newer":{"a":[1]}}],"newest":true}}`, string(after))
}

func TestRequestsThatAreNone(t *testing.T) {
	h := newHook(t, objects{}, nil)
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "<xml/>", "another kind": `{"apiVersion":"admission.k8s.io/v1","kind":"Pod","request":{}}`,
		"another version": `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}`,
		"no request":      `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
		"too large":       `{"apiVersion":"` + string(bytes.Repeat([]byte("x"), maxReview)) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, http.StatusBadRequest, h.post([]byte(body)).Code)
		})
	}
	assert.EqualValues(t, 6, h.counts()["Malformed"])
	for range maxReviews {
		h.server.slots <- struct{}{}
	}
	assert.Equal(t, http.StatusServiceUnavailable, h.post(nil).Code, "more than may be worked on at a time")
	assert.EqualValues(t, 1, h.counts()["Busy"])
}

// panics is a cache with a mistake.
type panics struct{ client.Reader }

func (panics) List(context.Context, client.ObjectList, ...client.ListOption) error {
	panic("a mistake")
}

func TestMistakesRefuseNothing(t *testing.T) {
	pod := podOf("StatefulSet", "web", nil)
	stored, result := newHook(t, panics{}, nil).create(pod)
	assert.Equal(t, "Error", result)
	assert.True(t, equality.Semantic.DeepEqual(pod, stored))
}

func FuzzReview(f *testing.F) {
	for _, kind := range []string{"StatefulSet", "ReplicaSet", "Job"} {
		pod, err := json.Marshal(podOf(kind, "web", ofDeployment))
		require.NoError(f, err)
		review, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: pod}}})
		require.NoError(f, err)
		f.Add(review)
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","kind":{"version":"v1","kind":"Pod"},"namespace":"shop","operation":"CREATE","object":{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","controller":true}]},"spec":{"containers":[{"name":"main","resources":null,"env":null}]}}}}`))
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cluster := objects{policyOf("StatefulSet", "web", func(p *v1alpha1.WorkloadAutoscaler) {
		p.Status.Vertical.Containers[0].Environment = map[string]string{"GOMEMLIMIT": "1"}
	}), policyOf("Deployment", "web", nil), policyOf("CronJob", "web", nil), deploymentOf("web", map[string]string{"app": "web"})}
	s, err := New(cfg, Dependencies{Reader: cluster, Clock: testingclock.NewFakeClock(epoch), Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry())})
	require.NoError(f, err)
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
		if w.Code == http.StatusBadRequest {
			return
		}
		var asked, answer admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Response == nil || !answer.Response.Allowed {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if answer.Response.Patch == nil {
			return
		}
		if err := utiljson.Unmarshal(body, &asked); err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(answer.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := patch.Apply(asked.Request.Object.Raw); err != nil {
			t.Fatalf("the patch %s does not fit %s: %v", answer.Response.Patch, asked.Request.Object.Raw, err)
		}
	})
}

// BenchmarkReview reviews a pod of a Deployment in a namespace with a thousand policies.
func BenchmarkReview(b *testing.B) {
	cluster := objects{deploymentOf("web", map[string]string{"app": "web"})}
	for i := range 1000 {
		cluster = append(cluster, policyOf("Deployment", fmt.Sprintf("other-%d", i), nil))
	}
	cluster = append(cluster, policyOf("Deployment", "web", nil))
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := New(cfg, Dependencies{Reader: cluster, Clock: testingclock.NewFakeClock(epoch), Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry())})
	require.NoError(b, err)
	pod, err := json.Marshal(podOf("ReplicaSet", "web", ofDeployment))
	require.NoError(b, err)
	req := &admissionv1.AdmissionRequest{UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: pod}}
	b.ReportAllocs()
	for b.Loop() {
		if s.answer(b.Context(), req).Patch == nil {
			b.Fatal("not sized")
		}
	}
}
