package autoscaler

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/scale"
	toolscache "k8s.io/client-go/tools/cache"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/nodes"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// cluster holds the clients for one cluster.
type cluster struct {
	config  *rest.Config
	http    *http.Client
	scheme  *runtime.Scheme
	kube    *kubernetes.Clientset
	dynamic dynamic.Interface

	cache   cache.Cache
	client  client.Client
	targets *workload.Targets
	vpas    *vpa.Objects
	signals *signal.Client

	// objects is what the cache holds.
	objects map[client.Object]cache.ByObject
	// watching knows whether the cache is fed.
	watching *nodes.WatchHealth

	mu       sync.Mutex
	watchErr error
}

func connect(config *rest.Config, c clock.PassiveClock) (*cluster, error) {
	k := &cluster{config: config, scheme: runtime.NewScheme(), watching: nodes.NewWatchHealth(c)}
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, autoscalingv2.AddToScheme, vpav1.AddToScheme, nodes.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(k.scheme); err != nil {
			return nil, fmt.Errorf("make scheme: %w", err)
		}
	}
	var err error
	if k.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	if k.kube, err = kubernetes.NewForConfigAndClient(config, k.http); err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	if k.dynamic, err = dynamic.NewForConfigAndClient(config, k.http); err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return k, nil
}

// greet asks the API server for its version.
func (k *cluster) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return k.kube.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
}

// open makes the clients that need to know what the cluster serves.
func (k *cluster) open(a *Autoscaler) error {
	mapper, err := apiutil.NewDynamicRESTMapper(k.config, k.http)
	if err != nil {
		return fmt.Errorf("read what the cluster serves: %w", err)
	}
	namespaces := map[string]cache.Config{}
	for _, namespace := range a.cfg.Namespaces {
		namespaces[namespace] = cache.Config{}
	}
	k.objects = workload.CachedObjects()
	if a.cfg.looksAfterNodes() {
		maps.Copy(k.objects, nodes.CachedObjects(mapper))
	}
	k.cache, err = cache.New(k.config, cache.Options{
		HTTPClient: k.http, Scheme: k.scheme, Mapper: mapper, ByObject: k.objects,
		DefaultNamespaces: namespaces, ReaderFailOnMissingInformer: true, DefaultWatchErrorHandler: k.onWatchError,
	})
	if err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	if k.client, err = client.New(k.config, client.Options{HTTPClient: k.http, Scheme: k.scheme, Mapper: mapper}); err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	// The scale client wants a REST client without a group; the discovery client's is one.
	scales := scale.New(k.kube.Discovery().RESTClient(), mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(k.kube.Discovery()))
	metrics, err := metricsclient.NewForConfigAndClient(k.config, k.http)
	if err != nil {
		return fmt.Errorf("make metrics client: %w", err)
	}
	k.targets = workload.NewTargets(k.cache, mapper, scales, a.clock)
	k.vpas = vpa.NewObjects(k.cache, mapper, a.clock)
	k.signals, err = signal.NewClient(a.cfg.Signal, nil, signal.NewKubernetesPodMetrics(metrics, a.clock), a.clock, a.signalMetrics)
	return err
}

// sync makes the informers and waits until they have read the cluster once.
func (k *cluster) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for object := range k.objects {
		if _, err := k.cache.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	if k.cache.WaitForCacheSync(ctx) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.watchErr != nil {
		return fmt.Errorf("read the cluster: %w", k.watchErr)
	}
	return fmt.Errorf("read the cluster: %w", context.Cause(ctx))
}

// onWatchError keeps the last error for the reason why a session did not get going.
func (k *cluster) onWatchError(ctx context.Context, r *toolscache.Reflector, err error) {
	k.mu.Lock()
	k.watchErr = err
	k.mu.Unlock()
	k.watching.Failed(r.TypeDescription(), err)
	toolscache.DefaultWatchErrorHandler(ctx, r, err)
}

func (k *cluster) close() {
	if k.signals != nil {
		k.signals.Close()
	}
	utilnet.CloseIdleConnectionsFor(k.http.Transport)
}
