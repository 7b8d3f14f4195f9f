// Command yagura is the whole platform in one process (yagura up) and its users'
// command line (yagura logs, yagura metrics). Installed as kubectl-yagura it is a
// kubectl plugin.
//
// It imports cmd/internal, which composes the rooms; nothing imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/buildinfo"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() {
	ctx, cancel := lifecycle.Context()
	defer cancel()
	if err := newRoot().ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "yagura:", err)
		cancel()
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "yagura",
		Short:         "Watch a Kubernetes cluster and scale it",
		Version:       buildinfo.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newUp(), newLogs(), newMetrics())
	return root
}
