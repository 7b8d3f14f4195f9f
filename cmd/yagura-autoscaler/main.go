// Command yagura-autoscaler carries WorkloadAutoscalers out: it reads signals from a
// query service, decides each second, and acts through the targets' /scale and the
// pods' resize. Of several, one leads.
//
// It imports cmd/internal and autoscaler; nothing imports it.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/autoscaler"
	"github.com/yagura-dev/yagura/cmd/internal/config"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() { lifecycle.Main(newCommand()) }

type options struct {
	config, kubeconfig, queryURL, otlp, http string
	webhook, webhookService                  string
	installCRDs                              bool
	log                                      lifecycle.LogFlags
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "yagura-autoscaler", Short: "Yagura's autoscaler", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file; this command reads its autoscaler section, and flags win over it")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig, which need not exist yet; without it, the service account of the pod")
	f.StringVar(&o.queryURL, "query-url", "http://127.0.0.1:9428", "the query service")
	f.StringVar(&o.otlp, "otlp", "127.0.0.1:4317", `OTLP gRPC receiver that decision records go to, or "off"`)
	f.StringVar(&o.http, "http", "127.0.0.1:9427", `address of /healthz, /readyz, /state and /metrics, or "off"`)
	f.BoolVar(&o.installCRDs, "install-crds", false, "install the custom resource definitions, or bring them up to date")
	f.StringVar(&o.webhook, "webhook", "off", "address of the admission webhook that sizes created pods, or \"off\"")
	f.StringVar(&o.webhookService, "webhook-service", "", "Service by which the API server reaches the webhook; without it, the address")
	o.log.Register(f)
	return cmd
}

func (o options) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	logger, err := o.log.Logger(os.Stderr)
	if err != nil {
		return err
	}
	file, err := config.Read(o.config)
	if err != nil {
		return err
	}
	cfg := autoscaler.DefaultConfig()
	if err := file.Decode(config.Autoscaler, &cfg); err != nil {
		return err
	}
	o.override(cmd, &cfg)

	reg := lifecycle.Registry("autoscaler")
	a, err := autoscaler.New(cfg, logger, reg)
	if err != nil {
		return err
	}
	lis, err := lifecycle.Listen(ctx, "http", o.http)
	if err != nil {
		return err
	}
	return lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{
		{lifecycle.Health(lis, a.Handler(), reg)},
		{{Name: "autoscaler", Run: a.Run}},
	}}.Run(ctx)
}

// override lays the flags that were given over what the file says.
func (o options) override(cmd *cobra.Command, cfg *autoscaler.Config) {
	given := cmd.Flags().Changed
	if given("kubeconfig") {
		cfg.Kubeconfig = o.kubeconfig
	}
	if given("query-url") {
		cfg.Signal.URL = o.queryURL
	}
	if given("otlp") {
		cfg.Journal.Endpoint = o.otlp
		if o.otlp == "off" {
			cfg.Journal.Endpoint = ""
		}
	}
	if given("webhook") {
		cfg.Admission.Listen = o.webhook
		if o.webhook == "off" {
			cfg.Admission.Listen = ""
		}
	}
	if given("webhook-service") {
		cfg.Admission.Service.Name = o.webhookService
	}
	if given("install-crds") {
		cfg.InstallCRDs = o.installCRDs
	}
}
