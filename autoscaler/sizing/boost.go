package sizing

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

const (
	// usualStart is how long a start takes that was never measured, counted from when the container became ready.
	usualStart = time.Minute
	// longestStart is how long a container that does not become ready counts as starting.
	longestStart = time.Hour
)

// boosted is the CPU that a created pod should request for a container, 0 when that is its size.
func (c *container) boosted(s *size) float64 {
	b := c.policy.Startup
	if b == nil || s == nil || !s.known || !c.running() {
		return 0
	}
	v := 0.0
	switch {
	case b.Factor != nil:
		v = s.value * b.Factor.AsApproximateFloat64()
	case b.CPU != nil:
		v = amount(corev1.ResourceList{corev1.ResourceCPU: *b.CPU}, corev1.ResourceCPU)
	}
	v = min(roundUp(corev1.ResourceCPU, v), maxCPU)
	if c.policy.Limits == v1alpha1.LimitFixed && s.limit > 0 {
		v = min(v, s.limit)
	}
	if s.ceiling > 0 {
		v = min(v, s.ceiling)
	}
	if !(v > s.value) {
		return 0
	}
	return v
}

// boosts gives containers what they get while they start, as far as a node has room for all of them together, limit ranges allow it to
// a pod, and quotas leave it to all replicas at once.
func (p *roleContainers) boosts(node corev1.ResourceList) {
	const r = corev1.ResourceCPU
	extra, limits := 0.0, 0.0
	for _, c := range p.list {
		if s := c.size(r); s != nil {
			if c.boost = c.boosted(s); c.boost > 0 {
				extra += c.boost - s.value
				if s.value > 0 {
					limits += s.limit * (c.boost/s.value - 1)
				}
			}
		}
	}
	if extra == 0 {
		return
	}
	share := 1.0
	movable, fixed := p.sums(r, (*container).value)
	if len(node) > 0 {
		share = min(share, ((amount(node, r)-p.overhead(r))/p.surplus(r)-movable-fixed)/extra)
	}
	limitsNow, limitsFixed := p.sums(r, (*container).limitValue)
	eachRange(p.in.Bounds.Ranges, corev1.LimitTypePod, func(item *corev1.LimitRangeItem) {
		if most := amount(item.Max, r); most > 0 {
			share = min(share, (most-movable-fixed)/extra)
			if limits > 0 {
				share = min(share, (most-limitsNow-limitsFixed)/limits)
			}
		}
	})
	for _, q := range p.in.quotas() {
		replicas := float64(max(1, p.in.Replicas))
		switch {
		case q.resource != r:
		case !q.limits:
			share = min(share, q.left/(extra*replicas))
		case limits > 0:
			share = min(share, q.left/(limits*replicas))
		}
	}
	if share >= 1 {
		return
	}
	for _, c := range p.list {
		if c.boost > 0 {
			value := c.size(r).value
			if c.boost = roundDown(r, value+(c.boost-value)*max(0, share)); c.boost <= value {
				c.boost = 0
			}
		}
	}
}

// starting reports whether a pod's container still starts, so that the CPU which it got for that stays. It is told from the pod alone,
// so that a controller that was restarted meanwhile knows it too.
func (c *container) starting(pod *corev1.Pod, now time.Time) bool {
	b := c.policy.Startup
	if b == nil {
		return false
	}
	status := containerStatus(pod, c.spec.Name)
	if status == nil || status.State.Running == nil {
		return true
	}
	started := status.State.Running.StartedAt.Time
	if !status.Ready {
		return now.Before(started.Add(longestStart))
	}
	ready := readySince(pod, started)
	switch {
	case b.Duration != nil:
		return now.Before(ready.Add(b.Duration.Duration))
	case c.startup.Length > 0:
		return now.Before(started.Add(min(c.startup.Length, longestStart)))
	}
	return now.Before(ready.Add(usualStart))
}

// readySince is when a pod became ready, not before its container started.
func readySince(pod *corev1.Pod, started time.Time) time.Time {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && c.LastTransitionTime.After(started) {
			return c.LastTransitionTime.Time
		}
	}
	return started
}

func containerStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
