package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Group is a number of nodes that are alike.
type Group struct {
	// Name is the group's ID.
	Name string `json:"name"`
	// Prefix begins the names of its nodes, which end in a number. Empty means the name and a dash.
	Prefix string `json:"prefix,omitempty"`
	// Min and Max bound the number of nodes.
	Min int `json:"min,omitempty"`
	Max int `json:"max"`
	// PricePerHour is what a node costs.
	PricePerHour float64 `json:"pricePerHour,omitempty"`
	// Labels and Taints are those that nodes register with.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	// Resources are what a new node is expected to have. Empty means: as much as a node that there is, all of which are on the
	// same machine.
	Resources corev1.ResourceList `json:"resources,omitempty"`
}

// groupLabel names a node's group on the node.
const groupLabel = "devcluster.yagura.dev/group"

func (g Group) prefix() string {
	if g.Prefix != "" {
		return g.Prefix
	}
	return g.Name + "-"
}

// node is the name of the group's node of a number.
func (g Group) node(number int) string { return g.prefix() + strconv.Itoa(number) }

// number is the one in the name of a node of the group.
func (g Group) number(node string) (int, bool) {
	digits, ok := strings.CutPrefix(node, g.prefix())
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && g.node(n) == node
}

// labels are all that its nodes register with.
func (g Group) labels() map[string]string {
	out := map[string]string{groupLabel: g.Name, corev1.LabelInstanceTypeStable: "devcluster-" + g.Name}
	for key, value := range g.Labels {
		out[key] = value
	}
	return out
}

func readConfig(path string) ([]Group, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	var file struct {
		Groups []Group `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, fmt.Errorf("--config %s: %w", path, err)
	}
	return file.Groups, nil
}

func validate(groups []Group) error {
	if len(groups) == 0 {
		return fmt.Errorf("there is no group: use --group or --config")
	}
	for i, g := range groups {
		if problems := validation.IsDNS1123Label(g.node(1)); g.Name == "" || len(problems) > 0 {
			return fmt.Errorf("group %q: its nodes cannot be called %q", g.Name, g.node(1))
		}
		if g.Min < 0 || g.Max < g.Min || g.Max > math.MaxInt16 {
			return fmt.Errorf("group %s: min %d and max %d are no bounds", g.Name, g.Min, g.Max)
		}
		if !(g.PricePerHour >= 0) {
			return fmt.Errorf("group %s: pricePerHour must not be negative", g.Name)
		}
		for _, other := range groups[:i] {
			if other.Name == g.Name || other.prefix() == g.prefix() {
				return fmt.Errorf("group %s: there are two of this name, or with nodes of the same names", g.Name)
			}
		}
	}
	return nil
}
