package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/collector/host/cgroup"
	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/queue"
)

// Job is the job label of every series that this package writes.
const Job = "yagura-collector"

// Pods tells what a cgroup belongs to; *kube.Watcher does.
type Pods interface {
	// Enabled says whether pods are known at all.
	Enabled() bool
	ContainerByID(id string) (kube.Pod, kube.Container, bool)
	PodByUID(uid string) (kube.Pod, bool)
}

// Identity is what is on every series.
type Identity struct {
	// Node is the node's name; empty means the host's name.
	Node string
	// Cluster is the cluster's name; empty means no such label.
	Cluster string
}

// Collector reads the node.
type Collector struct {
	config  Config
	id      Identity
	pods    Pods
	sink    Sink
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics
	budget  *cgroup.Budget
}

// New returns a Collector; Run starts it. pods may be nil.
func New(config Config, id Identity, pods Pods, sink Sink, log *slog.Logger, registerer prometheus.Registerer) (*Collector, error) {
	return newCollector(config, id, pods, sink, log, registerer, clock.RealClock{})
}

func newCollector(config Config, id Identity, pods Pods, sink Sink, log *slog.Logger, registerer prometheus.Registerer, c clock.Clock) (*Collector, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if id.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("read the host's name: %w", err)
		}
		id.Node = name
	}
	own, err := newMetrics(registerer)
	if err != nil {
		return nil, err
	}
	return &Collector{
		config: config, id: id, pods: pods, sink: sink, clock: c, log: log, metrics: own,
		budget: cgroup.NewBudget(config.MaxOpenFiles),
	}, nil
}

