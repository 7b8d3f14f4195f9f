package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
	"github.com/yagura-dev/yagura/collector/host"
	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/otlp"
	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/scrape"
	"github.com/yagura-dev/yagura/collector/ship"
)

// Agent is an opened collector. Close it after its parts have ended.
type Agent struct {
	queue    *queue.Queue
	shipper  *ship.Shipper
	pods     *kube.Watcher
	host     *host.Collector
	scraper  *scrape.Scraper
	podLogs  *podlogs.Tailer
	receiver *otlp.Receiver
}

// Open opens the disk queue below data and the OTLP ports, and wires everything;
// nothing is read yet.
func Open(cfg Config, data string, logger *slog.Logger, reg prometheus.Registerer) (_ *Agent, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Agent{}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	room := func(name string) *slog.Logger { return logger.With("room", name) }
	if a.queue, err = queue.Open(filepath.Join(data, "queue"), cfg.Queue, room("queue"), reg); err != nil {
		return nil, fmt.Errorf("open the disk queue: %w", err)
	}
	if a.shipper, err = ship.New(cfg.Ship, a.queue, room("ship"), reg); err != nil {
		return nil, fmt.Errorf("create ship: %w", err)
	}
	if a.pods, err = kube.New(cfg.Kube, room("kube"), reg); err != nil {
		return nil, fmt.Errorf("create kube: %w", err)
	}
	id := host.Identity{Node: cfg.Kube.Node, Cluster: cfg.Cluster}
	if a.host, err = host.New(cfg.Host, id, a.pods, a.queue, room("host"), reg); err != nil {
		return nil, fmt.Errorf("create host: %w", err)
	}
	if a.scraper, err = scrape.New(scrape.Options{
		Config: cfg.Scrape, External: external(cfg), Sink: a.queue, Logger: room("scrape"), Registerer: reg,
	}); err != nil {
		return nil, fmt.Errorf("create scrape: %w", err)
	}
	cfg.PodLogs.Cluster, cfg.PodLogs.Node = cfg.Cluster, cfg.Kube.Node
	if a.podLogs, err = podlogs.New(cfg.PodLogs, a.queue, a.pods, room("podlogs"), reg); err != nil {
		return nil, fmt.Errorf("create podlogs: %w", err)
	}
	if a.receiver, err = otlp.New(cfg.OTLP, cfg.Cluster, a.pods, a.queue, room("otlp"), reg); err != nil {
		return nil, fmt.Errorf("receive OTLP: %w", err)
	}
	return a, nil
}

// external is what scraped series say about where they come from.
func external(cfg Config) labels.Labels {
	b := labels.NewScratchBuilder(2)
	if cfg.Cluster != "" {
		b.Add("cluster", cfg.Cluster)
	}
	if cfg.Kube.Node != "" {
		b.Add("node", cfg.Kube.Node)
	}
	b.Sort()
	return b.Labels()
}

// Close ends what Open opened.
func (a *Agent) Close() error {
	if a.receiver != nil {
		a.receiver.Close()
	}
	if a.queue != nil {
		return a.queue.Close()
	}
	return nil
}

// Stages is what runs: what ships outlives the sources, so that what they read last
// has a chance to leave.
func (a *Agent) Stages() [][]lifecycle.Part {
	return [][]lifecycle.Part{
		{{Name: "ship", Run: a.shipper.Run}, {Name: "kube", Run: a.pods.Run}},
		{
			{Name: "host", Run: a.host.Run},
			{Name: "scrape", Run: a.scraper.Run},
			{Name: "podlogs", Run: a.podLogs.Run},
			{Name: "otlp", Run: a.receiver.Run},
		},
	}
}

// Ready says why the collector does not see everything yet, or nil. A query service
// that is away is no reason: that is what the queue is for.
func (a *Agent) Ready() error {
	if a.pods.Enabled() && !a.pods.Synced() {
		return errors.New("the pods of this node are not known yet")
	}
	return nil
}

// Run runs the agent alone until ctx is done.
func (a *Agent) Run(ctx context.Context, logger *slog.Logger, more ...lifecycle.Part) error {
	stages := a.Stages()
	stages[0] = append(stages[0], more...)
	return lifecycle.Group{Logger: logger, Stages: stages}.Run(ctx)
}
