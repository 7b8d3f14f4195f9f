package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
)

// world is a namespace of its own on a real cluster.
type world struct {
	t         *testing.T
	path      string
	namespace string
	client    client.Client
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
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, v1alpha1.AddToScheme, vpav1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	own, err := client.New(config, client.Options{Scheme: scheme, HTTPClient: transport})
	require.NoError(t, err)
	w := &world{t: t, path: path, client: own}
	manifests, err := crd.Manifests()
	require.NoError(t, err)
	for _, text := range manifests {
		w.apply(text)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kubectl-test-"}}
	require.NoError(t, own.Create(t.Context(), namespace))
	t.Cleanup(func() { _ = own.Delete(context.WithoutCancel(t.Context()), namespace) })
	w.namespace = namespace.Name
	w.served(&v1alpha1.WorkloadAutoscalerList{})
	return w
}

func (w *world) apply(text []byte) {
	w.t.Helper()
	var object unstructured.Unstructured
	require.NoError(w.t, yaml.Unmarshal(text, &object.Object))
	require.NoError(w.t, w.client.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(&object), client.FieldOwner("test"), client.ForceOwnership))
}

func (w *world) served(list client.ObjectList) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.client.List(w.t.Context(), list) == nil }, 2*time.Minute, 50*time.Millisecond)
}

// plugin runs a command line on the test's namespace.
func (w *world) plugin(args ...string) (out, notes string, err error) {
	w.t.Helper()
	return run(w.t, "", append(args, "--kubeconfig", w.path, "-n", w.namespace)...)
}

func TestOnACluster(t *testing.T) {
	w := newWorld(t)
	labels := map[string]string{"app": "web"}
	require.NoError(t, w.client.Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}}}))
	_, _, err := w.plugin("explain", "web")
	assert.EqualError(t, err, "there is no WorkloadAutoscaler web in namespace "+w.namespace)

	policy := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{TargetRef: v1alpha1.TargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, Vertical: &v1alpha1.VerticalPolicy{}}}
	require.NoError(t, w.client.Create(t.Context(), policy))
	out, _, err := w.plugin("explain", "web")
	require.NoError(t, err)
	assert.Contains(t, out, "No autoscaler has looked at it yet.")
	_, _, err = w.plugin("export", "web")
	assert.ErrorContains(t, err, "no sizes are known yet")

	policy.Status.ObservedGeneration = 1
	policy.Status.Vertical = &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{{Name: "main", Role: "default",
		Target: corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("300Mi")}}}}
	require.NoError(t, w.client.Status().Update(t.Context(), policy))
	out, _, err = w.plugin("explain", "web")
	require.NoError(t, err)
	assert.Contains(t, out, "main should request 250m cpu, 300Mi memory")

	helm, _, err := w.plugin("export", "web", "--format", "helm", "--path", "main=web.resources")
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(helm, "web:\n  resources:\n    requests:\n      cpu: 250m\n      memory: 300Mi\n"), helm)
	_, _, err = w.plugin("export", "web", "--format", "kustomize")
	require.NoError(t, err)
	// The API server takes the patch.
	patch, _, err := w.plugin("export", "web")
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON([]byte(patch))
	require.NoError(t, err)
	patched := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
	require.NoError(t, w.client.Patch(t.Context(), patched, client.RawPatch(types.StrategicMergePatchType, asJSON)))
	assert.Equal(t, "250m", patched.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().String())
	again, _, err := w.plugin("export", "web")
	require.NoError(t, err)
	assert.Equal(t, patch, again)
}

func TestMigrateFromACluster(t *testing.T) {
	w := newWorld(t)
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/autoscaler/vertical-pod-autoscaler").Output()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "deploy", "vpa-v1-crd-gen.yaml"))
	require.NoError(t, err)
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		w.apply([]byte(document))
	}
	w.served(&vpav1.VerticalPodAutoscalerList{})
	out, notes, err := w.plugin("migrate", "vpa")
	require.NoError(t, err)
	assert.Empty(t, out)
	assert.Contains(t, notes, "No VerticalPodAutoscalers found.")

	for _, name := range []string{"web", "api"} {
		w.apply([]byte("apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: " + name + ", namespace: " + w.namespace +
			"}\nspec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: " + name + "}}\n"))
	}
	w.apply([]byte("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: " + w.namespace +
		"}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 7}\n"))
	out, notes, err = w.plugin("migrate", "vpa", "--with-hpa")
	require.NoError(t, err)
	assert.Contains(t, notes, w.namespace+"/web: Todo: ")
	documents := strings.Split(out, "---\n")
	require.Len(t, documents, 2)
	for _, document := range documents {
		w.apply([]byte(document)) // the API server takes what comes out
	}
	var policies v1alpha1.WorkloadAutoscalerList
	require.NoError(t, w.client.List(t.Context(), &policies, client.InNamespace(w.namespace)))
	require.Len(t, policies.Items, 2)
	assert.Nil(t, policies.Items[0].Spec.Horizontal)
	assert.EqualValues(t, 7, policies.Items[1].Spec.Horizontal.Max)

	one, _, err := w.plugin("migrate", "vpa", "api", "-o", "json")
	require.NoError(t, err)
	assert.Contains(t, one, `"name":"api"`)
	_, _, err = w.plugin("migrate", "vpa", "other")
	assert.EqualError(t, err, "there is no VerticalPodAutoscaler other")
	all, _, err := run(t, "", "migrate", "vpa", "-A", "--kubeconfig", w.path)
	require.NoError(t, err)
	assert.Contains(t, all, "namespace: "+w.namespace)
	var left vpav1.VerticalPodAutoscalerList
	require.NoError(t, w.client.List(t.Context(), &left, client.InNamespace(w.namespace)))
	assert.Len(t, left.Items, 2, "nothing is deleted")
}