// Run reads until ctx is done, and returns nil then.
func (c *Collector) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for interval, names := range c.config.lanes() {
		l, err := c.newLane(interval, names)
		if err != nil {
			return err
		}
		group.Go(func() error {
			defer l.close()
			l.run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// source reads one group, or all container groups of a lane.
type source struct {
	name    string
	collect func(*writer) error
	close   func()
	failing bool // the last reading failed, which was logged
}

// lane reads the groups of one interval in one goroutine. Lanes share nothing
// that changes, so that a file system that hangs in one never delays another.
type lane struct {
	*Collector
	interval time.Duration
	sources  []*source
	writer   *writer
}

func (c *Collector) newLane(interval time.Duration, names []string) (*lane, error) {
	base := labels.NewBuilder(labels.EmptyLabels())
	base.Set("job", Job).Set("instance", c.id.Node).Set("node", c.id.Node).Set("cluster", c.id.Cluster)
	l := &lane{Collector: c, interval: interval, writer: newWriter(base.Labels())}
	var containers []string
	for _, name := range names {
		if strings.HasPrefix(name, "container") {
			containers = append(containers, name)
			continue
		}
		s, err := c.newNodeSource(name)
		if err != nil {
			return nil, fmt.Errorf("prepare to read %s: %w", name, err)
		}
		l.sources = append(l.sources, s)
	}
	if len(containers) > 0 {
		s, err := c.newContainerSource(containers)
		switch {
		case errors.Is(err, cgroup.ErrNoControllers):
			c.log.Info("no cgroups here, containers are not reported", "cgroup", c.config.Cgroup)
		case err != nil:
			return nil, fmt.Errorf("prepare to read containers: %w", err)
		default:
			l.sources = append(l.sources, s)
		}
	}
	return l, nil
}

func (l *lane) close() {
	for _, s := range l.sources {
		if s.close != nil {
			s.close()
		}
	}
}

func (l *lane) run(ctx context.Context) {
	tick := nextTick(l.clock.Now(), l.interval)
	for {
		timer := l.clock.NewTimer(tick.Sub(l.clock.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		l.collect(ctx, stamp(tick, l.clock.Now()))
		next := nextTick(l.clock.Now(), l.interval)
		if missed := skipped(tick, next, l.interval); missed > 0 {
			l.metrics.skipped.WithLabelValues(l.interval.String()).Add(float64(missed))
			l.log.Debug("ticks skipped", "interval", l.interval, "ticks", missed)
		}
		tick = next
	}
}

// collect reads every source once and hands the samples to the queue.
func (l *lane) collect(ctx context.Context, at time.Time) {
	start := l.clock.Now()
	l.writer.begin(at)
	for _, s := range l.sources {
		err := s.collect(l.writer)
		l.note(s, err)
	}
	records, err := l.writer.finish()
	l.metrics.seconds.WithLabelValues(l.interval.String()).Observe(l.clock.Since(start).Seconds())
	if err != nil {
		l.metrics.dropped.WithLabelValues("encode").Inc()
		l.log.Error("cannot encode samples", "err", err)
	}
	complete := err == nil
	for _, r := range records {
		complete = l.hand(ctx, r) && complete
	}
	if complete {
		l.writer.told()
	}
}

// hand gives one record to the queue and counts its samples.
func (l *lane) hand(ctx context.Context, r record) bool {
	err := l.sink.Append(ctx, queue.Metrics, r.payload)
	if err == nil {
		l.metrics.samples.Add(float64(r.samples))
		return true
	}
	reason := "queue_error"
	switch {
	case errors.Is(err, queue.ErrFull):
		// Counters go on in the kernel, so what is lost is resolution in time.
		reason = "queue_full"
	case ctx.Err() != nil:
		reason = "shutdown"
	}
	l.metrics.dropped.WithLabelValues(reason).Add(float64(r.samples))
	l.log.Debug("samples dropped", "reason", reason, "samples", r.samples, "err", err)
	return false
}

// note counts a failed reading and logs when a source begins or ends to fail.
func (l *lane) note(s *source, err error) {
	switch {
	case err != nil:
		l.metrics.failures.WithLabelValues(s.name).Inc()
		if !s.failing {
			level := slog.LevelWarn
			if errors.Is(err, fs.ErrNotExist) {
				level = slog.LevelInfo // this kernel or machine does not have it
			}
			l.log.Log(context.Background(), level, "cannot read part of this node", "source", s.name, "err", err)
		}
		s.failing = true
	case s.failing:
		l.log.Info("reading part of this node works again", "source", s.name)
		s.failing = false
	}
}

// metrics are the package's own.
type metrics struct {
	skipped  *prometheus.CounterVec
	samples  prometheus.Counter
	dropped  *prometheus.CounterVec
	failures *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	cgroups  *prometheus.GaugeVec
	beyond   *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_host_ticks_skipped_total",
			Help: "Ticks at which nothing was read because the reading before took too long, by interval.",
		}, []string{"interval"}),
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yagura_host_samples_total",
			Help: "Samples handed to the queue.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_host_samples_dropped_total",
			Help: "Samples that were read and lost, by reason.",
		}, []string{"reason"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yagura_host_read_failures_total",
			Help: "Readings that failed, by source.",
		}, []string{"source"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "yagura_host_collect_seconds",
			Help:    "Time to read and encode everything of one tick, by interval.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12),
		}, []string{"interval"}),
		cgroups: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_host_cgroups",
			Help: "Cgroups that are reported, by the groups that are read of them.",
		}, []string{"groups"}),
		beyond: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "yagura_host_cgroups_left_out",
			Help: "Cgroups beyond maxCgroups, which are not reported, by the groups that are read.",
		}, []string{"groups"}),
	}
	for _, collector := range []prometheus.Collector{
		m.skipped, m.samples, m.dropped, m.failures, m.seconds, m.cgroups, m.beyond,
	} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register the metrics of the host source: %w", err)
		}
	}
	return m, nil
}

// newNodeSource returns the source of a group of the node itself.
func (c *Collector) newNodeSource(name string) (*source, error) {
	make, ok := map[string]func(*Collector) (*source, error){
		groupCPU:        newCPUSource,
		groupMemory:     newMemorySource,
		groupPressure:   newPressureSource,
		groupVMStat:     newVMStatSource,
		groupLoad:       newLoadSource,
		groupSystem:     newSystemSource,
		groupFilesystem: newFilesystemSource,
		groupDisk:       newDiskSource,
		groupNetwork:    newNetworkSource,
	}[name]
	if !ok {
		return nil, fmt.Errorf("no such group %q", name)
	}
	s, err := make(c)
	if err != nil {
		return nil, err
	}
	s.name = name
	return s, nil
}

// proc returns the path of a file below /proc.
func (c *Collector) proc(elements ...string) string {
	return strings.Join(append([]string{strings.TrimSuffix(c.config.Proc, "/")}, slices.Clip(elements)...), "/")
}
