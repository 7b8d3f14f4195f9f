package admission

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestDeployedPermissionsSuffice runs the webhook as the service account of the deployment, with the permissions that it has for that.
func TestDeployedPermissionsSuffice(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile("../../deploy/kustomize/base/autoscaler-admission.yaml")
	require.NoError(t, err)
	own := strings.NewReplacer("yagura-system", w.autoscale, "yagura-autoscaler", w.configuration).Replace(string(text))
	for document := range strings.SplitSeq(own, "\n---\n") {
		var object unstructured.Unstructured
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		require.NoError(t, w.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&object), client.FieldOwner("test"), client.ForceOwnership))
		if object.GetNamespace() == "" {
			t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(t.Context()), &object) })
		}
	}
	accounts := w.kube.CoreV1().ServiceAccounts(w.autoscale)
	_, err = accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "autoscaler"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	token, err := accounts.CreateToken(t.Context(), "autoscaler", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(w.config)
	config.BearerToken = token.Status.Token
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	kube, err := kubernetes.NewForConfigAndClient(config, transport)
	require.NoError(t, err)

	r := w.startAs(kube, true, clock.RealClock{}, func(c *Config) { c.Service.Name = "autoscaler-admission" })
	w.eventually("registered", r.up)
	second := w.startAs(kube, false, clock.RealClock{}, func(c *Config) { c.Service.Name = "autoscaler-admission" })
	w.eventually("served by another replica as well", second.up)
	for task, n := range map[string]float64{taskCertificates: 0, taskRegistration: 0, taskWatch: 0} {
		assert.Equal(t, n, testutil.ToFloat64(r.server.deps.Metrics.failures.WithLabelValues(task)), task)
	}
	found, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), w.configuration, metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, found.Webhooks, 1)
	hook := found.Webhooks[0]
	assert.Equal(t, admissionregistrationv1.Ignore, *hook.FailurePolicy)
	assert.Equal(t, admissionregistrationv1.SideEffectClassNone, *hook.SideEffects)
	assert.Equal(t, admissionregistrationv1.IfNeededReinvocationPolicy, *hook.ReinvocationPolicy)
	assert.EqualValues(t, 2, *hook.TimeoutSeconds)
	require.NotNil(t, hook.ClientConfig.Service)
	assert.Equal(t, w.autoscale, hook.ClientConfig.Service.Namespace)
	// It stays when the replicas end: others serve at the same Service.
	r.stop()
	second.stop()
	_, err = w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), w.configuration, metav1.GetOptions{})
	assert.NoError(t, err)
}
