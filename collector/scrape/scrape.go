package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"golang.org/x/sync/errgroup"
)

// Options is what a Scraper needs from the process it runs in.
type Options struct {
	Config Config
	// External labels (cluster, node) are put on series that lack them.
	External   labels.Labels
	Sink       Sink
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Scraper scrapes the configured targets.
type Scraper struct {
	config     *config.Config
	discoverer *discovery.Manager
	scraper    *scrape.Manager
	cancel     context.CancelFunc // ends discovery
}

// New returns a Scraper; Run starts it, once.
func New(o Options) (*Scraper, error) {
	loaded, err := o.Config.load()
	if err != nil {
		return nil, err
	}
	a := &appendable{
		sink:     o.Sink,
		external: o.External,
		log:      o.Logger,
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_scrape_samples_total",
			Help: "Scraped samples handed to the queue.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_scrape_samples_dropped_total",
			Help: "Samples, native histograms and exemplars that were scraped and lost, by reason.",
		}, []string{"reason"}),
	}
	for _, collector := range []prometheus.Collector{a.samples, a.dropped} {
		if err := o.Registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register the metrics of the scraper: %w", err)
		}
	}
	s := &Scraper{config: loaded, cancel: func() {}}
	if len(loaded.ScrapeConfigs) == 0 {
		return s, nil
	}
	if err := s.prepare(a, o); err != nil {
		return nil, err
	}
	return s, nil
}

// Changes of targets are gathered for a moment before they take effect, so that a
// file that is written in pieces is not followed piece by piece.
const (
	discoveryDelay = 200 * time.Millisecond
	reloadDelay    = 500 * time.Millisecond
)

// prepare creates Prometheus' managers. They register metrics before these can be
// read, so this has to come before anybody reads the registry.
func (s *Scraper) prepare(a *appendable, o Options) error {
	log := slog.New(newQuiet(o.Logger.Handler()))
	// Prometheus' own metrics of scraping and discovery, told apart from those of a
	// Prometheus in the same process.
	registerer := prometheus.WrapRegistererWithPrefix("yagura_scrape_", o.Registerer)
	sdMetrics, err := discovery.CreateAndRegisterSDMetrics(registerer)
	if err != nil {
		return fmt.Errorf("prepare discovery: %w", err)
	}
	s.scraper, err = scrape.NewManager(&scrape.Options{
		AppendMetadata:           true,
		DiscoveryReloadInterval:  model.Duration(reloadDelay),
		DiscoveryReloadOnStartup: true,
	}, log, nil, nil, a, registerer)
	if err != nil {
		return fmt.Errorf("prepare scraping: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.discoverer = discovery.NewManager(ctx, log, registerer, sdMetrics,
		discovery.Name("scrape"), discovery.Updatert(discoveryDelay))
	if s.discoverer == nil {
		return errors.New("prepare discovery: its metrics are registered already")
	}
	return nil
}

// Run scrapes until ctx is done, and returns nil then.
func (s *Scraper) Run(ctx context.Context) error {
	defer s.cancel()
	if s.scraper == nil {
		<-ctx.Done()
		return nil
	}
	if err := s.scraper.ApplyConfig(s.config); err != nil {
		return fmt.Errorf("prepare scraping: %w", err)
	}
	targets := make(map[string]discovery.Configs)
	for _, entry := range s.config.ScrapeConfigs {
		targets[entry.JobName] = entry.ServiceDiscoveryConfigs
	}
	if err := s.discoverer.ApplyConfig(targets); err != nil {
		return fmt.Errorf("prepare discovery: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_ = s.discoverer.Run() // returns only because it was cancelled
		return nil
	})
	group.Go(func() error { return s.scraper.Run(s.discoverer.SyncCh()) })
	group.Go(func() error {
		<-ctx.Done()
		s.scraper.Stop()
		s.cancel()
		return nil
	})
	return group.Wait()
}
