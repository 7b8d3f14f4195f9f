package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func newKubectlCommand(flags *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "kubectl -- ARGUMENT...",
		Short:   "Run kubectl on the cluster as its administrator",
		Example: "  devcluster kubectl -- get pods --all-namespaces",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			state, err := c.State()
			if err != nil {
				return err
			}
			program := filepath.Join(state.Bin, "kubectl")
			environment := append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
			if err := syscall.Exec(program, append([]string{"kubectl"}, args...), environment); err != nil {
				return fmt.Errorf("run %s: %w", program, err)
			}
			return nil
		},
	}
}

// timeoutContext bounds a command; zero means no bound.
func timeoutContext(cmd *cobra.Command, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(cmd.Context())
	}
	return context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("not ready within %s", timeout))
}
