package horizontal

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Requests returns what each pod requests of a resource, in thousandths. With a container name it is that container's
// request. Without one it is the pod's own request where the pod has one, else the sum over its containers and its
// sidecars, each of which must have a request.
func Requests(pods []*corev1.Pod, container string, resource corev1.ResourceName) (map[string]int64, error) {
	requests := make(map[string]int64, len(pods))
	for _, pod := range pods {
		request, err := podRequest(pod, container, resource)
		if err != nil {
			return nil, err
		}
		requests[pod.Name] = request
	}
	return requests, nil
}

func podRequest(pod *corev1.Pod, container string, resource corev1.ResourceName) (int64, error) {
	if container == "" && resourcehelper.IsPodLevelRequestsSet(pod) {
		request, ok := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})[resource]
		if !ok {
			return 0, fmt.Errorf("pod %s has requests of its own, but none for %s", pod.Name, resource)
		}
		return request.MilliValue(), nil
	}
	var sum int64
	found := false
	for c := range measuredContainers(pod) {
		if container != "" && c.Name != container {
			continue
		}
		request, ok := c.Resources.Requests[resource]
		if !ok {
			return 0, fmt.Errorf("container %s of pod %s has no request for %s", c.Name, pod.Name, resource)
		}
		sum += request.MilliValue()
		found = true
	}
	if container != "" && !found {
		return 0, fmt.Errorf("pod %s has no container %s", pod.Name, container)
	}
	return sum, nil
}

// measuredContainers yields the containers that run for as long as the pod does: the ordinary ones and the sidecars.
func measuredContainers(pod *corev1.Pod) func(yield func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for i := range pod.Spec.Containers {
			if !yield(&pod.Spec.Containers[i]) {
				return
			}
		}
		for i := range pod.Spec.InitContainers {
			c := &pod.Spec.InitContainers[i]
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways && !yield(c) {
				return
			}
		}
	}
}
