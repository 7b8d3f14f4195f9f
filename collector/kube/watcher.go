package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// Config says which pods are watched and how the API server is reached.
type Config struct {
	// Node is the name of this node in Kubernetes. Empty means that this machine
	// is no node of a cluster: then no pod is watched and nothing is found.
	Node string `json:"node,omitempty"`
	// Kubeconfig is the path of a kubeconfig file, which may appear later and may
	// change. Empty means the service account of the pod this runs in.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Retain is how long a deleted pod is still found by its UID and container
	// IDs, for data that arrives late.
	Retain model.Duration `json:"retain,omitempty"`
}

// DefaultConfig returns the configuration without a node: no watch.
func DefaultConfig() Config {
	return Config{Retain: model.Duration(2 * time.Minute)}
}

// Validate says which field is wrong.
func (c Config) Validate() error {
	if c.Retain < 0 {
		return fmt.Errorf("retain: %s is negative", c.Retain)
	}
	return nil
}

// retryInterval is how often a missing or changed kubeconfig is looked at, and
// the longest pause between two attempts to reach the API server: a cluster that
// comes up later is found within it.
const retryInterval = 5 * time.Second

// Watcher keeps the index of this node's pods current. Its lookups may be called
// from any goroutine, before, during and after Run.
type Watcher struct {
	config Config
	index  *index
	clock  clock.Clock
	log    *slog.Logger
	errors prometheus.Counter
	failed atomic.Bool // the last attempt to reach the API server failed
}

// New returns a Watcher; Run starts it.
func New(config Config, log *slog.Logger, registerer prometheus.Registerer) (*Watcher, error) {
	return newWatcher(config, log, registerer, clock.RealClock{})
}

func newWatcher(config Config, log *slog.Logger, registerer prometheus.Registerer, c clock.Clock) (*Watcher, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	w := &Watcher{
		config: config,
		index:  newIndex(c, time.Duration(config.Retain)),
		clock:  c,
		log:    log,
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_kube_watch_errors_total",
			Help: "Failed attempts to list or watch the pods of this node.",
		}),
	}
	for _, collector := range []prometheus.Collector{w.index, w.errors} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register the metrics of the pod index: %w", err)
		}
	}
	return w, nil
}

// Enabled says whether pods are watched at all. Without a node nothing is ever
// found, and callers need not wait for metadata.
func (w *Watcher) Enabled() bool { return w.config.Node != "" }

// Synced says whether the pods of this node were listed at least once.
func (w *Watcher) Synced() bool {
	_, synced := w.index.size()
	return synced
}

// PodByUID finds a pod by its UID, or by the UID under which the kubelet runs it
// when it is a static pod.
func (w *Watcher) PodByUID(uid string) (Pod, bool) { return w.index.podByUID(uid) }

// PodByIP finds the running pod that has the address. Pods on the host's network
// are never found by it.
func (w *Watcher) PodByIP(ip netip.Addr) (Pod, bool) { return w.index.podByIP(ip) }

// ContainerByID finds a container and its pod by the runtime's container ID, with
// or without its scheme ("containerd://").
func (w *Watcher) ContainerByID(id string) (Pod, Container, bool) { return w.index.containerByID(id) }

// Run watches until ctx is done, and returns nil then. It never gives up: an API
// server or kubeconfig that is not there yet is tried again, quietly.
func (w *Watcher) Run(ctx context.Context) error {
	if !w.Enabled() {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		stamp := w.stamp()
		client, disconnect, err := w.connect()
		if err != nil {
			w.note(err)
			w.sleep(ctx, retryInterval)
			continue
		}
		w.watch(ctx, client, stamp)
		disconnect()
	}
	return nil
}

// connect builds a client from the kubeconfig as it is now. Call disconnect when
// it is not used any more.
func (w *Watcher) connect() (client kubernetes.Interface, disconnect func(), err error) {
	config, err := w.restConfig()
	if err != nil {
		return nil, nil, err
	}
	config.UserAgent = "yagura-collector"
	// Protobuf costs a fraction of JSON's memory to decode.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, fmt.Errorf("build the transport to the API server: %w", err)
	}
	client, err = kubernetes.NewForConfigAndClient(config, transport)
	if err != nil {
		return nil, nil, fmt.Errorf("build the client of the API server: %w", err)
	}
	return client, func() { utilnet.CloseIdleConnectionsFor(transport.Transport) }, nil
}

func (w *Watcher) restConfig() (*rest.Config, error) {
	if w.config.Kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("read the service account of this pod: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", w.config.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", w.config.Kubeconfig, err)
	}
	return config, nil
}

// watch runs one reflector until ctx is done or the kubeconfig changes.
func (w *Watcher) watch(ctx context.Context, client kubernetes.Interface, stamp fileStamp) {
	// client-go reports each failed attempt as an error; note reports the first.
	quiet := logr.FromSlogHandler(demoted{w.log.Handler()})
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, quiet))
	defer cancel()
	reflector := cache.NewReflectorWithOptions(w.listWatch(client), &corev1.Pod{}, w.index, cache.ReflectorOptions{
		Logger: &quiet,
		Name:   "pods of " + w.config.Node,
		Backoff: &wait.Backoff{
			Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 4, Cap: retryInterval,
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		reflector.RunWithContext(ctx)
	}()
	for w.sleep(ctx, retryInterval) {
		w.index.purgeNow()
		if now := w.stamp(); now != stamp && now != (fileStamp{}) {
			w.log.Info("kubeconfig changed, connecting anew", "kubeconfig", w.config.Kubeconfig)
			break
		}
	}
	cancel()
	<-done
}

func (w *Watcher) listWatch(client kubernetes.Interface) cache.ListerWatcher {
	selector := fields.OneTermEqualSelector("spec.nodeName", w.config.Node).String()
	pods := client.CoreV1().Pods(metav1.NamespaceAll)
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			list, err := pods.List(ctx, options)
			w.note(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			watcher, err := pods.Watch(ctx, options)
			w.note(err)
			return watcher, err
		},
	}, client)
}

// note counts a failure and logs when reaching the API server begins or ends to
// fail, so that hours without a cluster are two lines.
func (w *Watcher) note(err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		w.errors.Inc()
		if !w.failed.Swap(true) {
			w.log.Warn("cannot watch the pods of this node yet, will keep trying", "node", w.config.Node, "err", err)
		}
	case w.failed.Swap(false):
		w.log.Info("watching the pods of this node", "node", w.config.Node)
	}
}

// sleep waits and says whether ctx is still alive.
func (w *Watcher) sleep(ctx context.Context, d time.Duration) bool {
	timer := w.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// fileStamp tells one version of the kubeconfig from the next.
type fileStamp struct {
	modified time.Time
	size     int64
}

func (w *Watcher) stamp() fileStamp {
	if w.config.Kubeconfig == "" {
		return fileStamp{}
	}
	info, err := os.Stat(w.config.Kubeconfig)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			w.log.Debug("cannot look at the kubeconfig", "err", err)
		}
		return fileStamp{}
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}

// demoted passes every record on at debug level.
type demoted struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (d demoted) Handle(ctx context.Context, record slog.Record) error {
	record.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
