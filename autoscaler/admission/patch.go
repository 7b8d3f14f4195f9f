package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// operation is one operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch is the difference between a pod and its sized copy, in the few places where sizing changes something. A general difference of
// what both encode to would remove every field that a newer API server knows and this program does not.
type patch struct {
	// raw is the pod as it came.
	raw        map[string]any
	operations []operation
}

func newPatch(raw []byte, pod, sized *corev1.Pod, note string) ([]operation, error) {
	p := &patch{}
	if err := utiljson.Unmarshal(raw, &p.raw); err != nil {
		return nil, fmt.Errorf("decode pod: %w", err)
	}
	p.containers("initContainers", pod.Spec.InitContainers, sized.Spec.InitContainers)
	p.containers("containers", pod.Spec.Containers, sized.Spec.Containers)
	if after := sized.Spec.Resources; after != nil {
		before := corev1.ResourceRequirements{}
		if pod.Spec.Resources != nil {
			before = *pod.Spec.Resources
		}
		p.resources([]string{"spec", "resources", "requests"}, before.Requests, after.Requests)
		p.resources([]string{"spec", "resources", "limits"}, before.Limits, after.Limits)
	}
	if pod.Annotations[Annotation] != note {
		p.add(note, "metadata", "annotations", Annotation)
	}
	return p.operations, nil
}

func (p *patch) containers(list string, before, after []corev1.Container) {
	for i := range before {
		b, a := &before[i], &after[i]
		at := []string{"spec", list, strconv.Itoa(i)}
		p.resources(append(at, "resources", "requests"), b.Resources.Requests, a.Resources.Requests)
		p.resources(append(at, "resources", "limits"), b.Resources.Limits, a.Resources.Limits)
		p.environment(append(at, "env"), b.Env, a.Env)
	}
}

// environment sets what changed and appends what is new.
func (p *patch) environment(path []string, before, after []corev1.EnvVar) {
	if len(before) == 0 {
		if len(after) > 0 {
			p.add(after, path...)
		}
		return
	}
	for i, v := range after {
		switch {
		case i >= len(before):
			p.add(v, slices.Concat(path, []string{"-"})...)
		case before[i].Value != v.Value:
			p.add(v.Value, slices.Concat(path, []string{strconv.Itoa(i), "value"})...)
		}
	}
}

func (p *patch) resources(path []string, before, after corev1.ResourceList) {
	switch {
	case equality.Semantic.DeepEqual(before, after):
	case len(after) == 0:
		p.operations = append(p.operations, operation{Op: "remove", Path: pointer(path)})
	default:
		p.add(after, path...)
	}
}

// add sets a member of an object, which may be there already, and makes the objects on the way that are not.
func (p *patch) add(value any, path ...string) {
	for i := 1; i < len(path); i++ {
		if _, ok := lookup(p.raw, path[:i]); !ok {
			// Everything below is missing, too.
			for _, key := range slices.Backward(path[i:]) {
				value = map[string]any{key: value}
			}
			p.operations = append(p.operations, operation{"add", pointer(path[:i]), value})
			p.fill(path[:i], value)
			return
		}
	}
	p.operations = append(p.operations, operation{"add", pointer(path), value})
}

// fill remembers that an operation has made an object.
func (p *patch) fill(path []string, value any) {
	parent, _ := lookup(p.raw, path[:len(path)-1])
	if object, ok := parent.(map[string]any); ok {
		object[path[len(path)-1]] = value
	}
}

// lookup finds what stands at a path. Null is as good as nothing.
func lookup(in any, path []string) (any, bool) {
	for _, key := range path {
		switch node := in.(type) {
		case map[string]any:
			in = node[key]
		case []any:
			at, err := strconv.Atoi(key)
			if err != nil || at < 0 || at >= len(node) {
				return nil, false
			}
			in = node[at]
		default:
			return nil, false
		}
	}
	return in, in != nil
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer writes a path as a JSON pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, key := range path {
		b.WriteByte('/')
		b.WriteString(pointerEscapes.Replace(key))
	}
	return b.String()
}
