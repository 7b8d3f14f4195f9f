package signal

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/utils/clock"
)

// PodMetrics is the resource metrics API.
type PodMetrics interface {
	// InNamespace returns what the pods of a namespace use, by name.
	InNamespace(ctx context.Context, namespace string) (map[string]ContainerUsage, error)
}

// ContainerUsage is what the containers of one pod use.
type ContainerUsage struct {
	Time        time.Time
	Window      time.Duration
	CPU, Memory map[string]float64 // by container, in cores and bytes
}

func (u ContainerUsage) sum(q UsageQuery, pod Pod) (sum float64, complete bool) {
	values := u.Memory
	if q.Resource == CPU {
		values = u.CPU
	}
	for _, container := range q.containers(pod) {
		value, ok := values[container]
		if !ok {
			return 0, false
		}
		sum += value
		complete = true
	}
	return sum, complete
}

const (
	// podMetricsLife is how long an answer is used again. Metrics servers measure every 15 seconds or more seldom.
	podMetricsLife = 5 * time.Second
	// podMetricsTimeout ends a request: one that hangs must not hold up the policies of a namespace.
	podMetricsTimeout = 5 * time.Second
	// podMetricsAbsent is how long a cluster without the API is not asked again.
	podMetricsAbsent = time.Minute
)

// KubernetesPodMetrics reads metrics.k8s.io. It is safe for concurrent use.
type KubernetesPodMetrics struct {
	client metricsclient.PodMetricsesGetter
	clock  clock.PassiveClock

	mu     sync.Mutex
	cached map[string]*podMetricsAnswer
}

type podMetricsAnswer struct {
	mu    sync.Mutex
	until time.Time
	pods  map[string]ContainerUsage
	err   error
}

// NewKubernetesPodMetrics makes a reader of metrics.k8s.io.
func NewKubernetesPodMetrics(client metricsclient.PodMetricsesGetter, c clock.PassiveClock) *KubernetesPodMetrics {
	return &KubernetesPodMetrics{client: client, clock: c, cached: map[string]*podMetricsAnswer{}}
}

// InNamespace implements PodMetrics.
func (k *KubernetesPodMetrics) InNamespace(ctx context.Context, namespace string) (map[string]ContainerUsage, error) {
	k.mu.Lock()
	a := k.cached[namespace]
	if a == nil {
		a = &podMetricsAnswer{}
		k.cached[namespace] = a
	}
	k.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := k.clock.Now()
	if now.Before(a.until) {
		return a.pods, a.err
	}
	ctx, cancel := context.WithTimeout(ctx, podMetricsTimeout)
	defer cancel()
	list, err := k.client.PodMetricses(namespace).List(ctx, metav1.ListOptions{})
	now = k.clock.Now() // the answer may have taken its time
	a.until = now.Add(podMetricsLife)
	switch {
	case apierrors.IsNotFound(err):
		a.until = now.Add(podMetricsAbsent)
		a.pods, a.err = nil, fmt.Errorf("this cluster does not serve it")
	case err != nil:
		a.pods, a.err = nil, fmt.Errorf("list pod metrics of %s: %w", namespace, err)
	default:
		a.pods, a.err = containerUsage(list), nil
	}
	return a.pods, a.err
}

func containerUsage(list *metricsv1beta1.PodMetricsList) map[string]ContainerUsage {
	pods := make(map[string]ContainerUsage, len(list.Items))
	for i := range list.Items {
		item := &list.Items[i]
		u := ContainerUsage{Time: item.Timestamp.Time, Window: item.Window.Duration, CPU: map[string]float64{}, Memory: map[string]float64{}}
		for _, c := range item.Containers {
			if cpu, ok := c.Usage[corev1.ResourceCPU]; ok {
				u.CPU[c.Name] = cpu.AsApproximateFloat64()
			}
			if memory, ok := c.Usage[corev1.ResourceMemory]; ok {
				u.Memory[c.Name] = memory.AsApproximateFloat64()
			}
		}
		pods[item.Name] = u
	}
	return pods
}
