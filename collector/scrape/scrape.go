package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
)

// reloadInterval is how soon a changed list of targets takes effect. Prometheus
// waits 5 s, for lists of thousands; a node has a handful.
const reloadInterval = time.Second

// Options is what the scraper needs from the process it runs in.
type Options struct {
	Config Config
	// External labels (cluster, node) are put on series that lack them.
	External   labels.Labels
	Sink       Sink
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Scraper scrapes targets. Create it with New, then Run it once.
type Scraper struct {
	cfg       *config.Config
	logger    *slog.Logger
	manager   *scrape.Manager
	discovery *discovery.Manager
	cancel    context.CancelFunc // of the discovery manager's context
}

type metrics struct {
	samples prometheus.Counter
	dropped *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_collector_scrape_samples_total", Help: "Scraped samples that are in the queue.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_collector_scrape_dropped_samples_total", Help: "Scraped samples that were not queued, by reason.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.samples, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register scrape metrics: %w", err)
		}
	}
	return m, nil
}

// New validates the configuration; nothing is scraped before Run.
func New(o Options) (*Scraper, error) {
	cfg, err := o.Config.load(o.Logger)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	sdMetrics, err := discovery.CreateAndRegisterSDMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register discovery metrics: %w", err)
	}
	manager, err := scrape.NewManager(&scrape.Options{
		AppendMetadata:          true,
		ParseST:                 true,
		DiscoveryReloadInterval: model.Duration(reloadInterval),
	}, o.Logger, nil, nil, &storer{sink: o.Sink, external: o.External, metrics: m}, o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("create the scrape manager: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := discovery.NewManager(ctx, o.Logger, o.Registerer, sdMetrics, discovery.Updatert(reloadInterval))
	if d == nil {
		cancel()
		return nil, errors.New("create the discovery manager: see the log")
	}
	return &Scraper{cfg: cfg, logger: o.Logger, manager: manager, discovery: d, cancel: cancel}, nil
}

// Run scrapes until ctx is done.
func (s *Scraper) Run(ctx context.Context) error {
	defer s.cancel()
	targets := map[string]discovery.Configs{}
	for _, job := range s.cfg.ScrapeConfigs {
		targets[job.JobName] = job.ServiceDiscoveryConfigs
	}
	if err := s.manager.ApplyConfig(s.cfg); err != nil {
		return fmt.Errorf("apply configs: %w", err)
	}
	if err := s.discovery.ApplyConfig(targets); err != nil {
		return fmt.Errorf("apply configs: %w", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.discovery.Run(); err != nil && !errors.Is(err, context.Canceled) {
			s.logger.Error("discovery ended", "error", err)
		}
	})
	stop := context.AfterFunc(ctx, s.manager.Stop)
	err := s.manager.Run(s.discovery.SyncCh())
	stop()
	s.cancel()
	wg.Wait()
	if err != nil {
		return fmt.Errorf("scrape: %w", err)
	}
	return ctx.Err()
}
