package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/autoscaler"
	"github.com/yagura-dev/yagura/cmd/internal/agent"
	"github.com/yagura-dev/yagura/cmd/internal/config"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

// upOptions are the flags of `yagura up`.
type upOptions struct {
	config, data, http, grpc, kubeconfig, webhook string
	agent                                         agent.Flags
	log                                           lifecycle.LogFlags
}

func newUp() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use: "up", Short: "Run collector, query service and autoscaler in one process", Args: cobra.NoArgs,
		Long: `Runs the whole platform in one process, its parts talking over loopback as they
would between machines. Without --kubeconfig it observes this host only. The file
that --kubeconfig names need not exist yet: the autoscaler joins when it does. The
addresses by which the parts find each other follow from the flags, whatever the
configuration file says.`,
		Example: `  yagura up --data ~/.yagura --log-file '/var/log/*.log'
  yagura up --data ~/.yagura --kubeconfig ~/.kube/config`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file with the sections collector, query and autoscaler; flags win over it")
	f.StringVar(&o.data, "data", "yagura-data", "folder for all data")
	f.StringVar(&o.http, "http", "127.0.0.1:9428", "address of the web interface and the HTTP APIs")
	f.StringVar(&o.grpc, "query-grpc", "off", `address of the query service's own gRPC: Jaeger's query API and remote storage, and OTLP past the collector`)
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "the cluster whose workloads are scaled")
	f.StringVar(&o.webhook, "webhook", "off", `address of the admission webhook that sizes created pods; the API server must reach it there`)
	o.agent.Register(f)
	o.log.Register(f)
	return cmd
}

// settings is one validated configuration of all rooms.
type settings struct {
	agent      agent.Config
	query      queryservice.Config
	autoscaler autoscaler.Config
}

func (o *upOptions) settings(cmd *cobra.Command) (settings, error) {
	s := settings{agent.DefaultConfig(), queryservice.DefaultConfig(), autoscaler.DefaultConfig()}
	file, err := config.Read(o.config)
	if err != nil {
		return s, err
	}
	if err := errors.Join(
		file.Decode(config.Collector, &s.agent),
		file.Decode(config.Query, &s.query),
		file.Decode(config.Autoscaler, &s.autoscaler),
	); err != nil {
		return s, err
	}
	o.agent.Kubeconfig = o.kubeconfig // for the pods of this machine, if it is a node
	o.agent.Override(cmd.Flags(), &s.agent)
	if cmd.Flags().Changed("kubeconfig") {
		s.autoscaler.Kubeconfig = o.kubeconfig
	}
	if cmd.Flags().Changed("webhook") {
		s.autoscaler.Admission.Listen = o.webhook
		if o.webhook == "off" {
			s.autoscaler.Admission.Listen = ""
		}
	}
	if queue, window := s.agent.Queue.MaxAge, s.query.Metrics.OutOfOrderWindow; queue > window {
		return s, fmt.Errorf("collector.queue.maxAge: %s is more than query.metrics.outOfOrderWindow, %s: what waits longest would be refused", queue, window)
	}
	// Whoever starts everything in one process wants to apply a WorkloadAutoscaler next.
	s.autoscaler.InstallCRDs = true
	return s, nil
}

func (o *upOptions) run(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	logger, err := o.log.Logger(os.Stderr)
	if err != nil {
		return err
	}
	s, err := o.settings(cmd)
	if err != nil {
		return err
	}
	lis, err := lifecycle.Listen(ctx, "http", o.http)
	if err != nil {
		return err
	}
	if lis == nil {
		return errors.New(`--http: "off" leaves nothing to answer on`)
	}
	rpc, err := lifecycle.Listen(ctx, "query-grpc", o.grpc)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	// The query service asks the autoscaler as it would from another machine.
	var probes net.Listener
	if s.autoscaler.Kubeconfig != "" {
		if probes, err = lifecycle.Listen(ctx, "autoscaler", "127.0.0.1:0"); err != nil {
			return errors.Join(err, lis.Close())
		}
		s.query.Autoscaler.URL = "http://" + probes.Addr().String()
	}
	reg := lifecycle.Registry("yagura")

	query, err := queryservice.Open(ctx, s.query, filepath.Join(o.data, "query"), logger.With("part", "query"), reg)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	defer func() { err = errors.Join(err, query.Close()) }()

	s.agent.Ship.URL = "http://" + loopback(lis.Addr())
	collector, err := agent.Open(s.agent, filepath.Join(o.data, "collector"), logger.With("part", "collector"), reg)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	defer func() { err = errors.Join(err, collector.Close()) }()

	stages := append([][]lifecycle.Part{query.Parts(queryservice.Listeners{HTTP: lis, OTLPGRPC: rpc})}, collector.Stages()...)
	if s.autoscaler.Kubeconfig != "" {
		parts, err := o.autoscaler(s.autoscaler, s.agent, lis.Addr(), probes, logger.With("part", "autoscaler"), reg)
		if err != nil {
			return errors.Join(err, lis.Close(), probes.Close())
		}
		stages = append(stages, parts)
	}
	logger.Info("listening", "url", "http://"+loopback(lis.Addr()), "otlp_grpc", s.agent.OTLP.GRPC, "otlp_http", s.agent.OTLP.HTTP)
	return lifecycle.Group{Logger: logger, Stages: stages}.Run(ctx)
}

// autoscaler reads from our own query service, and sends its records into our own
// collector, as any application would.
func (o *upOptions) autoscaler(cfg autoscaler.Config, collector agent.Config, query net.Addr, probes net.Listener, logger *slog.Logger, reg *prometheus.Registry) ([]lifecycle.Part, error) {
	cfg.Signal.URL = "http://" + loopback(query)
	cfg.Journal.Endpoint = collector.OTLP.GRPC
	if cfg.Journal.Endpoint == "" {
		return nil, errors.New("--otlp-grpc: the autoscaler sends its records there, so it cannot be off together with --kubeconfig")
	}
	a, err := autoscaler.New(cfg, logger, reg)
	if err != nil {
		return nil, fmt.Errorf("create the autoscaler: %w", err)
	}
	return []lifecycle.Part{lifecycle.Health(probes, a.Handler(), reg), {Name: "autoscaler", Run: a.Run}}, nil
}

// loopback is where a listener is reached from this process: one that listens on
// every address is reached on loopback.
func loopback(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
