package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestForbiddenImportIsNamed builds the tool and runs it on a module of the same
// name with one forbidden import and one allowed one.
func TestForbiddenImportIsNamed(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "importrules")
	run(t, ".", "go", "build", "-o", tool, ".")
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module "+module+"\n\ngo 1.26\n")
	write("query/ingest/ingest.go", "package ingest\n")
	write("collector/ship/ship.go", "package ship\n\nimport _ \""+module+"/query/ingest\"\n")
	write("query/logs/logs.go", "package logs\n\nimport _ \""+module+"/query/ingest\"\n")
	write("query/columnar/store.go", "package columnar\n\nimport _ \"net/http\"\n")

	out := run(t, dir, "go", "vet", "-vettool="+tool, "./...")
	for _, want := range []string{"ship.go:3", separate, "store.go:3", store} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "logs.go") {
		t.Errorf("an allowed import is refused:\n%s", out)
	}
}

// run returns what the command printed. Building must work; vet must find something.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if wantFailure := args[0] == "vet"; (err != nil) != wantFailure {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
