package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// changes says in one phrase for each container, and one for the pod itself, what a sized pod has that the pod had not.
func changes(policy *v1alpha1.WorkloadAutoscaler, pod, sized *corev1.Pod) []string {
	var all []string
	for _, lists := range [][2][]corev1.Container{{pod.Spec.InitContainers, sized.Spec.InitContainers}, {pod.Spec.Containers, sized.Spec.Containers}} {
		for i := range lists[0] {
			before, after := &lists[0][i], &lists[1][i]
			given := slices.Concat(resourceChanges(before.Resources, after.Resources), variableChanges(before.Env, after.Env))
			if len(given) == 0 {
				continue
			}
			text := after.Name + " " + strings.Join(given, ", ")
			if reason := reasonOf(policy, after.Name); reason != "" {
				text += " (" + reason + ")"
			}
			all = append(all, text)
		}
	}
	if sized.Spec.Resources != nil {
		var before corev1.ResourceRequirements
		if pod.Spec.Resources != nil {
			before = *pod.Spec.Resources
		}
		if given := resourceChanges(before, *sized.Spec.Resources); len(given) > 0 {
			all = append(all, "the pod "+strings.Join(given, ", "))
		}
	}
	return all
}

func resourceChanges(before, after corev1.ResourceRequirements) []string {
	return slices.Concat(listChanges("", before.Requests, after.Requests), listChanges(" limit", before.Limits, after.Limits))
}

func listChanges(what string, before, after corev1.ResourceList) []string {
	all := maps.Clone(before)
	if all == nil {
		all = corev1.ResourceList{}
	}
	maps.Copy(all, after)
	var given []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		from, had := before[name]
		to, has := after[name]
		switch {
		case !has:
			given = append(given, fmt.Sprintf("no %s%s", name, what))
		case !had:
			given = append(given, fmt.Sprintf("%s%s to %s", name, what, to.String()))
		case !from.Equal(to):
			given = append(given, fmt.Sprintf("%s%s from %s to %s", name, what, from.String(), to.String()))
		}
	}
	return given
}

func variableChanges(before, after []corev1.EnvVar) []string {
	var given []string
	for i, v := range after {
		if i >= len(before) || before[i].Value != v.Value {
			given = append(given, v.Name+"="+v.Value)
		}
	}
	return given
}

// reasonOf is why a container has its size. Of several roles the one that needs the most memory decides most.
func reasonOf(policy *v1alpha1.WorkloadAutoscaler, container string) string {
	var decides *v1alpha1.ContainerSizeStatus
	for i := range policy.Status.Vertical.Containers {
		c := &policy.Status.Vertical.Containers[i]
		if c.Name == container && (decides == nil || c.Target.Memory().Cmp(*decides.Target.Memory()) > 0) {
			decides = c
		}
	}
	if decides == nil {
		return ""
	}
	return decides.Reason
}

const (
	// maxNote bounds the annotation, in bytes.
	maxNote = 2048
	cut     = " …"
)

// noteOf is what the annotation says.
func noteOf(policy *v1alpha1.WorkloadAutoscaler, changes []string) string {
	note := policy.Name + ": " + cmp.Or(strings.Join(changes, "; "), "as it is")
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-len(cut)], "") + cut
	}
	return note
}
