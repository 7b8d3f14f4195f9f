package actuation

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// ResizedAnnotation is where a pod says when it was last resized and from what. Its value is a JSON object:
//
//	time      RFC 3339
//	from      by container: requests and limits before
//	pod       the pod's own requests and limits before, absent when it had none
//	rollBack  true when the resize took an earlier one back
//
// It is written before the resize, since the resize subresource changes no metadata and what a pod had before must not be lost
// with the process that knew it.
const ResizedAnnotation = "yagura.dev/resized"

// maxChangeSize bounds what is parsed of an annotation, in bytes.
const maxChangeSize = 32 << 10

// Change is the last resize of a pod.
type Change struct {
	Time time.Time `json:"time"`
	// From holds the requests and limits before, of the containers that were changed.
	From map[string]corev1.ResourceRequirements `json:"from"`
	// Pod holds the pod's own, nil when it had none.
	Pod *corev1.ResourceRequirements `json:"pod,omitempty"`
	// RollBack is true when the resize took an earlier one back.
	RollBack bool `json:"rollBack,omitempty"`
}

// ParseChange reads the value of ResizedAnnotation.
func ParseChange(value string) (Change, error) {
	var c Change
	if len(value) > maxChangeSize {
		return c, fmt.Errorf("parse %s: %d bytes are more than %d", ResizedAnnotation, len(value), maxChangeSize)
	}
	if err := json.Unmarshal([]byte(value), &c); err != nil {
		return Change{}, fmt.Errorf("parse %s: %w", ResizedAnnotation, err)
	}
	if c.Time.IsZero() {
		return Change{}, fmt.Errorf("parse %s: it has no time", ResizedAnnotation)
	}
	return c, nil
}

// ChangeOf returns the last resize of a pod as its annotation tells it; false when there was none. A change that was announced and not
// made, because the API refused it or the process ended in between, is none.
func ChangeOf(pod *corev1.Pod) (Change, bool) {
	value, ok := pod.Annotations[ResizedAnnotation]
	if !ok {
		return Change{}, false
	}
	c, err := ParseChange(value)
	if err != nil {
		return Change{}, false // somebody else wrote it; the pod counts as never changed
	}
	for name, from := range c.From {
		if now, ok := containerOf(pod, name); ok && !sameResources(from, now.Resources) {
			return c, true
		}
	}
	if c.Pod != nil && pod.Spec.Resources != nil && !sameResources(*c.Pod, *pod.Spec.Resources) {
		return c, true
	}
	return Change{}, false
}

// Step returns the step that made the change, of the pod as it was before: what sizing.Memory wants to be told, be it that the
// resize was just accepted or that an earlier process did it.
func (c Change) Step(pod *corev1.Pod) sizing.Step {
	before := pod.DeepCopy()
	step := sizing.Step{Pod: before, Containers: map[string]corev1.ResourceRequirements{}, InPlace: true, RollBack: c.RollBack}
	for name, from := range c.From {
		if now, ok := containerOf(pod, name); ok {
			step.Containers[name] = *now.Resources.DeepCopy()
			was, _ := containerOf(before, name)
			was.Resources.Requests, was.Resources.Limits = from.Requests, from.Limits
		}
	}
	if c.Pod != nil {
		step.PodResources, before.Spec.Resources = pod.Spec.Resources, c.Pod
	}
	return step
}

// changeFor describes the resize of a pod by the given difference.
func changeFor(pod *corev1.Pod, d difference, rollBack bool, now time.Time) Change {
	c := Change{Time: now.UTC(), From: map[string]corev1.ResourceRequirements{}, RollBack: rollBack}
	for name := range d.containers {
		if container, ok := containerOf(pod, name); ok {
			c.From[name] = plain(container.Resources)
		}
	}
	if d.pod != nil && pod.Spec.Resources != nil {
		from := plain(*pod.Spec.Resources)
		c.Pod = &from
	}
	return c
}

// plain leaves the claims away.
func plain(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: r.Requests, Limits: r.Limits}
}

func sameResources(a, b corev1.ResourceRequirements) bool {
	return equality.Semantic.DeepEqual(a.Requests, b.Requests) && equality.Semantic.DeepEqual(a.Limits, b.Limits)
}

// containerOf finds a container or an init container.
func containerOf(pod *corev1.Pod, name string) (*corev1.Container, bool) {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i], true
		}
	}
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return &pod.Spec.InitContainers[i], true
		}
	}
	return nil, false
}
