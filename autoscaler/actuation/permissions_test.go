package actuation

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

const account = "system:serviceaccount:yagura-system:autoscaler"

// asDeployed makes the Executor work as the deployment's service account, with the deployment's permissions and guard.
func (w *world) asDeployed() kubernetes.Interface {
	w.Helper()
	for _, file := range []string{"autoscaler.yaml", "autoscaler-guard.yaml"} {
		text, err := os.ReadFile("../../deploy/kustomize/base/" + file)
		require.NoError(w, err)
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			w.install(document)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig(w.T))
	require.NoError(w, err)
	config.QPS, config.Burst = -1, -1
	config.Impersonate.UserName = account
	transport, err := rest.HTTPClientFor(config)
	require.NoError(w, err)
	w.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	own, err := kubernetes.NewForConfigAndClient(config, &http.Client{Transport: faulty{w, transport.Transport}})
	require.NoError(w, err)
	return own
}

// install applies a document of the deployment, if it says what the autoscaler may do in the whole cluster.
func (w *world) install(document []byte) {
	w.Helper()
	var o struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	require.NoError(w, yaml.Unmarshal(document, &o))
	groups := map[string]schema.GroupVersionResource{
		"ClusterRole":                      rbacv1.SchemeGroupVersion.WithResource("clusterroles"),
		"ClusterRoleBinding":               rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"),
		"ValidatingAdmissionPolicy":        {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		"ValidatingAdmissionPolicyBinding": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	}
	resource, ok := groups[o.Kind]
	if !ok {
		return
	}
	body, err := yaml.YAMLToJSON(document)
	require.NoError(w, err)
	err = w.kube.Discovery().RESTClient().Patch(types.ApplyPatchType).AbsPath("/apis", resource.Group, resource.Version, resource.Resource, o.Name).
		Param("fieldManager", "test").Param("force", "true").Body(body).Do(w.Context()).Error()
	require.NoError(w, err)
}

// TestTheDeployedPermissionsSufficeAndNoMore does everything that there is to do as the deployment's service account, and then
// what it must not be able to do.
func TestTheDeployedPermissionsSufficeAndNoMore(t *testing.T) {
	w := newWorld(t)
	own := w.asDeployed()
	w.own = own
	w.restart()
	want := sizes("200m", "128Mi")
	web, single, db := w.deployment("web", 2), w.deployment("single", 1), w.statefulSet("db", 2)
	w.webhook(want)

	got := w.execute(w.target(2, web...), inPlace(web[0], want))
	require.Equal(t, decision.Pending, got.Result, got.Reason)
	at, _ := ChangeOf(w.pod(web[0].Name))
	assert.False(t, at.Time.IsZero(), "noted")
	w.policy.Name = "single"
	got = w.execute(w.target(1, single...), recreate(single[0], want))
	require.Equal(t, decision.Done, got.Result, got.Reason)
	require.Equal(t, decision.Surge, got.Method)
	w.clock.Step(time.Minute)
	w.policy.Name = "db"
	got = w.execute(w.target(2, db...), recreate(db[1], want))
	require.Equal(t, decision.Done, got.Result, got.Reason)

	forbidden := func(what string, err error) {
		t.Helper()
		assert.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%s: %v", what, err)
	}
	ctx := context.WithoutCancel(t.Context())
	pods, deployments := own.CoreV1().Pods(w.namespace), own.AppsV1().Deployments(w.namespace)
	w.eventually("the guard is in force", func() bool {
		_, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shell"}, Spec: podTemplate("shell").Spec}, metav1.CreateOptions{})
		if err == nil {
			_ = w.kube.CoreV1().Pods(w.namespace).Delete(ctx, "shell", metav1.DeleteOptions{})
		}
		return err != nil && apierrors.IsInvalid(err)
	})
	policies, err := w.kube.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, p := range policies.Items {
		if strings.HasPrefix(p.Name, "yagura-autoscaler-") && p.Status.TypeChecking != nil {
			assert.Empty(t, p.Status.TypeChecking.ExpressionWarnings)
		}
	}
	patch := func(v any) []byte { text, _ := json.Marshal(v); return text }
	_, err = pods.Patch(ctx, web[1].Name, types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"main","image":"other"}]}}`), metav1.PatchOptions{})
	forbidden("another image", err)
	_, err = pods.Patch(ctx, web[1].Name, types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{})
	forbidden("another label", err)
	_, err = pods.Patch(ctx, web[1].Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"kubernetes.io/config.seccomp":"x"}}}`), metav1.PatchOptions{})
	forbidden("another annotation", err)
	forbidden("delete the target", deployments.Delete(ctx, "web", metav1.DeleteOptions{}))
	for what, spec := range map[string]any{
		"replicas":   map[string]any{"replicas": 5},
		"image":      map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": "other"}}}}},
		"resources":  map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "resources": sizes("1", "1Gi")}}}}},
		"annotation": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{"other": "x"}}}},
	} {
		_, err = deployments.Patch(ctx, "web", types.StrategicMergePatchType, patch(map[string]any{"spec": spec}), metav1.PatchOptions{})
		forbidden(what, err)
	}
	_, err = deployments.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
	forbidden("a new Deployment", err)
}
