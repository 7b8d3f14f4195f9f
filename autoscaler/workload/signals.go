package workload

import (
	"context"
	"math"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/horizontal"
	"github.com/yagura-dev/yagura/autoscaler/signal"
)

const (
	// defaultWindow is the time over which the rate of CPU use is taken.
	defaultWindow = 15 * time.Second
	// defaultAfter is the age beyond which a signal is stale. The API server fills it in; this is for policies that were
	// stored before there was a default.
	defaultAfter = 2 * time.Minute
)

// readSignals reads the signals of a policy, all at once.
func readSignals(ctx context.Context, tick *signal.Tick, policy *v1alpha1.WorkloadAutoscaler, pods []*corev1.Pod) []horizontal.Signal {
	objectives := policy.Spec.Horizontal.Objectives
	after := defaultAfter
	if set := policy.Spec.Horizontal.Fallback.After; set != nil {
		after = set.Duration
	}
	signals := make([]horizontal.Signal, len(objectives))
	var group sync.WaitGroup
	for i := range objectives {
		o := &objectives[i]
		group.Go(func() {
			switch {
			case o.Resource != nil:
				signals[i] = readUsage(ctx, tick, policy.Namespace, o.Resource, pods, after)
			case o.Query != nil && o.Query.PromQL != "":
				signals[i] = fromReading(o.Query.PromQL, tick.PromQL(ctx, o.Query.PromQL, after))
			case o.Query != nil:
				signals[i] = fromReading(o.Query.LogQL, tick.LogQL(ctx, o.Query.LogQL, after))
			}
		})
	}
	group.Wait()
	return signals
}

func fromReading(query string, r signal.Reading) horizontal.Signal {
	return horizontal.Signal{Query: query, State: r.State, Reason: r.Reason, Age: r.Age, Value: r.Value}
}

func readUsage(ctx context.Context, tick *signal.Tick, namespace string, o *v1alpha1.ResourceObjective, pods []*corev1.Pod, after time.Duration) horizontal.Signal {
	query := signal.UsageQuery{
		Namespace: namespace, Resource: signal.Resource(o.Name), Container: o.Container, Window: defaultWindow, After: after,
	}
	if o.Window != nil {
		query.Window = o.Window.Duration
	}
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			query.Pods = append(query.Pods, signal.Pod{Name: pod.Name, Containers: lastingContainers(pod)})
		}
	}
	reading := tick.Usage(ctx, query)
	s := fromReading(reading.Query, reading.Reading)
	s.Usage = make(horizontal.Usage, len(reading.Usage))
	for pod, usage := range reading.Usage {
		s.Usage[pod] = horizontal.Sample{Milli: int64(math.Ceil(usage.Value*1000 - 1e-6)), Time: usage.Time, Window: usage.Window}
	}
	return s
}

// lastingContainers are the containers that run as long as the pod does: the ordinary ones and the sidecars.
func lastingContainers(pod *corev1.Pod) []string {
	names := make([]string, 0, len(pod.Spec.Containers))
	for i := range pod.Spec.Containers {
		names = append(names, pod.Spec.Containers[i].Name)
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names = append(names, c.Name)
		}
	}
	return names
}
