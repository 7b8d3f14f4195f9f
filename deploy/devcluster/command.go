package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/build"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/cluster"
)

const longHelp = `devcluster starts a real Kubernetes on this machine for development and tests.

In fleet mode (the default) the control plane listens on loopback and kwok
simulates the nodes; it needs no privileges. In node mode (Linux, root) each
node is a real kubelet with containerd in namespaces of its own.

Everything that belongs to a cluster is in one folder, so that several can run
side by side: --dir, else $YAGURA_DEVCLUSTER_DIR, else
$XDG_STATE_HOME/yagura/devcluster (~/.local/state without XDG_STATE_HOME).
Kubernetes is compiled once, by "devcluster build" or the first "devcluster up",
into $YAGURA_CACHE, else the folder yagura in your cache folder.`

const examples = `  devcluster up --nodes 10
  export KUBECONFIG=$(devcluster kubeconfig)
  devcluster kubectl -- get nodes
  devcluster down      # stop and keep the data
  devcluster reset     # stop and delete`

// commonFlags are the flags of all commands.
type commonFlags struct {
	dir string
}

// newCommand returns the root command.
func newCommand() *cobra.Command {
	flags := &commonFlags{}
	root := &cobra.Command{
		Use:           "devcluster",
		Short:         "A real Kubernetes for development, from one command",
		Long:          longHelp,
		Example:       examples,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&flags.dir, "dir", "", "the cluster's folder (default as described above)")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newBuildCommand(),
		newUpCommand(flags),
		newDownCommand(flags),
		newStatusCommand(flags),
		newKubeconfigCommand(flags),
		newKubectlCommand(flags),
		newResetCommand(flags),
		newNodeCommand(flags),
	)
	root.AddCommand(platformCommands(flags)...)
	return root
}

// cluster returns the cluster that the flags name, telling progress on the
// command's error output, so that its output can be used by scripts.
func (f *commonFlags) cluster(cmd *cobra.Command) (*cluster.Cluster, error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	return cluster.New(dir, cmd.ErrOrStderr())
}

func (f *commonFlags) folder() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	if dir := os.Getenv("YAGURA_DEVCLUSTER_DIR"); dir != "" {
		return dir, nil
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the state folder: %w (use --dir)", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "yagura", "devcluster"), nil
}

func newBuilder() (*build.Builder, error) { return build.New(sources, "") }

func newBuildCommand() *cobra.Command {
	var options build.Options
	var prune bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Compile Kubernetes, etcd and kwok into the cache",
		Long: `Compiles kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, etcd
and kwok (on Linux also kubelet and kube-proxy) from Go modules into the cache,
unless they are there, and prints the folder. It needs the Go toolchain and,
from nothing, about ten minutes on two cores.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			builder, err := newBuilder()
			if err != nil {
				return err
			}
			options.Progress = cmd.ErrOrStderr()
			if err := builder.Build(cmd.Context(), options); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), builder.Bin())
			if !prune {
				return nil
			}
			deleted, err := builder.Prune()
			for _, dir := range deleted {
				fmt.Fprintln(cmd.ErrOrStderr(), "Deleted", dir)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&prune, "prune", false, "delete the binaries of other versions afterwards")
	niceFlag(cmd, &options.Nice)
	cmd.Flags().BoolVar(&options.Force, "force", false, "compile although the cache has the binaries")
	return cmd
}

func niceFlag(cmd *cobra.Command, nice *int) {
	cmd.Flags().IntVar(nice, "nice", 0, "lower the compiler's priority by 1 to 19")
}

func newUpCommand(flags *commonFlags) *cobra.Command {
	var mode string
	var nodes, nice int
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up, creating it if there is none",
		Long: `Brings the cluster up and returns when its nodes are ready. It is created if
there is none; what runs already is left alone and what has died is started
again. The processes run on after the command, each with a log file in the
folder log of the cluster's folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			options := cluster.UpOptions{Nodes: -1}
			if mode != "" {
				if options.Mode, err = cluster.ParseMode(mode); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed("nodes") {
				if nodes < 0 {
					return fmt.Errorf("--nodes %d: must not be negative", nodes)
				}
				options.Nodes = nodes
			}
			builder, err := newBuilder()
			if err != nil {
				return err
			}
			if err := builder.Build(cmd.Context(), build.Options{Nice: nice, Progress: cmd.ErrOrStderr()}); err != nil {
				return err
			}
			if err := binaries(builder, &options); err != nil {
				return err
			}
			ctx, cancel := timeoutContext(cmd, timeout)
			defer cancel()
			if err := c.Up(ctx, options); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Kubernetes %s is up. export KUBECONFIG=%s\n", builder.Version(), c.Kubeconfig())
			return nil
		},
	}
	cmd.Flags().StringVar(&mode, "mode", "", "fleet or node (default: what the cluster is, fleet for a new one)")
	cmd.Flags().IntVar(&nodes, "nodes", 0, "how many nodes (default: what the cluster has; 3 for a new fleet, 2 real ones)")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Minute, "how long to wait until all is ready, compiling not included")
	niceFlag(cmd, &nice)
	return cmd
}

