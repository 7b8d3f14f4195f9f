//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// browser runs the interface's own browser script against a platform.
func browser(t *testing.T, ctx context.Context, url string, args ...string) {
	t.Helper()
	ui, err := filepath.Abs(filepath.Join("..", "..", "..", "ui"))
	if err != nil {
		t.Fatal(err)
	}
	shots := os.Getenv("YAGURA_SCREENSHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", append([]string{"run", "--silent", "e2e", "--", "--url", url, "--screenshots", shots}, args...)...)
	cmd.Dir = ui
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("browser: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// seenInUI checks that the autoscaling page shows an autoscaler's newest decision.
func (f *fleet) seenInUI(t *testing.T, ctx context.Context, name, text string) {
	t.Helper()
	browser(t, ctx, f.url, "--page", "/autoscaling/"+shopNamespace+"/"+name, "--expect", text)
}

// everyPage opens all pages, dark and light, while the platform and the shop run.
func (f *fleet) everyPage(t *testing.T) {
	browser(t, t.Context(), f.url)
}
