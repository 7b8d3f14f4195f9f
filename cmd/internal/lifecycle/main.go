package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/buildinfo"
)

// Main runs a program's command until it ends or a signal ends it. An error is
// printed under the program's name and makes the process exit with 1.
func Main(cmd *cobra.Command) {
	cmd.Version, cmd.SilenceUsage, cmd.SilenceErrors = buildinfo.String(), true, true
	ctx, cancel := Context()
	defer cancel()
	if err := cmd.ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name(), err)
		cancel()
		os.Exit(1)
	}
}

// Registry is a program's metrics registry, with what every program tells of
// itself in it.
func Registry(component string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(buildinfo.Collector(component), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
