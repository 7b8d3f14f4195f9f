// Package crd carries the generated CustomResourceDefinitions inside the binary, so that a development run can install them.
//
// The YAML beside this file is generated together with deploy/crds; a test keeps the two equal. Only the autoscaler's
// composition imports it.
package crd

import (
	"embed"
	"fmt"
)

//go:embed *.yaml
var files embed.FS

// Manifests returns the YAML of every CustomResourceDefinition, one document each, by file name in lexical order.
func Manifests() ([][]byte, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list embedded definitions: %w", err)
	}
	manifests := make([][]byte, 0, len(entries))
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read embedded definition %s: %w", entry.Name(), err)
		}
		manifests = append(manifests, text)
	}
	return manifests, nil
}