// binaries fills in what the cached binaries and this program are.
func binaries(builder *build.Builder, options *cluster.UpOptions) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	options.Self, options.Bin, options.Version = self, builder.Bin(), builder.Version()
	return nil
}

func newDownCommand(flags *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster and keep its data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			return c.Down(cmd.Context())
		},
	}
}

func newResetCommand(flags *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Stop the cluster and delete it with all its data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			return c.Reset(cmd.Context())
		},
	}
}

func newKubeconfigCommand(flags *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			if _, err := c.State(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
			return nil
		},
	}
}

func newNodeCommand(flags *commonFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Add, remove and switch nodes of a running cluster",
	}
	var timeout time.Duration
	var labels map[string]string
	var taints []string
	cmd.PersistentFlags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait")
	for _, action := range []struct {
		name, short string
		run         func(cmd *cobra.Command, c *cluster.Cluster, name string, options cluster.UpOptions) error
	}{
		{"add", "Add a node and wait until it is ready", func(cmd *cobra.Command, c *cluster.Cluster, name string, options cluster.UpOptions) error {
			spec := cluster.NodeSpec{Labels: labels}
			for _, text := range taints {
				taint, err := parseTaint(text)
				if err != nil {
					return fmt.Errorf("--taint %w", err)
				}
				spec.Taints = append(spec.Taints, taint)
			}
			return c.AddNode(cmd.Context(), name, spec, options)
		}},
		{"remove", "Remove a node for good", func(cmd *cobra.Command, c *cluster.Cluster, name string, _ cluster.UpOptions) error {
			return c.RemoveNode(cmd.Context(), name)
		}},
		{"poweroff", "Take a node's power away, without telling the control plane", func(cmd *cobra.Command, c *cluster.Cluster, name string, _ cluster.UpOptions) error {
			return c.PowerOff(cmd.Context(), name)
		}},
		{"poweron", "Start a node that was powered off and wait until it is ready", func(cmd *cobra.Command, c *cluster.Cluster, name string, options cluster.UpOptions) error {
			return c.PowerOn(cmd.Context(), name, options)
		}},
	} {
		sub := &cobra.Command{
			Use:   action.name + " NAME",
			Short: action.short,
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := flags.cluster(cmd)
				if err != nil {
					return err
				}
				builder, err := newBuilder()
				if err != nil {
					return err
				}
				if !builder.Ready() {
					return errors.New(`the cache has no binaries of this version; run "devcluster up" first`)
				}
				var options cluster.UpOptions
				if err := binaries(builder, &options); err != nil {
					return err
				}
				ctx, cancel := timeoutContext(cmd, timeout)
				defer cancel()
				cmd.SetContext(ctx)
				return action.run(cmd, c, args[0], options)
			},
		}
		if action.name == "add" {
			sub.Flags().StringToStringVar(&labels, "label", nil, "a label KEY=VALUE that the node registers with; may be repeated")
			sub.Flags().StringArrayVar(&taints, "taint", nil, "a taint KEY[=VALUE]:EFFECT that the node registers with; may be repeated")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

// parseTaint reads KEY[=VALUE]:EFFECT.
func parseTaint(text string) (corev1.Taint, error) {
	rest, effect, _ := strings.Cut(text, ":")
	key, value, _ := strings.Cut(rest, "=")
	taint := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
	switch taint.Effect {
	case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
	default:
		return taint, fmt.Errorf("%q: the effect must be NoSchedule, PreferNoSchedule or NoExecute", text)
	}
	if key == "" {
		return taint, fmt.Errorf("%q: the key is missing", text)
	}
	return taint, nil
}
