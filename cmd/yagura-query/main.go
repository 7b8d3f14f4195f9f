// Command yagura-query is the query service: it takes signals in over OTLP, remote
// write and Loki push, and answers over the Prometheus, Loki and Jaeger APIs and
// the web interface.
//
// It imports cmd/internal, which composes the rooms; nothing imports it.
package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/config"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

func main() { lifecycle.Main(newCommand()) }

type options struct {
	config, data, http, otlpGRPC, otlpHTTP string
	autoscalerURL                          string
	log                                    lifecycle.LogFlags
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "yagura-query", Short: "Yagura's query service", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file; this command reads its query section")
	f.StringVar(&o.data, "data", "yagura-data", "folder for all data")
	f.StringVar(&o.http, "http", "127.0.0.1:9428", "address of the web interface and the HTTP APIs")
	f.StringVar(&o.otlpGRPC, "otlp-grpc", "127.0.0.1:4317", `address of the OTLP gRPC receiver, or "off"`)
	f.StringVar(&o.otlpHTTP, "otlp-http", "127.0.0.1:4318", `address of the OTLP HTTP receiver, or "off"; --http takes OTLP too`)
	f.StringVar(&o.autoscalerURL, "autoscaler-url", "", "the autoscaler, for what it alone knows of the nodes; a headless Service's name finds the replica that leads")
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
	cfg := queryservice.DefaultConfig()
	if err := file.Decode(config.Query, &cfg); err != nil {
		return err
	}
	if cmd.Flags().Changed("autoscaler-url") {
		cfg.Autoscaler.URL = o.autoscalerURL
	}
	reg := lifecycle.Registry("query")

	service, err := queryservice.Open(ctx, cfg, o.data, logger, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, service.Close()) }()
	var l queryservice.Listeners
	if l.OTLPGRPC, err = lifecycle.Listen(ctx, "otlp-grpc", o.otlpGRPC); err != nil {
		return err
	}
	if l.OTLPHTTP, err = lifecycle.Listen(ctx, "otlp-http", o.otlpHTTP); err != nil {
		return err
	}
	if l.HTTP, err = lifecycle.Listen(ctx, "http", o.http); err != nil {
		return err
	}
	if l.HTTP == nil {
		return errors.New(`--http: "off" leaves nothing to answer on`)
	}
	logger.Info("listening", "http", l.HTTP.Addr().String())
	return lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{service.Parts(l)}}.Run(ctx)
}
