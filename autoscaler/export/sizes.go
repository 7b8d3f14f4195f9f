package export

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Sizes are what a manifest should say.
type Sizes struct {
	Namespace  string
	Policy     string
	Target     v1alpha1.TargetReference
	containers []container
	pod        *corev1.ResourceRequirements
}

// container is what a manifest should say about one container. Absent limits are those that should not be there.
type container struct {
	name        string
	init        bool
	requests    corev1.ResourceList
	limits      corev1.ResourceList
	absent      []corev1.ResourceName
	environment []corev1.EnvVar
}

// For reads the sizes of a policy for the pod template of its target, whatever the policy's mode. Containers that the template does
// not have are left out; of several roles the largest size counts, since a manifest has one. What a pod gets only while it starts is
// left out, too. It is an error when nothing is known.
func For(policy *v1alpha1.WorkloadAutoscaler, template *corev1.PodTemplateSpec) (Sizes, error) {
	name := policy.Namespace + "/" + policy.Name
	if policy.Spec.Vertical == nil {
		return Sizes{}, fmt.Errorf("%s: spec.vertical: the policy sizes nothing", name)
	}
	if policy.Status.Vertical == nil || len(policy.Status.Vertical.Containers) == 0 {
		return Sizes{}, fmt.Errorf("%s: status.vertical: no sizes are known yet", name)
	}
	policy = policy.DeepCopy()
	policy.Spec.Mode, policy.Spec.Vertical.Apply = v1alpha1.Apply, v1alpha1.ApplyOnCreate
	for i := range policy.Status.Vertical.Containers {
		policy.Status.Vertical.Containers[i].Startup = nil
	}
	created := sizing.ForPod(policy, "", &corev1.Pod{Spec: template.Spec}, nil)
	if created.Empty() {
		return Sizes{}, fmt.Errorf("%s: status.vertical: none of its containers is one of the target's", name)
	}
	published := map[string][]sizing.ContainerSize{}
	for _, s := range sizing.FromStatus(policy) {
		published[s.Container] = append(published[s.Container], s)
	}
	sizes := Sizes{Namespace: policy.Namespace, Policy: policy.Name, Target: policy.Spec.TargetRef, pod: created.PodResources}
	for i := range created.Containers {
		sizes.containers = append(sizes.containers, containerOf(&created.Containers[i], published[created.Containers[i].Name]))
	}
	return sizes, nil
}

// containerOf keeps of a created container's resources those that are sized; what else the manifest has is none of ours.
func containerOf(created *sizing.CreatedContainer, published []sizing.ContainerSize) container {
	c := container{name: created.Name, init: created.Init, requests: corev1.ResourceList{}, limits: corev1.ResourceList{}, environment: created.Environment}
	for i := range published {
		for name := range published[i].Requests {
			if request, ok := created.Resources.Requests[name]; ok {
				c.requests[name] = request
			}
			if limit, ok := created.Resources.Limits[name]; ok {
				c.limits[name] = limit
			}
		}
		for _, name := range published[i].RemoveLimits {
			if _, ok := created.Resources.Limits[name]; !ok && !slices.Contains(c.absent, name) {
				c.absent = append(c.absent, name)
			}
		}
	}
	return c
}

// resources is the form that manifests have. A limit that should not be there is null, which takes it away.
func (c *container) resources() map[string]any { return resources(c.requests, c.limits, c.absent) }

func resources(requests, limits corev1.ResourceList, absent []corev1.ResourceName) map[string]any {
	all := map[string]any{}
	if len(requests) > 0 {
		all["requests"] = quantities(requests)
	}
	if len(limits)+len(absent) > 0 {
		l := quantities(limits)
		for _, name := range absent {
			l[string(name)] = nil
		}
		all["limits"] = l
	}
	return all
}

func quantities(list corev1.ResourceList) map[string]any {
	all := make(map[string]any, len(list))
	for name, quantity := range list {
		all[string(name)] = quantity.String()
	}
	return all
}

// variables are what pods should have beside resources.
func (s Sizes) variables() []string {
	names := map[string]struct{}{}
	for i := range s.containers {
		for _, v := range s.containers[i].environment {
			names[fmt.Sprintf("%s=%s in container %s", v.Name, v.Value, s.containers[i].name)] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// encode writes YAML below a line that says where it is from. Keys are sorted.
func (s Sizes) encode(value any, comments ...string) ([]byte, error) {
	body, err := yaml.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode sizes: %w", err)
	}
	text := fmt.Appendf(nil, "# Sizes of %s %s, by WorkloadAutoscaler %s/%s.\n", s.Target.Kind, s.Target.Name, s.Namespace, s.Policy)
	for _, comment := range comments {
		text = fmt.Appendf(text, "# %s\n", comment)
	}
	return append(text, body...), nil
}
