package crd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEmbeddedDefinitionsAreTheDeployedOnes(t *testing.T) {
	manifests, err := Manifests()
	require.NoError(t, err)
	files, err := filepath.Glob("../../../../deploy/crds/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, len(manifests))
	for i, file := range files {
		deployed, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(deployed), string(manifests[i]), "run controller-gen for both folders")
	}
}
