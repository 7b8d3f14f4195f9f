// Command devcluster starts a real Kubernetes on one machine, for development
// and tests: its control plane and, in fleet mode, any number of nodes
// simulated by kwok, or, in node mode, real kubelets with containerd. It builds
// Kubernetes, etcd and kwok from Go modules, once, into a cache.
//
// It imports its internal packages; package kubernetes beside it is compiled by
// it and imports nothing of it. It is a module of its own so that Kubernetes'
// dependencies do not bind the rest of the repository.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		return 1
	}
	return 0
}
