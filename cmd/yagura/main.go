// Command yagura is the whole platform in one process (yagura up) and its users'
// command line (yagura logs, yagura metrics, yagura replay, yagura plan).
//
// It imports cmd/internal, which composes the rooms; nothing imports it.
package main

import (
	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() { lifecycle.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "yagura",
		Short: "Watch a Kubernetes cluster and scale it",
	}
	root.AddCommand(newUp(), newLogs(), newMetrics(), newBench(), newReplay(), newPlan(), newSnapshot(), newRestore())
	return root
}
