package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

// stopTimeout is how long a child may take to stop before it is killed.
const stopTimeout = 20 * time.Second

// runOptions are the flags of `yagura-demo run`.
type runOptions struct {
	Dir, Bin, HTTP string
	Nodes          int
	Shop           shopOptions
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run", Short: "Everything: yagura up, a development cluster, the shop", Args: cobra.NoArgs,
		Long: `Starts yagura up at once, so that this host's metrics and logs can be seen while
the control plane of the development cluster is compiled at low priority (the first
time: some minutes), then brings the cluster up, applies the shop and drives it with
a load that swings every few minutes. Ctrl-C stops all of it; the next start finds
its data again.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", ".yagura", "folder for all data")
	f.StringVar(&o.Bin, "bin", filepath.Dir(exe), "folder of the yagura and devcluster binaries")
	f.StringVar(&o.HTTP, "http", "127.0.0.1:9428", "address of the web interface and the HTTP APIs")
	f.IntVar(&o.Nodes, "nodes", 3, "simulated nodes")
	o.Shop.flags(cmd)
	return cmd
}

func run(ctx context.Context, o runOptions) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil))
	o.Shop.Kubeconfig = filepath.Join(o.clusterDir(), "kubeconfig")
	if err := os.WriteFile(o.configFile(), []byte(o.config()), 0o644); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{
		{{Name: "yagura", Run: func(ctx context.Context) error { return o.platform(ctx, logger) }}},
		{{Name: "cluster and shop", Run: func(ctx context.Context) error { return o.clusterAndShop(ctx, logger) }}},
	}}.Run(ctx)
}

func (o runOptions) clusterDir() string { return filepath.Join(o.Dir, "devcluster") }
func (o runOptions) configFile() string { return filepath.Join(o.Dir, "yagura.yaml") }

// config has the collector scrape the simulated kubelets, whose addresses the
// development cluster writes to a file once it is up. CPU objectives look at a
// window of 15 s, so 2 s between samples gives each of them several. The logs are this
// host's and the control plane's; not the platform's own, which would feed themselves.
func (o runOptions) config() string {
	return fmt.Sprintf(`# Written by yagura-demo run; changes are lost at its next start.
collector:
  podLogs:
    files:
    - path: /var/log/*.log
    - path: /var/log/syslog
    - path: %q
  scrape:
    configs:
    - job_name: kubelet
      scrape_interval: 2s
      scrape_timeout: 2s
      honor_labels: true
      file_sd_configs:
      - files: [%q]
        refresh_interval: 5s
`, filepath.Join(o.clusterDir(), "log", "*.log"), filepath.Join(o.clusterDir(), "scrape.json"))
}

// platform runs `yagura up` until ctx is done.
func (o runOptions) platform(ctx context.Context, logger *slog.Logger) error {
	log, err := os.OpenFile(filepath.Join(o.Dir, "log", "yagura.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd := o.command(ctx, log, "yagura", "up",
		"--data", filepath.Join(o.Dir, "data"), "--http", o.HTTP, "--otlp-grpc", o.Shop.OTLP,
		"--kubeconfig", o.Shop.Kubeconfig, "--config", o.configFile())
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start yagura: %w", err)
	}
	go o.announce(ctx, logger)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("yagura up ended (its log is %s): %w", log.Name(), err)
}

// announce prints the URL once the platform answers.
func (o runOptions) announce(ctx context.Context, logger *slog.Logger) {
	for ctx.Err() == nil {
		if ready(ctx, "http://"+o.HTTP+"/readyz") {
			fmt.Printf("\n  Yagura is up:  http://%s\n\n", o.HTTP)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	logger.Debug("stopped before the platform was up")
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// clusterAndShop brings the cluster up, runs the shop until ctx is done, and takes
// the cluster down again.
func (o runOptions) clusterAndShop(ctx context.Context, logger *slog.Logger) error {
	if err := o.awaitDevcluster(ctx, logger); err != nil {
		return err
	}
	logger.Info("building the control plane (some minutes the first time, at low priority)")
	if err := o.devcluster(ctx, "build", "--nice", "19"); err != nil {
		return err
	}
	// Also when up is interrupted: what it had started by then runs on its own.
	defer func() {
		if err := o.devcluster(context.WithoutCancel(ctx), "down"); err != nil {
			logger.Error("cluster not stopped", "error", err)
		}
	}()
	if err := o.devcluster(ctx, "up", "--mode", "fleet", "--nodes", strconv.Itoa(o.Nodes)); err != nil {
		return err
	}
	fmt.Printf("\n  The cluster is up:  export KUBECONFIG=%s\n  kubectl:            %s kubectl --dir %s -- get wa -A\n\n",
		o.Shop.Kubeconfig, filepath.Join(o.Bin, "devcluster"), o.clusterDir())
	return runShop(ctx, o.Shop, logger)
}

// awaitDevcluster waits for the devcluster command, which `make run` compiles while the
// platform starts already.
func (o runOptions) awaitDevcluster(ctx context.Context, logger *slog.Logger) error {
	path := filepath.Join(o.Bin, "devcluster")
	for said := false; ; said = true {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if !said {
			logger.Info("waiting until devcluster is built", "path", path)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (o runOptions) devcluster(ctx context.Context, args ...string) error {
	if args[0] != "build" {
		args = append(args, "--dir", o.clusterDir())
	}
	cmd := o.command(ctx, os.Stdout, "devcluster", args...)
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("devcluster %s: %w", strings.Join(args, " "), err)
	}
	return ctx.Err()
}

// command runs one of our binaries. It gets a process group of its own, so that a
// Ctrl-C in the terminal reaches only us and we stop things in order.
func (o runOptions) command(ctx context.Context, out io.Writer, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(o.Bin, name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return err
	}
	cmd.WaitDelay = stopTimeout
	return cmd
}
