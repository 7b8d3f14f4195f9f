package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

func TestMigrateFromAFile(t *testing.T) {
	out, notes, err := run(t, "", "migrate", "vpa", "--from-file", "testdata/vpas.yaml", "--with-hpa")
	require.NoError(t, err)
	golden(t, "migrated.yaml", out)
	golden(t, "migrated.notes", notes)
	for document := range strings.SplitSeq(out, "---\n") {
		var policy v1alpha1.WorkloadAutoscaler
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &policy))
		assert.Equal(t, v1alpha1.Recommend, policy.Spec.Mode)
	}

	one, _, err := run(t, "", "migrate", "vpa", "batch", "--from-file", "testdata/vpas.yaml")
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(out, one), "the second of both")
	asJSON, _, err := run(t, "", "migrate", "vpa", "batch", "--from-file", "testdata/vpas.yaml", "-o", "json")
	require.NoError(t, err)
	asYAML, err := yaml.JSONToYAML([]byte(asJSON))
	require.NoError(t, err)
	assert.Equal(t, one, string(asYAML))
}

func TestMigrateMistakes(t *testing.T) {
	const vpa = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: web}\n"
	for name, tc := range map[string]struct{ in, out, err string }{
		"no YAML":             {in: "a: [", err: "standard input: document 1: "},
		"a key twice":         {in: "a: 1\na: 2\n", err: `document 1: error converting YAML to JSON: yaml: unmarshal errors:`},
		"a misspelled field":  {in: "---\n" + vpa + "spec: {targetRef: {kind: Deployment, name: web}, updatePolcy: {}}\n", err: `VerticalPodAutoscaler web: strict decoding error: unknown field "spec.updatePolcy"`},
		"another type":        {in: vpa + "spec: {targetRef: 7}\n", err: "VerticalPodAutoscaler web: "},
		"a list of none":      {in: "kind: List\nitems: [7]\n", err: "items[0]: not an object"},
		"an old HPA":          {in: "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n", err: "HorizontalPodAutoscaler web: apiVersion: want autoscaling/v2, not autoscaling/v1"},
		"no target":           {in: vpa + "spec: {}\n", err: "spec.targetRef"},
		"one that cannot be":  {in: vpa + "spec: {}\n---\n" + strings.ReplaceAll(vpa, "web", "ok") + "spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: ok}}\n", out: "name: ok", err: "spec.targetRef"},
		"nobody of that name": {in: vpa + "spec: {}\n", err: "there is no VerticalPodAutoscaler other"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"migrate", "vpa", "-f", "-"}
			if strings.Contains(tc.err, "other") {
				args = append(args, "other")
			}
			out, _, err := run(t, tc.in, args...)
			assert.ErrorContains(t, err, tc.err)
			assert.Contains(t, out, tc.out, "what can be migrated is")
			if tc.out == "" {
				assert.Empty(t, out)
			}
		})
	}
	out, notes, err := run(t, "kind: Service\n", "migrate", "vpa", "-f", "-")
	require.NoError(t, err)
	assert.Empty(t, out)
	assert.Equal(t, "No VerticalPodAutoscalers found.\n", notes)
}

func FuzzManifests(f *testing.F) {
	f.Add("apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: web}\nspec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n---\nkind: List\nitems: [{kind: x}]\n")
	f.Add("{\"items\": [{\"items\": []}]}")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := manifests(strings.NewReader(text), "fuzz")
		if err != nil {
			return
		}
		var o migrateOptions
		var out, notes strings.Builder
		_ = o.migrate(&out, &notes, found)
	})
}
