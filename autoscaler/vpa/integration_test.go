package vpa_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a namespace of its own on a real cluster.
type cluster struct {
	t         *testing.T
	config    *rest.Config
	http      *http.Client
	scheme    *runtime.Scheme
	client    client.Client
	namespace string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	kubeconfig := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if kubeconfig == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	c := &cluster{t: t, scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme, vpav1.AddToScheme} {
		require.NoError(t, add(c.scheme))
	}
	var err error
	c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	c.http, err = rest.HTTPClientFor(c.config)
	require.NoError(t, err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(c.http.Transport) })
	c.client, err = client.New(c.config, client.Options{Scheme: c.scheme, HTTPClient: c.http})
	require.NoError(t, err)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "vpa-test-"}}
	require.NoError(t, c.client.Create(t.Context(), namespace))
	c.namespace = namespace.Name
	t.Cleanup(func() { _ = c.client.Delete(context.WithoutCancel(t.Context()), namespace) })
	return c
}

// apply applies definitions and waits until they are served.
func (c *cluster) apply(texts ...[]byte) {
	c.t.Helper()
	for _, text := range texts {
		var o unstructured.Unstructured
		require.NoError(c.t, yaml.Unmarshal(text, &o.Object))
		require.NoError(c.t, c.client.Apply(c.t.Context(), client.ApplyConfigurationFromUnstructured(&o), client.FieldOwner("test"), client.ForceOwnership))
		c.eventually("definition "+o.GetName(), func() bool {
			var current unstructured.Unstructured
			current.SetGroupVersionKind(o.GroupVersionKind())
			require.NoError(c.t, c.client.Get(c.t.Context(), client.ObjectKeyFromObject(&o), &current))
			conditions, _, _ := unstructured.NestedSlice(current.Object, "status", "conditions")
			for _, condition := range conditions {
				if m, ok := condition.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
					return true
				}
			}
			return false
		})
	}
}

// installVPA installs the definitions of the VerticalPodAutoscaler as its module has them.
func (c *cluster) installVPA() {
	c.t.Helper()
	dir, err := exec.CommandContext(c.t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/autoscaler/vertical-pod-autoscaler").Output()
	require.NoError(c.t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "deploy", "vpa-v1-crd-gen.yaml"))
	require.NoError(c.t, err)
	var documents [][]byte
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: CustomResourceDefinition")) {
			documents = append(documents, document)
		}
	}
	require.Len(c.t, documents, 2)
	c.apply(documents...)
}

func (c *cluster) eventually(what string, holds func() bool) {
	c.t.Helper()
	require.Eventually(c.t, holds, 2*time.Minute, 50*time.Millisecond, what)
}

func (c *cluster) create(name, recommender string, edit func(*vpav1.VerticalPodAutoscaler)) {
	c.t.Helper()
	v := object(name, edit)
	v.Namespace = c.namespace
	if recommender != "" {
		v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: recommender}}
	}
	// A definition that has just been established may not be in what the API server says that it serves.
	c.eventually("create "+name, func() bool {
		err := c.client.Create(c.t.Context(), &v)
		if !meta.IsNoMatchError(err) {
			require.NoError(c.t, err)
		}
		return err == nil
	})
}

func (c *cluster) get(name string) vpav1.VerticalPodAutoscaler {
	c.t.Helper()
	var v vpav1.VerticalPodAutoscaler
	require.NoError(c.t, c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, &v))
	return v
}

// objects is what the autoscaler reads VerticalPodAutoscalers with.
func (c *cluster) objects() *vpa.Objects {
	c.t.Helper()
	mapper, err := apiutil.NewDynamicRESTMapper(c.config, c.http)
	require.NoError(c.t, err)
	objects, err := cache.New(c.config, cache.Options{HTTPClient: c.http, Scheme: c.scheme, Mapper: mapper, ReaderFailOnMissingInformer: true,
		DefaultNamespaces: map[string]cache.Config{c.namespace: {}}})
	require.NoError(c.t, err)
	c.background(func(ctx context.Context) { assert.NoError(c.t, objects.Start(ctx)) })
	return vpa.NewObjects(objects, mapper, clock.RealClock{})
}

// background runs something until the test ends.
func (c *cluster) background(run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	var group sync.WaitGroup
	group.Go(func() { run(ctx) })
	c.t.Cleanup(func() { cancel(); group.Wait() })
}

