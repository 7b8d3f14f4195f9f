package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultHelmPath is where most charts have the resources of their one container.
const DefaultHelmPath = "resources"

// containerName stands for a container's name in a path.
const containerName = "NAME"

// Helm is a file of Helm values. Paths say where a chart has the resources of a container, by its name or "*" for all others, as names
// with dots between them; a dot within a name is written \. and NAME stands for the container's name. Without any, it is
// DefaultHelmPath. A path of its own, empty, leaves a container out. Variables are not among the values, as each chart has its own
// form for them; comments name them.
func (s Sizes) Helm(paths map[string]string) ([]byte, error) {
	if len(paths) == 0 {
		paths = map[string]string{"*": DefaultHelmPath}
	}
	if err := s.known(paths); err != nil {
		return nil, err
	}
	values, taken := map[string]any{}, map[string]string{}
	for i := range s.containers {
		c := &s.containers[i]
		path, ok := paths[c.name]
		if !ok {
			path, ok = paths["*"]
		}
		if !ok {
			return nil, fmt.Errorf("container %s: no path says where the chart has its resources", c.name)
		}
		if path == "" || len(c.resources()) == 0 {
			continue
		}
		if other, ok := taken[resolve(path, c.name)]; ok {
			return nil, fmt.Errorf("containers %s and %s: both are at %s; name a path for each, or use %s in it", other, c.name, path, containerName)
		}
		taken[resolve(path, c.name)] = c.name
		if err := put(values, split(path, c.name), c.resources()); err != nil {
			return nil, fmt.Errorf("container %s: path %s: %w", c.name, path, err)
		}
	}
	var comments []string
	for _, v := range s.variables() {
		comments = append(comments, "Set as well: "+v)
	}
	return s.encode(values, comments...)
}

// known says which path is about no container.
func (s Sizes) known(paths map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if name != "*" && !slices.ContainsFunc(s.containers, func(c container) bool { return c.name == name }) {
			return fmt.Errorf("container %s: no size is known for one of that name", name)
		}
	}
	return nil
}

func resolve(path, container string) string {
	return strings.Join(split(path, container), "\x00")
}

// split cuts a path at its dots and puts a container's name where it belongs.
func split(path, container string) []string {
	const escaped = "\x00"
	names := strings.Split(strings.ReplaceAll(path, `\.`, escaped), ".")
	for i, name := range names {
		if name == containerName {
			name = container
		}
		names[i] = strings.ReplaceAll(name, escaped, ".")
	}
	return names
}

// put sets a value in nested maps.
func put(values map[string]any, path []string, value map[string]any) error {
	if slices.Contains(path, "") {
		return fmt.Errorf("a name between its dots is empty")
	}
	for _, name := range path[:len(path)-1] {
		next, ok := values[name].(map[string]any)
		if !ok {
			if _, taken := values[name]; taken {
				return fmt.Errorf("%s holds another container's resources", name)
			}
			next = map[string]any{}
			values[name] = next
		}
		values = next
	}
	last := path[len(path)-1]
	if _, taken := values[last]; taken {
		return fmt.Errorf("%s holds something of another container", last)
	}
	values[last] = value
	return nil
}
