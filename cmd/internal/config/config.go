// Package config reads the one YAML file of a command.
//
// The file has a section for each room (collector, query, autoscaler); a command
// decodes the sections that concern it, strictly, and leaves the others alone, so
// that one file can serve every binary. Only commands import this package; it
// imports nothing of ours.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// The sections that a file may have.
const (
	Collector  = "collector"
	Query      = "query"
	Autoscaler = "autoscaler"
)

var sections = []string{Autoscaler, Collector, Query}

// File is a read, not yet decoded configuration file.
type File struct {
	path string
	raw  map[string]json.RawMessage
}

// Read reads path. An empty path is an empty file, so that every setting keeps
// its default. A section that no command knows is an error.
func Read(path string) (File, error) {
	if path == "" {
		return File{}, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("--config %s: there is no such file", path)
	}
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse is Read on bytes; path only names them in errors.
func Parse(path string, data []byte) (File, error) {
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	f := File{path: path}
	if err := json.Unmarshal(asJSON, &f.raw); err != nil {
		return File{}, fmt.Errorf("%s: want the sections %s at the top level: %w", path, strings.Join(sections, ", "), err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.raw)) {
		if !slices.Contains(sections, name) {
			return File{}, fmt.Errorf("%s: unknown field %q; the sections are %s", path, name, strings.Join(sections, ", "))
		}
	}
	return f, nil
}

// Decode lays a section of the file over the defaults that into holds. A field
// that into lacks is an error that names it.
func (f File) Decode(section string, into any) error {
	raw, ok := f.raw[section]
	if !ok {
		return nil
	}
	if err := yaml.UnmarshalStrict(raw, into); err != nil {
		return fmt.Errorf("%s: %s: %w", f.path, section, err)
	}
	return nil
}
