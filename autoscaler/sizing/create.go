package sizing

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Creation is what a pod that is being created gets.
type Creation struct {
	Containers []CreatedContainer
	// PodResources are the pod's own requests and limits, nil when it has none or they stay.
	PodResources *corev1.ResourceRequirements
}

// CreatedContainer is what one of its containers gets.
type CreatedContainer struct {
	Name string
	// Init is true for init containers, sidecars among them; Index is the container's place in its list.
	Init  bool
	Index int
	// Resources are its requests and limits, whole.
	Resources corev1.ResourceRequirements
	// Environment are the variables to be set, those of the same names replaced.
	Environment []corev1.EnvVar
}

// Empty reports whether the pod is left as it is.
func (c *Creation) Empty() bool { return len(c.Containers) == 0 && c.PodResources == nil }

// Apply writes what the pod gets into its spec.
func (c *Creation) Apply(spec *corev1.PodSpec) {
	for i := range c.Containers {
		to := &c.Containers[i]
		list := spec.Containers
		if to.Init {
			list = spec.InitContainers
		}
		if to.Index >= len(list) || list[to.Index].Name != to.Name {
			continue
		}
		list[to.Index].Resources = *to.Resources.DeepCopy()
		for _, v := range to.Environment {
			if at := slices.IndexFunc(list[to.Index].Env, func(e corev1.EnvVar) bool { return e.Name == v.Name }); at >= 0 {
				list[to.Index].Env[at] = v
			} else {
				list[to.Index].Env = append(list[to.Index].Env, v)
			}
		}
	}
	if c.PodResources != nil {
		spec.Resources = c.PodResources.DeepCopy()
	}
}

// ForPod says what a pod that is being created gets of the sizes that its policy publishes: nothing, unless the policy applies them.
// Without a role, which most pods show only when they run, the largest size of all roles counts. What is published was bounded when it
// was decided; ranges are asked once more, because a pod outside of them would not be admitted. The pod is not changed.
func ForPod(policy *v1alpha1.WorkloadAutoscaler, role string, pod *corev1.Pod, ranges []*corev1.LimitRange) Creation {
	var created Creation
	if policy.Spec.Mode != v1alpha1.Apply || policy.Spec.Vertical == nil || policy.Spec.Vertical.Apply == v1alpha1.ApplyOff {
		return created
	}
	sizes := largest(FromStatus(policy), role)
	changed := map[string]corev1.ResourceRequirements{}
	for _, init := range []bool{true, false} {
		list := pod.Spec.Containers
		if init {
			list = pod.Spec.InitContainers
		}
		for i := range list {
			size, ok := sizes[list[i].Name]
			rule := policyFor(policy.Spec.Vertical, list[i].Name)
			if !ok || rule.Mode == v1alpha1.ContainerOff {
				continue
			}
			to := CreatedContainer{Name: list[i].Name, Init: init, Index: i,
				Resources: size.resources(&list[i], rule.Limits, ranges), Environment: size.environment(&list[i])}
			changed[to.Name] = to.Resources
			created.Containers = append(created.Containers, to)
		}
	}
	in := Input{Policy: policy}
	created.PodResources = in.podResources(pod, resized(&pod.Spec, changed))
	return created
}

// largest gives the sizes of a role, or the largest of all roles where it is not known or has none.
func largest(sizes []ContainerSize, role string) map[string]*ContainerSize {
	found := map[string]*ContainerSize{}
	for i := range sizes {
		if s := &sizes[i]; s.Role == role && role != "" {
			found[s.Container] = s
		}
	}
	if len(found) > 0 {
		return found
	}
	for i := range sizes {
		s := &sizes[i]
		have := found[s.Container]
		if have == nil {
			found[s.Container] = s
			continue
		}
		memory := s.Requests[corev1.ResourceMemory]
		if memory.Cmp(have.Requests[corev1.ResourceMemory]) > 0 {
			// The environment goes with the memory.
			have.Environment = s.Environment
		}
		for _, lists := range [][2]*corev1.ResourceList{{&have.Requests, &s.Requests}, {&have.Limits, &s.Limits}, {&have.Startup, &s.Startup}} {
			if *lists[0] == nil {
				*lists[0] = corev1.ResourceList{}
			}
			raise(*lists[0], *lists[1])
		}
	}
	return found
}

// resources are a created container's requests and limits. A limit is never added to a container that has none: LimitRanges have put
// theirs in before.
func (s *ContainerSize) resources(c *corev1.Container, rule v1alpha1.LimitRule, ranges []*corev1.LimitRange) corev1.ResourceRequirements {
	to := *c.Resources.DeepCopy()
	for r := range s.Requests {
		size, has := amount(s.Requests, r), amount(to.Limits, r)
		if size == 0 {
			continue
		}
		request := max(size, amount(s.Startup, r))
		limit := amount(s.Limits, r)
		switch {
		case isHugePages(r):
			// They cannot be overcommitted.
			limit = request
		case slices.Contains(s.RemoveLimits, r):
			delete(to.Limits, r)
		case has == 0:
			limit = 0
		case limit == 0 || rule == v1alpha1.LimitFixed:
			limit = has
			request = min(request, has)
		case request > size:
			limit = max(request, roundUp(r, limit*request/size))
		}
		request, limit = withinRanges(r, request, limit, ranges)
		set(&to.Requests, r, request)
		if limit > 0 {
			set(&to.Limits, r, limit)
		}
	}
	return to
}

func withinRanges(r corev1.ResourceName, request, limit float64, ranges []*corev1.LimitRange) (float64, float64) {
	eachRange(ranges, corev1.LimitTypeContainer, func(item *corev1.LimitRangeItem) {
		if lowest := amount(item.Min, r); lowest > 0 {
			request = max(request, lowest)
		}
		if highest := amount(item.Max, r); highest > 0 {
			request = min(request, highest)
			if limit == 0 {
				limit = highest
			}
			limit = min(limit, highest)
		}
		if ratio := amountOf(item.MaxLimitRequestRatio, r); ratio > 0 && limit > request*ratio {
			limit = roundDown(r, request*ratio)
		}
	})
	if limit > 0 {
		limit = max(limit, request)
	}
	return request, limit
}

// environment sets the published variables in a container. Options that its manifest has come from the manifest as it is now; only the
// one that bounds the heap is ours. A variable that the manifest takes from elsewhere stays.
func (s *ContainerSize) environment(c *corev1.Container) []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		value := s.Environment[name]
		at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
		if at >= 0 && c.Env[at].ValueFrom != nil {
			continue
		}
		if at >= 0 {
			value = mergeOptions(c.Env[at].Value, value)
		}
		out = append(out, corev1.EnvVar{Name: name, Value: value})
	}
	return out
}

// mergeOptions puts the option that ends the published value into another list of options. A value that is no such option replaces it.
func mergeOptions(list, published string) string {
	options := strings.Fields(published)
	if len(options) == 0 {
		return list
	}
	option := options[len(options)-1]
	switch {
	case nodeOption.MatchString(option):
		return withOption(list, nodeOption, option)
	case jvmMax.MatchString(option):
		return withOption(jvmStart.ReplaceAllString(list, ""), jvmMax, option)
	case jvmShare.MatchString(option):
		if jvmMax.MatchString(list) {
			// The manifest has got a fixed bound since, which would win.
			return list
		}
		return withOption(list, jvmShare, option)
	}
	return published
}
