// Command yagura-collector is the node agent: it reads this node's metrics and logs,
// receives OTLP, and ships all of it to a query service, or to any OTLP backend.
//
// It imports cmd/internal, which composes the rooms; nothing imports it.
package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/agent"
	"github.com/yagura-dev/yagura/cmd/internal/config"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() { lifecycle.Main(newCommand()) }

type options struct {
	config, data, http, hostRoot string
	flags                        agent.Flags
	log                          lifecycle.LogFlags
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "yagura-collector", Short: "Yagura's node agent", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file; this command reads its collector section, and flags win over it")
	f.StringVar(&o.data, "data", "yagura-data", "folder for the disk queue")
	f.StringVar(&o.http, "http", "127.0.0.1:9429", `address of /healthz, /readyz and /metrics, or "off"`)
	f.StringVar(&o.hostRoot, "host-root", "", "folder that the node's /proc and /sys are mounted below, in a container")
	o.flags.Register(f)
	f.StringVar(&o.flags.Node, "node-name", "", "this node's name in Kubernetes; without it no pods are watched")
	f.StringVar(&o.flags.Kubeconfig, "kubeconfig", "", "kubeconfig; without it, the service account of the pod")
	f.StringVar(&o.flags.QueryURL, "query-url", "http://127.0.0.1:9428", "the query service")
	o.log.Register(f)
	return cmd
}

func (o options) run(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	logger, err := o.log.Logger(os.Stderr)
	if err != nil {
		return err
	}
	file, err := config.Read(o.config)
	if err != nil {
		return err
	}
	cfg := agent.DefaultConfig()
	if o.hostRoot != "" {
		cfg.BelowHostRoot(o.hostRoot)
	}
	if err := file.Decode(config.Collector, &cfg); err != nil {
		return err
	}
	o.flags.Override(cmd.Flags(), &cfg)

	reg := lifecycle.Registry("collector")
	lis, err := lifecycle.Listen(ctx, "http", o.http)
	if err != nil {
		return err
	}
	a, err := agent.Open(cfg, o.data, logger, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return a.Run(ctx, logger, lifecycle.Health(lis, lifecycle.Probes(a.Ready), reg))
}
