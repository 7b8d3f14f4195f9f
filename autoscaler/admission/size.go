package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// containerSize is what a created pod's container should have.
type containerSize struct {
	requests, limits corev1.ResourceList
	removeLimits     []corev1.ResourceName
	environment      map[string]string
	reason           string
}

// sizesFor reads from a policy's status what a created pod's containers should have. A pod's role shows in how it behaves, so a created
// one has none yet; where there are several it gets the most that any of them needs.
func sizesFor(policy *v1alpha1.WorkloadAutoscaler, pod *corev1.Pod, _ sizing.Bounds) map[string]containerSize {
	sizes := map[string]containerSize{}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			rule := ruleFor(policy.Spec.Vertical, c.Name)
			if rule.Mode == v1alpha1.ContainerOff {
				continue
			}
			for j := range policy.Status.Vertical.Containers {
				if status := &policy.Status.Vertical.Containers[j]; status.Name == c.Name {
					sizes[c.Name] = larger(sizes[c.Name], sizeOf(status, rule, c))
				}
			}
		}
	}
	return sizes
}

func sizeOf(status *v1alpha1.ContainerSizeStatus, rule v1alpha1.ContainerVerticalPolicy, c *corev1.Container) containerSize {
	size := containerSize{requests: corev1.ResourceList{}, limits: corev1.ResourceList{}, environment: status.Environment, reason: status.Reason}
	maps.Copy(size.requests, status.Target)
	maps.Copy(size.requests, status.Startup)
	for name := range size.requests {
		_, limited := c.Resources.Limits[name]
		limit, known := status.Limits[name]
		switch {
		case limited && rule.Limits == v1alpha1.LimitNone:
			size.removeLimits = append(size.removeLimits, name)
		case limited && known && rule.Limits != v1alpha1.LimitFixed:
			size.limits[name] = limit
		}
	}
	return size
}

// ruleFor is what a policy says about a container.
func ruleFor(policy *v1alpha1.VerticalPolicy, name string) v1alpha1.ContainerVerticalPolicy {
	rule := v1alpha1.ContainerVerticalPolicy{}
	for _, c := range policy.Containers {
		switch c.Name {
		case name:
			return c
		case "*":
			rule = c
		}
	}
	return rule
}

// larger joins what two roles of a container need.
func larger(a, b containerSize) containerSize {
	if a.requests == nil {
		return b
	}
	memory := a.requests[corev1.ResourceMemory]
	if memory.Cmp(b.requests[corev1.ResourceMemory]) < 0 {
		a.environment, a.reason = b.environment, b.reason
	}
	for _, lists := range [][2]corev1.ResourceList{{a.requests, b.requests}, {a.limits, b.limits}} {
		for name, quantity := range lists[1] {
			if first, ok := lists[0][name]; !ok || first.Cmp(quantity) < 0 {
				lists[0][name] = quantity
			}
		}
	}
	return a
}

// sizedPod is a copy of a pod that has its sizes, with one sentence for each container that changes.
func sizedPod(pod *corev1.Pod, sizes map[string]containerSize) (*corev1.Pod, []string) {
	sized := pod.DeepCopy()
	var changes []string
	for _, containers := range [][]corev1.Container{sized.Spec.InitContainers, sized.Spec.Containers} {
		for i := range containers {
			size, ok := sizes[containers[i].Name]
			if !ok {
				continue
			}
			if given := give(&containers[i], size); len(given) > 0 {
				text := containers[i].Name + " " + strings.Join(given, ", ")
				if size.reason != "" {
					text += " (" + size.reason + ")"
				}
				changes = append(changes, text)
			}
		}
	}
	return sized, changes
}

// give changes a container to a size and says what that changed.
func give(c *corev1.Container, size containerSize) []string {
	var given []string
	for _, name := range slices.Sorted(maps.Keys(size.limits)) {
		given = append(given, set(&c.Resources.Limits, name, size.limits[name], "limit")...)
	}
	for _, name := range slices.Sorted(slices.Values(size.removeLimits)) {
		if _, ok := c.Resources.Limits[name]; ok {
			delete(c.Resources.Limits, name)
			given = append(given, fmt.Sprintf("no %s limit", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(size.requests)) {
		request := size.requests[name]
		if limit, ok := c.Resources.Limits[name]; ok && request.Cmp(limit) > 0 {
			request = limit
		}
		given = append(given, set(&c.Resources.Requests, name, request, "")...)
	}
	for _, name := range slices.Sorted(maps.Keys(size.environment)) {
		if setVariable(c, name, size.environment[name]) {
			given = append(given, name)
		}
	}
	return given
}

func set(list *corev1.ResourceList, name corev1.ResourceName, to resource.Quantity, what string) []string {
	from, ok := (*list)[name]
	if ok && from.Equal(to) {
		return nil
	}
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = to
	text := string(name)
	if what != "" {
		text += " " + what
	}
	if !ok {
		return []string{fmt.Sprintf("%s to %s", text, to.String())}
	}
	return []string{fmt.Sprintf("%s from %s to %s", text, from.String(), to.String())}
}

// setVariable sets a variable and reports whether that changed anything. One that is taken from elsewhere stays.
func setVariable(c *corev1.Container, name, value string) bool {
	at := slices.IndexFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name })
	switch {
	case at < 0:
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		return true
	case c.Env[at].ValueFrom != nil || c.Env[at].Value == value:
		return false
	}
	c.Env[at].Value = value
	return true
}

// maxNote bounds the annotation, in bytes.
const maxNote = 2048

// noteOf is what the annotation says.
func noteOf(policy *v1alpha1.WorkloadAutoscaler, changes []string) string {
	reason := cmp.Or(strings.Join(changes, "; "), "as it is")
	note := policy.Name + ": " + reason
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-len(cut)], "") + cut
	}
	return note
}

const cut = " …"
