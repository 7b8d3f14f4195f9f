package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/image"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/node"
)

// platformCommands are the commands of node mode.
func platformCommands(flags *commonFlags) []*cobra.Command {
	images := &cobra.Command{Use: "image", Short: "Give container images to the nodes of node mode"}
	images.AddCommand(newImageLoadCommand(flags))
	return []*cobra.Command{images, newExecCommand(flags), newGatewayCommand(), newNodeInitCommand()}
}

func newImageLoadCommand(flags *commonFlags) *cobra.Command {
	var config image.Config
	var binaries, files, entrypoint []string
	cmd := &cobra.Command{
		Use:   "load --name NAME --binary FILE...",
		Short: "Pack static binaries as an image and give it to every node",
		Long: `Packs static binaries as a container image that holds little else, and gives it
to every node, now and when a node is started or added later. Binaries are put
into ` + image.BinaryDir + `; the first is what the image runs. There is no registry: a pod that
names the image must not ask for it to be pulled always.`,
		Example: `  devcluster image load --name yagura-collector:dev --binary bin/yagura-collector`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if config.Files, config.Entrypoint, err = image.Binaries(binaries); err != nil {
				return err
			}
			for _, file := range files {
				source, target, ok := strings.Cut(file, ":")
				if !ok || !filepath.IsAbs(target) {
					return fmt.Errorf("--file %q: want SOURCE:/TARGET", file)
				}
				config.Files = append(config.Files, image.File{Source: source, Target: target})
			}
			if len(entrypoint) > 0 {
				config.Entrypoint = entrypoint
			}
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			return c.LoadImage(cmd.Context(), config)
		},
	}
	cmd.Flags().StringVar(&config.Name, "name", "", "the image's name, such as yagura-collector:dev")
	cmd.Flags().StringArrayVar(&binaries, "binary", nil, "a static binary; may be repeated")
	cmd.Flags().StringArrayVar(&files, "file", nil, "another file, as SOURCE:/TARGET; may be repeated")
	cmd.Flags().StringSliceVar(&entrypoint, "entrypoint", nil, "what the image runs (default: the first binary)")
	cmd.Flags().StringVar(&config.User, "user", "", "the user it runs as (default: root)")
	for _, name := range []string{"name", "binary"} {
		_ = cmd.MarkFlagRequired(name) // Fails for a flag that is not defined only.
	}
	return cmd
}

func newExecCommand(flags *commonFlags) *cobra.Command {
	var nodeName string
	cmd := &cobra.Command{
		Use:   "exec [--node NAME] -- COMMAND...",
		Short: "Run a command inside the cluster's network, or inside a node (node mode)",
		Long: `Runs a command of this machine in the network of the control plane, from which
nodes, pods and Services' endpoints are reachable, or in all namespaces of a
node.`,
		Example: `  devcluster exec -- curl http://10.244.1.2:8080/
  devcluster exec --node n1 -- ps ax`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			return c.Exec(nodeName, args)
		},
	}
	cmd.Flags().StringVar(&nodeName, "node", "", "enter this node")
	return cmd
}

// newGatewayCommand and newNodeInitCommand are processes that devcluster starts
// for itself.
func newGatewayCommand() *cobra.Command {
	return &cobra.Command{
		Use: "gateway TARGET", Short: "Hold the cluster's network (used by devcluster itself)", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return node.RunGateway(cmd.Context(), args[0]) },
	}
}

func newNodeInitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "node-init SETTINGS", Short: "Be a node's first process (used by devcluster itself)", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return node.RunInit(args[0]) },
	}
}
