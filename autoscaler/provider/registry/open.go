package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/clusterapi"
	"github.com/yagura-dev/yagura/autoscaler/provider/external"
	"github.com/yagura-dev/yagura/autoscaler/provider/gke"
	"github.com/yagura-dev/yagura/autoscaler/provider/karpenter"
	"github.com/yagura-dev/yagura/autoscaler/provider/kwok"
)

// Dependencies are what providers work with.
type Dependencies struct {
	// REST reaches the cluster whose nodes are bought.
	REST *rest.Config
	// Namespace is where providers keep what must outlive the process: the autoscaler's own.
	Namespace string
	Clock     clock.WithDelayedExecution
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

// Registry are the opened providers.
type Registry struct {
	providers map[string]provider.Provider
	closers   []func()
}

// Open makes the providers of a configuration. Nobody is called yet: a provider that cannot be reached says so at its first call.
// When it fails nothing is left open.
func Open(cfg Config, deps Dependencies) (*Registry, error) {
	r := &Registry{providers: map[string]provider.Provider{}}
	if len(cfg.Instances) == 0 {
		return r, nil
	}
	metrics, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	opener := &opener{registry: r, deps: deps}
	for _, name := range slices.Sorted(maps.Keys(cfg.Instances)) {
		p, err := opener.open(context.Background(), name, cfg.Instances[name])
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("open provider %s: %w", name, err)
		}
		r.providers[name] = watch(p, metrics, time.Duration(cfg.CallTimeout))
	}
	return r, nil
}

// Providers are those that are open, by name.
func (r *Registry) Providers() map[string]provider.Provider { return maps.Clone(r.providers) }

// Close ends connections and what goes on in the background.
func (r *Registry) Close() {
	for _, closer := range slices.Backward(r.closers) {
		closer()
	}
	r.closers = nil
}

// opener shares between providers what they have in common.
type opener struct {
	registry *Registry
	deps     Dependencies
	shared   client.Client
}

func (o *opener) open(ctx context.Context, name string, i Instance) (provider.Provider, error) {
	logger := o.deps.Logger.With("provider", name)
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	switch {
	case i.Kwok != nil:
		p, err := kwok.New(name, *i.Kwok, kwok.Dependencies{Client: c, Clock: o.deps.Clock, Logger: logger})
		if err != nil {
			return nil, err
		}
		o.registry.closers = append(o.registry.closers, p.Close)
		return p, nil
	case i.External != nil:
		p, err := external.New(name, *i.External, external.Dependencies{Client: c, Namespace: o.deps.Namespace, Clock: o.deps.Clock, Logger: logger})
		if err != nil {
			return nil, err
		}
		o.registry.closers = append(o.registry.closers, p.Close)
		return p, nil
	case i.ClusterAPI != nil:
		config := o.deps.REST
		if path := i.ClusterAPI.Kubeconfig; path != "" {
			if config, err = clientcmd.BuildConfigFromFlags("", path); err != nil {
				return nil, fmt.Errorf("clusterapi.kubeconfig: %w", err)
			}
		}
		management, err := o.connect(config, clusterv1.AddToScheme)
		if err != nil {
			return nil, err
		}
		return clusterapi.New(name, *i.ClusterAPI, clusterapi.Dependencies{Management: management, Workload: c, Clock: o.deps.Clock, Logger: logger}), nil
	case i.GKE != nil:
		return gke.New(ctx, name, *i.GKE, gke.Dependencies{Logger: logger})
	case i.Karpenter != nil:
		return karpenter.New(name, *i.Karpenter, karpenter.Dependencies{Client: c}), nil
	}
	return nil, errors.New("no kind of provider is set")
}

// client reaches the cluster whose nodes are bought, past any cache: what a purchase hangs on must not be read from one.
func (o *opener) client() (client.Client, error) {
	if o.shared != nil {
		return o.shared, nil
	}
	c, err := o.connect(o.deps.REST, corev1.AddToScheme, v1alpha1.AddToScheme)
	o.shared = c
	return c, err
}

// connect makes a client of its own, which the server's priorities bound, and not a rate of the client's own.
func (o *opener) connect(config *rest.Config, schemes ...func(*runtime.Scheme) error) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.RateLimiter = -1, nil
	scheme := runtime.NewScheme()
	for _, add := range schemes {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	o.registry.closers = append(o.registry.closers, func() { utilnet.CloseIdleConnectionsFor(transport.Transport) })
	c, err := client.New(config, client.Options{Scheme: scheme, HTTPClient: transport})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return c, nil
}
