package actuation

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// difference is what of a pod's requests and limits is another one in a step. What a step does not mention stays: a resize can
// take nothing away.
type difference struct {
	containers map[string]corev1.ResourceRequirements
	pod        *corev1.ResourceRequirements
	// unknown names a container of the step that the pod does not have.
	unknown string
}

func (d difference) empty() bool { return len(d.containers) == 0 && d.pod == nil }

// differenceOf compares a pod's specification with a step.
func differenceOf(pod *corev1.Pod, step *sizing.Step) difference {
	d := difference{containers: map[string]corev1.ResourceRequirements{}}
	for name, want := range step.Containers {
		container, ok := containerOf(pod, name)
		if !ok {
			d.unknown = name
			continue
		}
		if r, differs := changed(container.Resources, want); differs {
			d.containers[name] = r
		}
	}
	if step.PodResources != nil {
		var has corev1.ResourceRequirements
		if pod.Spec.Resources != nil {
			has = *pod.Spec.Resources
		}
		if r, differs := changed(has, *step.PodResources); differs {
			d.pod = &r
		}
	}
	return d
}

// changed returns the entries of want that has does not have.
func changed(has, want corev1.ResourceRequirements) (corev1.ResourceRequirements, bool) {
	r := corev1.ResourceRequirements{Requests: changedList(has.Requests, want.Requests), Limits: changedList(has.Limits, want.Limits)}
	return r, len(r.Requests) > 0 || len(r.Limits) > 0
}

func changedList(has, want corev1.ResourceList) corev1.ResourceList {
	var list corev1.ResourceList
	for name, quantity := range want {
		if now, ok := has[name]; ok && now.Cmp(quantity) == 0 {
			continue
		}
		if list == nil {
			list = corev1.ResourceList{}
		}
		list[name] = quantity
	}
	return list
}

// restarts reports whether a difference makes a container restart, by the container's own resize policy, and names the container.
func (d difference) restarts(pod *corev1.Pod) (string, bool) {
	for name, r := range d.containers {
		container, ok := containerOf(pod, name)
		if !ok {
			continue
		}
		for _, policy := range container.ResizePolicy {
			_, request := r.Requests[policy.ResourceName]
			_, limit := r.Limits[policy.ResourceName]
			if policy.RestartPolicy == corev1.RestartContainer && (request || limit) {
				return name, true
			}
		}
	}
	return "", false
}

// podPatch, and the types in it, are the part of a pod that a resize patch has. Only what changes is in it, so that whatever else
// is done to the pod at the same time stays.
type podPatch struct {
	Metadata metadataPatch `json:"metadata"`
	Spec     *specPatch    `json:"spec,omitempty"`
}

type metadataPatch struct {
	// UID makes the API server refuse the patch when another pod has the name by now.
	UID         types.UID         `json:"uid"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type specPatch struct {
	Containers     []containerPatch             `json:"containers,omitempty"`
	InitContainers []containerPatch             `json:"initContainers,omitempty"`
	Resources      *corev1.ResourceRequirements `json:"resources,omitempty"`
}

type containerPatch struct {
	Name      string                      `json:"name"`
	Resources corev1.ResourceRequirements `json:"resources"`
}

// patch makes the strategic merge patch that resizes a pod.
func (d difference) patch(pod *corev1.Pod) ([]byte, error) {
	p := podPatch{Metadata: metadataPatch{UID: pod.UID}, Spec: &specPatch{Resources: d.pod}}
	for i := range pod.Spec.Containers {
		if r, ok := d.containers[pod.Spec.Containers[i].Name]; ok {
			p.Spec.Containers = append(p.Spec.Containers, containerPatch{pod.Spec.Containers[i].Name, r})
		}
	}
	for i := range pod.Spec.InitContainers {
		if r, ok := d.containers[pod.Spec.InitContainers[i].Name]; ok {
			p.Spec.InitContainers = append(p.Spec.InitContainers, containerPatch{pod.Spec.InitContainers[i].Name, r})
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("make patch: %w", err)
	}
	return text, nil
}

// describe says what a difference changes, such as "main: memory request 128Mi -> 192Mi".
func (d difference) describe(pod *corev1.Pod) string {
	var text []byte
	add := func(owner string, has, want corev1.ResourceList, kind string) {
		names := make([]corev1.ResourceName, 0, len(want))
		for name := range want {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if len(text) > 0 {
				text = append(text, ", "...)
			}
			text = fmt.Appendf(text, "%s: %s %s %s -> %s", owner, name, kind, quantityText(has, name), quantityText(want, name))
		}
	}
	names := make([]string, 0, len(d.containers))
	for name := range d.containers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if container, ok := containerOf(pod, name); ok {
			add(name, container.Resources.Requests, d.containers[name].Requests, "request")
			add(name, container.Resources.Limits, d.containers[name].Limits, "limit")
		}
	}
	if d.pod != nil {
		var has corev1.ResourceRequirements
		if pod.Spec.Resources != nil {
			has = *pod.Spec.Resources
		}
		add("pod", has.Requests, d.pod.Requests, "request")
		add("pod", has.Limits, d.pod.Limits, "limit")
	}
	return string(text)
}

func quantityText(list corev1.ResourceList, name corev1.ResourceName) string {
	quantity, ok := list[name]
	if !ok {
		return "none"
	}
	return (*resource.Quantity)(&quantity).String()
}
