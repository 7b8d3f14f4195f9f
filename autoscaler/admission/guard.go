package admission

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// refusal says why the API server would refuse a pod as it is sized, though it would not refuse the one that its manifest describes;
// empty when it would not. What a pod is given stands in a status that may be older than a LimitRange, a quota or the manifest, so
// this looks at the pod itself and at everything that refuses pods for their resources.
func refusal(pod, sized *corev1.Pod, bounds sizing.Bounds) string {
	for _, containers := range [][]corev1.Container{sized.Spec.InitContainers, sized.Spec.Containers} {
		for i := range containers {
			if why := invalid(&containers[i]); why != "" {
				return why
			}
		}
	}
	if why := overPod(sized); why != "" {
		return why
	}
	for _, r := range bounds.Ranges {
		if why := outOfRange(sized, r); why != "" {
			return fmt.Sprintf("LimitRange %s: %s", r.Name, why)
		}
	}
	for _, q := range bounds.Quotas {
		if why := overQuota(pod, sized, q); why != "" {
			return fmt.Sprintf("ResourceQuota %s: %s", q.Name, why)
		}
	}
	return ""
}

// invalid says what the API server's validation would not accept in a container's resources.
func invalid(c *corev1.Container) string {
	for name, limit := range c.Resources.Limits {
		request, ok := c.Resources.Requests[name]
		switch {
		case ok && request.Cmp(limit) > 0:
			return fmt.Sprintf("container %s would request %s %s with a limit of %s", c.Name, request.String(), name, limit.String())
		case ok && isHugePages(name) && !request.Equal(limit):
			return fmt.Sprintf("container %s would request %s %s, which must be its limit, %s", c.Name, request.String(), name, limit.String())
		}
	}
	for name, request := range c.Resources.Requests {
		if request.Sign() < 0 {
			return fmt.Sprintf("container %s would request %s %s", c.Name, request.String(), name)
		}
	}
	return ""
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// overPod says where containers would ask for more than their pod, when that has requests and limits of its own.
func overPod(pod *corev1.Pod) string {
	if pod.Spec.Resources == nil {
		return ""
	}
	sum := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for name, most := range pod.Spec.Resources.Requests {
		if total := sum[name]; total.Cmp(most) > 0 {
			return fmt.Sprintf("the containers would request %s %s and the pod %s", total.String(), name, most.String())
		}
	}
	for name, most := range pod.Spec.Resources.Limits {
		for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for i := range containers {
				if limit := containers[i].Resources.Limits[name]; limit.Cmp(most) > 0 {
					return fmt.Sprintf("container %s would have a limit of %s %s and the pod %s", containers[i].Name, limit.String(), name, most.String())
				}
			}
		}
		if total, ok := sum[name]; ok && total.Cmp(most) > 0 {
			return fmt.Sprintf("the containers would request %s %s with a limit of the pod of %s", total.String(), name, most.String())
		}
	}
	return ""
}

// outOfRange says what a LimitRange would not accept.
func outOfRange(pod *corev1.Pod, r *corev1.LimitRange) string {
	for i := range r.Spec.Limits {
		item := &r.Spec.Limits[i]
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
				for j := range containers {
					requests, limits := containers[j].Resources.Requests, withDefaults(containers[j].Resources.Limits, item.Default)
					why := outOfItem(item, requests, limits)
					for name, limit := range limits {
						if request := requests[name]; request.Cmp(limit) > 0 && why == "" {
							why = fmt.Sprintf("a request of %s %s above the default limit, %s", request.String(), name, limit.String())
						}
					}
					if why != "" {
						return fmt.Sprintf("container %s would have %s", containers[j].Name, why)
					}
				}
			}
		case corev1.LimitTypePod:
			options := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
			if why := outOfItem(item, resourcehelper.PodRequests(pod, options), resourcehelper.PodLimits(pod, options)); why != "" {
				return "the pod would have " + why
			}
		}
	}
	return ""
}

