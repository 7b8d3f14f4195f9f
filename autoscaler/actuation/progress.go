package actuation

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Progress is how far a node is with carrying a pod's resize out.
type Progress struct {
	// Result is Done, Pending, Deferred or Infeasible.
	Result decision.Result
	// Code is empty, Unseen, Running or Error.
	Code string
	// Reason is what the node says, if it says anything.
	Reason string
	// Since is when it came to that, zero when unknown.
	Since time.Time
}

// ProgressOf reads a pod's status. What the pod should have is its specification; the node says in conditions what hinders it, and in
// the containers' statuses what they have.
func ProgressOf(pod *corev1.Pod) Progress {
	if c := condition(pod, corev1.PodResizePending); c != nil && current(pod, c) {
		p := Progress{Result: decision.Deferred, Reason: c.Message, Since: c.LastTransitionTime.Time}
		if c.Reason == corev1.PodReasonInfeasible {
			p.Result = decision.Infeasible
		}
		if p.Reason == "" {
			p.Reason = "the node gives no reason"
		}
		return p
	}
	if c := condition(pod, corev1.PodResizeInProgress); c != nil && current(pod, c) {
		p := Progress{Result: decision.Pending, Code: "Running", Reason: "the node is carrying the resize out", Since: c.LastTransitionTime.Time}
		if c.Reason == corev1.PodReasonError {
			p.Code, p.Reason = "Error", c.Message
		}
		return p
	}
	if pod.Status.ObservedGeneration < pod.Generation {
		return Progress{Result: decision.Pending, Code: "Unseen", Reason: "the node has not seen the resize yet"}
	}
	if name, ok := behind(pod); ok {
		return Progress{Result: decision.Pending, Code: "Running", Reason: fmt.Sprintf("container %s does not have it yet", name)}
	}
	return Progress{Result: decision.Done}
}

// current reports whether a condition is true and about the specification as it is, as opposed to an earlier one.
func current(pod *corev1.Pod, c *corev1.PodCondition) bool {
	return c.Status == corev1.ConditionTrue && (c.ObservedGeneration == 0 || c.ObservedGeneration >= pod.Generation)
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// behind names a running container whose resources, as its runtime reports them, are not those of the specification. Nodes that do not
// report them, such as simulated ones, are taken at their word that they have seen the specification.
func behind(pod *corev1.Pod) (string, bool) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			container, ok := containerOf(pod, s.Name)
			if !ok || s.Resources == nil || s.State.Running == nil {
				continue
			}
			// Only what both name is compared: a node reports, for instance, no requests of storage.
			if differs(s.Resources.Requests, container.Resources.Requests) || differs(s.Resources.Limits, container.Resources.Limits) {
				return s.Name, true
			}
		}
	}
	return "", false
}

func differs(has, want corev1.ResourceList) bool {
	for name, quantity := range want {
		if now, ok := has[name]; ok && now.Cmp(quantity) != 0 {
			return true
		}
	}
	return false
}

// ready reports whether a pod serves and is not on its way out.
func ready(pod *corev1.Pod) bool {
	c := condition(pod, corev1.PodReady)
	return pod.DeletionTimestamp == nil && c != nil && c.Status == corev1.ConditionTrue
}

// finished reports whether a pod has ended or is about to.
func finished(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
