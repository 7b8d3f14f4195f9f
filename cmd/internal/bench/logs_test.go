package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// publicData finds the folder of public data beside the repository.
func publicData(t testing.TB) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "shared", "data")
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(serviceArchive))); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the public data is missing: %v", err)
		}
		t.Skipf("SKIPPED: the public data is missing: %v", err)
	}
	return dir
}

var someEnd = time.Unix(1_700_000_000, 0)

// TestWholeLogs holds the data against its published counts.
func TestWholeLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 130 MB")
	}
	for name, tc := range map[string]struct {
		copies, lines, streams, failed, needle int
		bytes                                  int64
	}{
		"one": {1, 268_595, 28, 293, 99, 130_109_843},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := readLogs(t.Context(), publicData(t), someEnd, tc.copies, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, truth, err := prepareLogs(t.Context(), d, filepath.Join(t.TempDir(), "logs"))
			if err != nil {
				t.Fatal(err)
			}
			streams := 0
			for _, s := range truth.streams {
				if s.Lines > 0 {
					streams++
				}
			}
			t.Logf("%+v", truth.needles)
			if truth.lines != tc.lines || truth.bytes != tc.bytes || streams != tc.streams {
				t.Errorf("%d lines, %d bytes, %d streams; want %d, %d, %d", truth.lines, truth.bytes, streams, tc.lines, tc.bytes, tc.streams)
			}
			if truth.needles.trace != "fcb23d04a51880ef0ff907e007463530" || truth.needles.substring != "da74a0f87" || truth.needles.pod != busyPod {
				t.Errorf("needles %+v", truth.needles)
			}
			if int(truth.failedTotal) != tc.failed || truth.traceLines.seen != tc.needle || truth.substring.seen != 11 {
				t.Errorf("%v lines match the regular expression, %d have the trace id, %d the substring", truth.failedTotal, truth.traceLines.seen, truth.substring.seen)
			}
			var rows, size float64
			for status, n := range truth.byStatus {
				rows += n
				size += truth.sizeByStatus[status]
			}
			if copies := float64(tc.copies); rows != 100_000*copies || size != 1_180_926_903*copies {
				t.Errorf("the access log has %v lines with %v bytes of answers", rows, size)
			}
		})
	}
}