// withDefaults adds the limits that a LimitRange gives to containers without: where one was taken away, it comes back.
func withDefaults(limits, defaults corev1.ResourceList) corev1.ResourceList {
	all := maps.Clone(defaults)
	if all == nil {
		return limits
	}
	maps.Copy(all, limits)
	return all
}

// outOfItem follows the rules of the API server's LimitRanger: a minimum needs a request, a maximum a limit, a ratio both.
func outOfItem(item *corev1.LimitRangeItem, requests, limits corev1.ResourceList) string {
	for name, least := range item.Min {
		request, limit := requests[name], limits[name]
		if _, ok := requests[name]; !ok || request.Cmp(least) < 0 {
			return fmt.Sprintf("a request of %s %s below %s", request.String(), name, least.String())
		}
		if _, ok := limits[name]; ok && limit.Cmp(least) < 0 {
			return fmt.Sprintf("a limit of %s %s below %s", limit.String(), name, least.String())
		}
	}
	for name, most := range item.Max {
		request, limit := requests[name], limits[name]
		if _, ok := limits[name]; !ok {
			return fmt.Sprintf("no limit of %s, which may be %s at most", name, most.String())
		}
		if limit.Cmp(most) > 0 || request.Cmp(most) > 0 {
			return fmt.Sprintf("%s %s with a limit of %s, above %s", request.String(), name, limit.String(), most.String())
		}
	}
	for name, ratio := range item.MaxLimitRequestRatio {
		request, limit := requests[name], limits[name]
		if request.Sign() <= 0 || limit.Sign() <= 0 {
			return fmt.Sprintf("no request and limit of %s, whose ratio may be %s at most", name, ratio.String())
		}
		if limit.AsApproximateFloat64()/request.AsApproximateFloat64() > ratio.AsApproximateFloat64() {
			return fmt.Sprintf("a request of %s %s with a limit of %s, above the ratio %s", request.String(), name, limit.String(), ratio.String())
		}
	}
	return ""
}

// overQuota says what a quota has no room for. A quota with scopes counts as if it were about every pod: at worst a pod stays as it is.
func overQuota(pod, sized *corev1.Pod, q *corev1.ResourceQuota) string {
	options := resourcehelper.PodResourcesOptions{}
	before := [2]corev1.ResourceList{resourcehelper.PodRequests(pod, options), resourcehelper.PodLimits(pod, options)}
	after := [2]corev1.ResourceList{resourcehelper.PodRequests(sized, options), resourcehelper.PodLimits(sized, options)}
	for name, hard := range q.Status.Hard {
		kind, compute := quotaResource(name)
		if compute == "" {
			continue
		}
		was, had := before[kind][compute]
		is, has := after[kind][compute]
		if had && !has {
			return fmt.Sprintf("%s must be set", name)
		}
		if is.Cmp(was) <= 0 {
			continue
		}
		left := hard.DeepCopy()
		left.Sub(q.Status.Used[name])
		if is.Cmp(left) > 0 {
			return fmt.Sprintf("%s of %s, of which %s is left", name, is.String(), atLeastZero(left))
		}
	}
	return ""
}

func atLeastZero(q resource.Quantity) string {
	if q.Sign() < 0 {
		return "nothing"
	}
	return q.String()
}

// quotaResource splits a quota's name into requests (0) or limits (1) and the resource, which is empty when the quota is about
// something else.
func quotaResource(name corev1.ResourceName) (kind int, compute corev1.ResourceName) {
	bare := string(name)
	if rest, ok := strings.CutPrefix(bare, "requests."); ok {
		bare = rest
	} else if rest, ok := strings.CutPrefix(bare, "limits."); ok {
		bare, kind = rest, 1
	}
	switch r := corev1.ResourceName(bare); {
	case r == corev1.ResourceCPU, r == corev1.ResourceMemory, r == corev1.ResourceEphemeralStorage, isHugePages(r):
		return kind, r
	}
	return 0, ""
}
