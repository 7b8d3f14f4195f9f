// Command yagura-demo shows the platform at work: it starts `yagura up`, brings up
// a development cluster of simulated nodes, and runs a small shop under a swinging
// load whose Deployments Yagura scales.
//
// It composes its own rooms (shop, load, manifests) and reaches everything else as
// a user does: over the binaries beside it, the Kubernetes API, and OTLP. Nothing
// imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/cmd/yagura-demo/load"
	"github.com/yagura-dev/yagura/cmd/yagura-demo/manifests"
	"github.com/yagura-dev/yagura/cmd/yagura-demo/shop"
)

func main() { lifecycle.Main(newCommand()) }

func newCommand() *cobra.Command {
	root := &cobra.Command{Use: "yagura-demo", Short: "Yagura with a development cluster and a demo shop"}
	root.AddCommand(runCommand(), shopCommand())
	return root
}

// shopOptions are the flags of the shop itself.
type shopOptions struct {
	Kubeconfig, OTLP, Control string
	Swing                     load.Swing
}

func (o *shopOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.OTLP, "otlp", "127.0.0.1:4317", "OTLP gRPC receiver that the shop exports to")
	f.StringVar(&o.Control, "control", "127.0.0.1:9430", "address of the demo's own HTTP interface")
	f.Float64Var(&o.Swing.Low, "low", 5, "requests a second at the quiet end of the swing")
	f.Float64Var(&o.Swing.High, "high", 80, "requests a second at the busy end of the swing")
	f.DurationVar(&o.Swing.Period, "period", 4*time.Minute, "how long a swing takes")
}

func shopCommand() *cobra.Command {
	var o shopOptions
	cmd := &cobra.Command{
		Use: "shop", Short: "Only the shop and its load, against a cluster and a platform that already run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Kubeconfig == "" {
				return errors.New("--kubeconfig is required")
			}
			return runShop(cmd.Context(), o, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.Kubeconfig, "kubeconfig", "", "the cluster that the shop's Deployments live in")
	return cmd
}

// runShop applies the manifests and serves until ctx is done.
func runShop(ctx context.Context, o shopOptions, logger *slog.Logger) error {
	if o.Swing.Period <= 0 {
		return fmt.Errorf("--period %s: want more than 0", o.Swing.Period)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read --kubeconfig: %w", err)
	}
	cfg.QPS, cfg.Burst = 50, 100
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("create a client: %w", err)
	}
	if err := applyAll(ctx, cfg, logger); err != nil {
		return err
	}
	s, err := shop.New(shop.Config{Namespace: manifests.Namespace, Client: client, OTLP: o.OTLP, Logger: logger})
	if err != nil {
		return fmt.Errorf("start the shop: %w", err)
	}
	g := &load.Generator{Swing: o.Swing, BuyOneIn: 2, Target: func() (string, bool) {
		r, ok := s.Pick("frontend")
		if !ok {
			return "", false
		}
		return r.URL(), true
	}}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Control)
	if err != nil {
		return fmt.Errorf("--control: %w", err)
	}
	return lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{
		{{Name: "shop", Run: s.Run}},
		{
			{Name: "load", Run: func(ctx context.Context) error { g.Run(ctx); return ctx.Err() }},
			{Name: "control", Run: serve(lis, control(s, g, logger))},
		},
	}}.Run(ctx)
}

// applyAll retries until the autoscaler has installed its resource's definition.
func applyAll(ctx context.Context, cfg *rest.Config, logger *slog.Logger) error {
	for _, step := range []struct {
		what  string
		apply func(context.Context, *rest.Config) error
	}{
		{"the shop's Deployments", manifests.ApplyWorkloads},
		{"the shop's WorkloadAutoscalers", manifests.ApplyAutoscalers},
	} {
		for tries := 0; ; tries++ {
			err := step.apply(ctx, cfg)
			if err == nil {
				logger.Info("applied " + step.what)
				break
			}
			if tries == 0 {
				logger.Info("waiting to apply "+step.what, "because", err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("apply %s: %w", step.what, err)
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func serve(lis net.Listener, h http.Handler) func(context.Context) error {
	return func(ctx context.Context) error {
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	}
}
