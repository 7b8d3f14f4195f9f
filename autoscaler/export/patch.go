package export

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// templates say where a kind has its pods' spec.
var templates = map[schema.GroupKind][]string{
	{Group: "apps", Kind: "Deployment"}:  {"spec", "template", "spec"},
	{Group: "apps", Kind: "StatefulSet"}: {"spec", "template", "spec"},
	{Group: "apps", Kind: "DaemonSet"}:   {"spec", "template", "spec"},
	{Group: "apps", Kind: "ReplicaSet"}:  {"spec", "template", "spec"},
	{Group: "batch", Kind: "Job"}:        {"spec", "template", "spec"},
	{Group: "batch", Kind: "CronJob"}:    {"spec", "jobTemplate", "spec", "template", "spec"},
}

// Patch is a strategic merge patch of the target: kubectl patch --patch-file, or a patch of kustomize.
func (s Sizes) Patch() ([]byte, error) {
	patch, err := s.patch(true)
	if err != nil {
		return nil, err
	}
	return s.encode(patch)
}

func (s Sizes) patch(namespaced bool) (map[string]any, error) {
	gvk := schema.FromAPIVersionAndKind(s.Target.APIVersion, s.Target.Kind)
	path, ok := templates[gvk.GroupKind()]
	if !ok {
		return nil, fmt.Errorf("targetRef: %s of %s: lists of containers can be patched by name in Kubernetes' own kinds only", s.Target.Kind, s.Target.APIVersion)
	}
	metadata := map[string]any{"name": s.Target.Name}
	if namespaced {
		metadata["namespace"] = s.Namespace
	}
	var patch any = s.podSpec()
	for i := len(path) - 1; i > 0; i-- {
		patch = map[string]any{path[i]: patch}
	}
	return map[string]any{"apiVersion": s.Target.APIVersion, "kind": s.Target.Kind, "metadata": metadata, path[0]: patch}, nil
}

func (s Sizes) podSpec() map[string]any {
	spec := map[string]any{}
	lists := map[bool][]any{}
	for i := range s.containers {
		c := &s.containers[i]
		entry := map[string]any{"name": c.name}
		if r := c.resources(); len(r) > 0 {
			entry["resources"] = r
		}
		if len(c.environment) > 0 {
			env := make([]any, len(c.environment))
			for j, v := range c.environment {
				env[j] = map[string]any{"name": v.Name, "value": v.Value}
			}
			entry["env"] = env
		}
		lists[c.init] = append(lists[c.init], entry)
	}
	if lists[false] != nil {
		spec["containers"] = lists[false]
	}
	if lists[true] != nil {
		spec["initContainers"] = lists[true]
	}
	if s.pod != nil {
		if r := resources(s.pod.Requests, s.pod.Limits, nil); len(r) > 0 {
			spec["resources"] = r
		}
	}
	return spec
}

// Kustomize is a kustomization of kind Component that patches the target. It is the kustomization.yaml of a folder that an overlay
// names under components; its entry under patches can also be copied into any kustomization. The target is found by kind and name in
// whatever namespace the overlay puts it.
func (s Sizes) Kustomize() ([]byte, error) {
	patch, err := s.patch(false)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	gvk := schema.FromAPIVersionAndKind(s.Target.APIVersion, s.Target.Kind)
	return s.encode(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component",
		"patches": []any{map[string]any{
			"target": map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind, "name": s.Target.Name},
			"patch":  string(text),
		}},
	})
}
