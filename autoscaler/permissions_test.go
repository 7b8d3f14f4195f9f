package autoscaler

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// TestDeployedPermissionsSuffice runs the autoscaler as the service account of the deployment, with its permissions and no others.
func TestDeployedPermissionsSuffice(t *testing.T) {
	w := newWorld(t)
	const namespace = "yagura-system"
	w.install(namespace)
	w.path = w.kubeconfigOf(namespace, "autoscaler")
	w.deployment("web", 2)
	w.signals.set("sum(queue)", 20)
	w.create(w.policy("web", nil))
	w.policyOnReplicaSet("set")

	a := newAutoscaler(t, Config{Kubeconfig: w.path, LeaderElection: LeaderElectionConfig{Namespace: namespace}, Namespaces: nil, Signal: signalURL(w.url)})
	stop := w.run(a)
	w.eventually("leading", func() bool { return a.State().Phase == Leading })
	w.eventually("status", func() bool { return w.status("web").Outcome == "Unchanged" })
	w.signals.set("sum(queue)", 50)
	w.eventually("scaled a Deployment", func() bool { return w.replicas("web") == 5 })
	w.eventually("event", func() bool { return len(w.notes("ScaledOut")) > 0 })
	w.eventually("scaled another kind", func() bool { return w.status("set").LastScaleTime != nil })
	stop()

	// Nothing else is allowed: the target itself, for one, cannot be written.
	config, err := clientcmd.BuildConfigFromFlags("", w.path)
	require.NoError(t, err)
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	defer utilnet.CloseIdleConnectionsFor(transport.Transport)
	own, err := client.New(config, client.Options{Scheme: w.client.Scheme(), HTTPClient: transport})
	require.NoError(t, err)
	err = own.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "any"}})
	assert.ErrorContains(t, err, "forbidden")
}

// install applies the permissions of the deployment.
func (w *world) install(namespace string) {
	w.t.Helper()
	require.NoError(w.t, rbacv1.AddToScheme(w.client.Scheme()))
	_ = w.client.Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	text, err := os.ReadFile("../deploy/kustomize/base/autoscaler.yaml")
	require.NoError(w.t, err)
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var o unstructured.Unstructured
		require.NoError(w.t, yaml.Unmarshal(document, &o.Object))
		switch o.GetKind() {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding":
			require.NoError(w.t, w.client.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(&o), client.FieldOwner("test"), client.ForceOwnership))
		}
	}
}

// kubeconfigOf writes a kubeconfig with a token of a service account.
func (w *world) kubeconfigOf(namespace, account string) string {
	w.t.Helper()
	token := &authenticationv1.TokenRequest{}
	subject := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
	require.NoError(w.t, authenticationv1.AddToScheme(w.client.Scheme()))
	require.NoError(w.t, w.client.SubResource("token").Create(w.t.Context(), subject, token))
	config, err := clientcmd.LoadFromFile(w.path)
	require.NoError(w.t, err)
	require.NoError(w.t, clientcmd.ResolveLocalPaths(config))
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	path := w.t.TempDir() + "/kubeconfig"
	require.NoError(w.t, clientcmd.WriteToFile(*config, path))
	return path
}

func (w *world) policyOnReplicaSet(name string) {
	w.replicaSet(name)
	w.create(w.policy(name, func(p *v1alpha1.WorkloadAutoscaler) { p.Spec.TargetRef.Kind = "ReplicaSet" }))
}
