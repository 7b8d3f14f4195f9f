package providertest

import (
	"context"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1/crd"
)

// Cluster connects to the real API server named by YAGURA_TEST_KUBECONFIG, with our definitions installed. Without one the test is
// skipped, or fails in CI.
func Cluster(t *testing.T, add ...func(*runtime.Scheme) error) (*rest.Config, client.Client) {
	t.Helper()
	path := os.Getenv("YAGURA_TEST_KUBECONFIG")
	if path == "" {
		const message = "no Kubernetes to test on: start one with `bin/devcluster up` and set YAGURA_TEST_KUBECONFIG to the path that `bin/devcluster kubeconfig` prints"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.client == nil {
		require.NoError(t, shared.connect(t, path, add))
	}
	transport := shared.transport
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport) })
	return rest.CopyConfig(shared.config), shared.client
}

// shared is one connection for all tests of a process: what the server can do is found out once.
var shared connection

type connection struct {
	sync.Mutex
	config    *rest.Config
	client    client.Client
	transport http.RoundTripper
}

func (s *connection) connect(t *testing.T, path string, add []func(*runtime.Scheme) error) error {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range append(add, clientgoscheme.AddToScheme, v1alpha1.AddToScheme) {
		if err := add(scheme); err != nil {
			return err
		}
	}
	through, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme, HTTPClient: through})
	if err != nil {
		return err
	}
	manifests, err := crd.Manifests()
	if err != nil {
		return err
	}
	Install(t, c, manifests...)
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		return c.List(ctx, &v1alpha1.NodeClaimList{}) == nil, nil
	})
	s.config, s.client, s.transport = config, c, through.Transport
	return err
}

// Install creates objects from YAML, one document each; those that are there already are left as they are.
func Install(t *testing.T, c client.Client, manifests ...[]byte) {
	t.Helper()
	for _, manifest := range manifests {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal(manifest, &object.Object))
		if err := c.Create(t.Context(), object); !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
}
