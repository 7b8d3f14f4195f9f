// Package buildinfo says which build of Yagura is running. Only commands import
// it; it imports nothing of ours.
package buildinfo

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Set by the linker (see the Makefile).
var (
	version = "dev"
	commit  = "unknown"
)

// Version is the release, or the nearest tag and commit, or "dev".
func Version() string { return version }

// String is the line that --version prints.
func String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// Collector exports yagura_build_info, a gauge that is always 1.
func Collector(component string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "yagura_build_info",
		Help: "The build that is running; always 1.",
		ConstLabels: prometheus.Labels{
			"component": component, "version": version, "commit": commit, "goversion": runtime.Version(),
		},
	}, func() float64 { return 1 })
}
