package autoscaler

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/drain"
	"github.com/yagura-dev/yagura/autoscaler/nodes"
	"github.com/yagura-dev/yagura/autoscaler/provider/registry"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// lookAfterNodes runs the loop over nodes until the context ends, again and again should it fail: workloads are scaled meanwhile.
func (a *Autoscaler) lookAfterNodes(ctx context.Context, k *cluster, book closingJournal, held *fence) {
	for ctx.Err() == nil {
		if err := a.nodesTerm(ctx, k, book, held); err != nil && ctx.Err() == nil {
			a.logger.Error("nodes are not looked after", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-a.clock.After(maxRetry):
		}
	}
}

// nodesTerm is the loop over nodes from its beginning to its end.
func (a *Autoscaler) nodesTerm(ctx context.Context, k *cluster, book closingJournal, held *fence) error {
	providers, err := registry.Open(a.cfg.Providers, registry.Dependencies{
		REST: k.config, Namespace: a.leaseNamespace(), Clock: a.clock, Logger: a.logger, Metrics: a.registry,
	})
	if err != nil {
		return fmt.Errorf("open node providers: %w", err)
	}
	defer providers.Close()
	drainer := drain.New(drain.Dependencies{
		Kube: k.kube, FieldManager: workload.FieldManager, Clock: a.clock, Logger: a.logger, Metrics: a.drainMetrics, Config: a.cfg.Drain,
	})
	keeper := claim.New(claim.Dependencies{
		Client: k.client, Providers: providers.Providers(), Release: drainer.Release, Clock: a.clock, Logger: a.logger, Metrics: a.claimMetrics, Config: a.cfg.Claims,
	})
	controller, err := nodes.New(a.cfg.Nodes, nodes.Dependencies{
		Cache: k.cache, Client: k.client, Events: k.kube, Providers: providers.Providers(), Keeper: keeper, Drainer: drainer,
		Signals: nodes.QueryService(k.signals), Journal: book, Watching: k.watching, Leading: func() bool { return ctx.Err() == nil && held.holds() },
		Clock: a.clock, Logger: a.logger, Instance: a.instance, Metrics: a.nodesMetrics,
	})
	if err != nil {
		return err
	}
	a.nodes.Store(controller)
	defer a.nodes.Store(nil)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { a.tellFleet(ctx, controller, book) })
	return controller.Run(ctx)
}

// tellFleet keeps the gauges of the fleet as new as they are exported.
func (a *Autoscaler) tellFleet(ctx context.Context, controller *nodes.Controller, book closingJournal) {
	defer book.Fleet(nil)
	for {
		if view, ok := controller.View(); ok {
			book.Fleet(&view)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.clock.After(time.Duration(a.cfg.Journal.MetricsInterval) / 2):
		}
	}
}

// serveNodes answers for the loop over nodes, or says why there is none here.
func (a *Autoscaler) serveNodes(w http.ResponseWriter, r *http.Request) {
	if controller := a.nodes.Load(); controller != nil {
		controller.Handler().ServeHTTP(w, r)
		return
	}
	reason := fmt.Sprintf("this autoscaler does not lead: %s %s", a.State().Phase, a.State().Message)
	switch {
	case !a.cfg.Nodes.Enabled:
		reason = "nodes are not looked after: nodes.enabled is false"
	case !a.cfg.looksAfterNodes():
		reason = "nodes are not looked after by an autoscaler of some namespaces"
	}
	nodes.Unavailable(reason).ServeHTTP(w, r)
}
