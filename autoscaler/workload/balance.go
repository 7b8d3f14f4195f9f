package workload

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/balance"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/horizontal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// memoryEvery is the time between two looks at what pods use of memory, from which the cost of a replica is learned over days.
const memoryEvery = time.Minute

// balance says how replicas and sizes of one target go together. It comes before both decisions.
func (c *Controller) balance(ctx context.Context, r *round, policy *v1alpha1.WorkloadAutoscaler, target *sizableTarget, replicas int32, signals []horizontal.Signal, m *memory) balance.Decision {
	in := balance.Input{
		Now: r.tick.Now(), Policy: policy, Template: target.Template, Pods: target.pods, Current: replicas,
		LargestPod: largestPod(policy.Spec.Vertical, target.Template, m.vertical.bounds.LargestNode),
	}
	for i := range policy.Spec.Horizontal.Objectives {
		o, s := &policy.Spec.Horizontal.Objectives[i], &signals[i]
		switch {
		case s.State != decision.Fresh:
		case o.Resource != nil && o.Resource.Name == v1alpha1.CPU && in.CPU == nil:
			in.CPU, in.Request = totalUse(s.Usage, target.pods), meanRequest(target.pods, o.Resource.Container)
		case o.Query != nil && o.Query.Per == v1alpha1.PerReplica && in.Work == nil:
			// What is to be shared by the replicas is the load, in its own unit.
			work := s.Value
			in.Work = &work
		}
	}
	if now := r.tick.Now(); in.CPU != nil && now.Sub(m.vertical.memoryAt) >= memoryEvery {
		m.vertical.memoryAt = now
		s := readUsage(ctx, r.tick, policy.Namespace, &v1alpha1.ResourceObjective{Name: v1alpha1.Memory}, target.pods, defaultAfter)
		if s.State == decision.Fresh {
			in.Memory = totalUse(s.Usage, target.pods)
		}
	}
	return balance.Decide(in, &m.vertical.balance)
}

// totalUse adds up what pods use, in cores or bytes; nil when one that runs is not known, since part of it would pass for less load.
func totalUse(use horizontal.Usage, pods []*corev1.Pod) *float64 {
	var sum float64
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		s, ok := use[pod.Name]
		if !ok {
			return nil
		}
		sum += float64(s.Milli) / 1000
	}
	return &sum
}

// meanRequest is the CPU that a pod requests in the mean, in cores; 0 when one requests none.
func meanRequest(pods []*corev1.Pod, container string) float64 {
	requests, err := horizontal.Requests(pods, container, corev1.ResourceCPU)
	if err != nil || len(requests) == 0 {
		return 0
	}
	var sum int64
	for _, milli := range requests {
		sum += milli
	}
	return float64(sum) / 1000 / float64(len(requests))
}

// largestPod is the most CPU that a pod may request, in cores, nil when nothing bounds it.
func largestPod(policy *v1alpha1.VerticalPolicy, template *corev1.PodTemplateSpec, node corev1.ResourceList) *float64 {
	var most *float64
	if q, ok := node[corev1.ResourceCPU]; ok {
		cores := q.AsApproximateFloat64()
		most = &cores
	}
	var allowed float64
	for i := range template.Spec.Containers {
		q, ok := maxAllowed(policy, template.Spec.Containers[i].Name)[corev1.ResourceCPU]
		if !ok {
			return most
		}
		allowed += q.AsApproximateFloat64()
	}
	if most == nil || allowed < *most {
		most = &allowed
	}
	return most
}

func maxAllowed(policy *v1alpha1.VerticalPolicy, container string) corev1.ResourceList {
	var others corev1.ResourceList
	for i := range policy.Containers {
		switch c := &policy.Containers[i]; c.Name {
		case container:
			return c.MaxAllowed
		case "*":
			others = c.MaxAllowed
		}
	}
	return others
}

// capped bounds estimates of CPU as the balance asks for.
func capped(readings map[sizing.Key]sizing.Reading, b *balance.Decision) {
	for key, reading := range readings {
		if key.Resource == corev1.ResourceCPU && reading.State != decision.Missing {
			reading.Estimate = b.CapRole(key.Role, key.Container, reading.Estimate)
			readings[key] = reading
		}
	}
}
