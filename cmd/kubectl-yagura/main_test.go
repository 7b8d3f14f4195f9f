package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the expected outputs anew")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// run runs a command line and returns what it writes on standard output and standard error.
func run(t *testing.T, in string, args ...string) (out, notes string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot(func() time.Time { return noon })
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetArgs(args)
	root.SetIn(strings.NewReader(in))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "go test ./cmd/kubectl-yagura -update writes %s anew", path)
}

func TestMistakesInArguments(t *testing.T) {
	for want, args := range map[string]string{
		"--output":                  "migrate vpa -o table",
		"--all-namespaces":          "migrate vpa web -A",
		"--from-file":               "migrate vpa --from-file testdata/none.yaml",
		"--format":                  "export web --format json",
		"--path: is for":            "export web --path resources",
		"there is another one":      "export web --format helm --path a --path b",
		"--limit 0: want 1 to 1000": "explain web --limit 0",
		"read kubeconfig":           "explain web --kubeconfig testdata/none",
	} {
		t.Run(want, func(t *testing.T) {
			_, _, err := run(t, "", strings.Fields(args)...)
			assert.ErrorContains(t, err, want)
		})
	}
}
