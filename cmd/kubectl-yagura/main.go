// Command kubectl-yagura is a plugin of kubectl: kubectl yagura. It makes policies of
// VerticalPodAutoscalers, writes sizes in the forms in which manifests are kept, and says
// in sentences what a WorkloadAutoscaler does and why, and why a node is there and stays. It changes nothing in a cluster.
//
// It imports cmd/internal and, of autoscaler, the packages api, decision, export, fleet and vpa;
// nothing imports it.
package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() { lifecycle.Main(newRoot(time.Now)) }

func newRoot(now func() time.Time) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-yagura",
		Short: "Look at WorkloadAutoscalers, export their sizes, migrate to them",
		// What people type, and so what usage lines say.
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl yagura"},
	}
	migrate := &cobra.Command{Use: "migrate", Short: "Make policies of what scaled workloads until now"}
	migrate.AddCommand(newMigrateVPA())
	root.AddCommand(migrate, newExport(), newExplain(now))
	return root
}
