package autoscaler

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider/kwok"
	"github.com/yagura-dev/yagura/autoscaler/provider/registry"
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

	cloud := kwok.Config{Instances: []kwok.Instance{{Name: "small", Zones: []string{"zone-a"}, Prices: map[string]float64{"on-demand": 0.08}, Resources: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}}}}
	a := newAutoscaler(t, Config{Kubeconfig: w.path, LeaderElection: LeaderElectionConfig{Namespace: namespace}, Namespaces: nil, Signal: signalURL(w.url),
		Providers: registry.Config{Instances: map[string]registry.Instance{w.namespace: {Kwok: &cloud}}}})
	stop := w.run(a)
	w.eventually("leading", func() bool { return a.State().Phase == Leading })
	w.eventually("status", func() bool { return w.status("web").Outcome == "Unchanged" })
	w.signals.set("sum(queue)", 50)
	w.eventually("scaled a Deployment", func() bool { return w.replicas("web") == 5 })
	w.eventually("event", func() bool { return len(w.notes("ScaledOut")) > 0 })
	w.eventually("scaled another kind", func() bool { return w.status("set").LastScaleTime != nil })
	w.getsANode()
	stop()

	// Nothing else is allowed: the target itself, for one, cannot be deleted.
	config, err := clientcmd.BuildConfigFromFlags("", w.path)
	require.NoError(t, err)
	transport, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	defer utilnet.CloseIdleConnectionsFor(transport.Transport)
	own, err := client.New(config, client.Options{Scheme: w.client.Scheme(), HTTPClient: transport})
	require.NoError(t, err)
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: "any"}
	for _, object := range []client.Object{&appsv1.Deployment{ObjectMeta: meta}, &corev1.PersistentVolumeClaim{ObjectMeta: meta}, &corev1.Secret{ObjectMeta: meta}, &corev1.ConfigMap{ObjectMeta: meta}} {
		assert.ErrorContains(t, own.Delete(t.Context(), object), "forbidden", "%T", object)
	}
}

// getsANode makes a pod that has no place, and a policy under which a node is made for it; then the node is given back.
func (w *world) getsANode() {
	w.t.Helper()
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Spec: v1alpha1.NodePolicySpec{Mode: v1alpha1.Apply,
		Provider:   v1alpha1.ProviderReference{Name: w.namespace},
		Disruption: v1alpha1.NodeDisruption{Consolidation: v1alpha1.Consolidation{When: v1alpha1.ConsolidateNever}}}}
	w.create(policy)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "placeless"}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{v1alpha1.LabelNodePolicy: w.namespace},
		Containers:   []corev1.Container{{Name: "main", Image: "none", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}}}
	w.create(pod)
	ours := func() (claims []v1alpha1.NodeClaim) {
		var all v1alpha1.NodeClaimList
		require.NoError(w.t, w.client.List(context.Background(), &all))
		for _, k := range all.Items {
			if k.Spec.Policy == w.namespace {
				claims = append(claims, k)
			}
		}
		return claims
	}
	w.t.Cleanup(func() { // what a failed test leaves
		for _, k := range ours() {
			k.Finalizers = nil
			_ = w.client.Update(context.Background(), &k)
			_ = w.client.Delete(context.Background(), &k)
			_ = w.client.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.Status.NodeName}})
		}
	})
	w.eventually("a node for the pod", func() bool {
		claims := ours()
		return len(claims) == 1 && claims[0].Status.Phase == v1alpha1.ClaimReady
	})
	w.eventually("the pod has its place", func() bool {
		return w.client.Get(w.t.Context(), client.ObjectKeyFromObject(pod), pod) == nil && pod.Spec.NodeName == ours()[0].Status.NodeName
	})
	node := ours()[0].Status.NodeName
	require.NoError(w.t, w.client.Delete(w.t.Context(), pod, client.GracePeriodSeconds(0)))
	require.NoError(w.t, w.client.Delete(w.t.Context(), policy))
	w.eventually("the node is given back with its policy", func() bool {
		err := w.client.Get(w.t.Context(), client.ObjectKey{Name: node}, &corev1.Node{})
		return apierrors.IsNotFound(err) && len(ours()) == 0
	})
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