func (c *cluster) recommender(objects vpa.Lister, s vpa.Source) *vpa.Recommender {
	return vpa.NewRecommender(vpa.Config{Recommender: "yagura", Interval: model.Duration(time.Second)}, vpa.Dependencies{
		Objects: objects, Source: s, Status: c.client, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler), Metrics: vpa.NewMetrics(prometheus.NewRegistry())})
}

func TestStatusOnARealServer(t *testing.T) {
	c := newCluster(t)
	objects := c.objects()
	// Whether the definitions are there yet depends on who used this cluster before; either way there are no objects here.
	c.eventually("nothing there", func() bool {
		list, err := objects.List(t.Context())
		return err == nil && len(list) == 0
	})
	c.installVPA()
	c.create("ours", "yagura", policies(vpav1.ContainerResourcePolicy{ContainerName: "*", MaxAllowed: corev1.ResourceList{"memory": quantityOf("250Mi")}}))
	c.create("bad", "yagura", policies(vpav1.ContainerResourcePolicy{ContainerName: "a"}, vpav1.ContainerResourcePolicy{ContainerName: "a"}))
	c.create("theirs", "somebody", nil)
	c.create("plain", "", mode("Off"))
	before := map[string]string{"theirs": c.get("theirs").ResourceVersion, "plain": c.get("plain").ResourceVersion}
	c.eventually("all of them read", func() bool {
		list, err := objects.List(t.Context())
		return err == nil && len(list) == 4
	})
	list, err := objects.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[vpa.Target]string{{Namespace: c.namespace, Group: "apps", Kind: "Deployment", Name: "web"}: "bad"}, vpa.Owners(list))

	recommender := c.recommender(objects, &source{usage: mainUsage()})
	c.background(recommender.Run)
	c.eventually("a recommendation", func() bool { return c.get("ours").Status.Recommendation != nil })
	c.eventually("a refusal", func() bool { return len(c.get("bad").Status.Conditions) == 2 })
	assert.Equal(t, []string{"main cpu 251m [100m 500m] 251m memory 250Mi [200Mi 250Mi] 300Mi"}, lines(c.get("ours").Status))
	assert.Equal(t, []string{"RecommendationProvided=True/"}, states(c.get("ours").Status))
	assert.Equal(t, []string{"ConfigUnsupported=True/InvalidSpec", "RecommendationProvided=False/InvalidSpec"}, states(c.get("bad").Status))

	// Nothing is written when nothing is new, and never to those of others.
	written := c.get("ours").ResourceVersion
	c.eventually("the cache to know of it", func() bool {
		list, err := objects.List(t.Context())
		require.NoError(t, err)
		return slices.ContainsFunc(list, func(v vpav1.VerticalPodAutoscaler) bool { return v.ResourceVersion == written })
	})
	for range 3 {
		require.NoError(t, recommender.Tick(t.Context()))
	}
	assert.Equal(t, written, c.get("ours").ResourceVersion)
	for name, version := range before {
		assert.Equal(t, version, c.get(name).ResourceVersion, name)
		assert.Empty(t, c.get(name).Status, name)
	}
}

// frozen lists objects as they once were.
type frozen []vpav1.VerticalPodAutoscaler

func (f frozen) List(context.Context) ([]vpav1.VerticalPodAutoscaler, error) { return f, nil }

func TestNotOursAnyMore(t *testing.T) {
	c := newCluster(t)
	c.installVPA()
	c.create("web", "yagura", nil)
	stale := frozen{c.get("web")}
	v := c.get("web")
	v.Spec.Recommenders[0].Name = "somebody"
	require.NoError(t, c.client.Update(t.Context(), &v))
	require.NoError(t, c.recommender(stale, &source{usage: mainUsage()}).Tick(t.Context()))
	assert.Empty(t, c.get("web").Status, "what the cache had was out of date")
}

// TestMigratedPoliciesAreValid lets the API server check what becomes of each case of the migration.
func TestMigratedPoliciesAreValid(t *testing.T) {
	c := newCluster(t)
	manifests, err := crd.Manifests()
	require.NoError(t, err)
	c.apply(manifests...)
	for _, migrated := range migrationCases(t) {
		t.Run(migrated.Name, func(t *testing.T) {
			policy, _, err := vpa.Migrate(&migrated.VPA, migrated.HPA)
			require.NoError(t, err)
			policy.Namespace = c.namespace
			c.eventually("accepted", func() bool {
				err := c.client.Create(t.Context(), &policy, client.DryRunAll)
				if !meta.IsNoMatchError(err) {
					require.NoError(t, err)
				}
				return err == nil
			})
		})
	}
}
