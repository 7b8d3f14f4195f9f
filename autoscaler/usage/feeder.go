package usage

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Sink takes aggregates, as labels and values by metric name, that are to be in the store soon after. It must not block and be safe for
// concurrent use.
type Sink interface {
	Usage(labels map[string]string, values map[string]float64)
}

// Dependencies are what a Feeder works with.
type Dependencies struct {
	Signals *signal.Client
	// Models makes the models of targets that have no factory of their own.
	Models Models
	// Sink takes aggregates; nil for none, and then history is read from raw series.
	Sink    Sink
	Clock   clock.PassiveClock
	Logger  *slog.Logger
	Metrics *Metrics
}

// Feeder keeps models fed. It is safe for concurrent use.
type Feeder struct {
	cfg  Config
	deps Dependencies
	log  *slog.Logger

	mu        sync.Mutex
	workloads map[Workload]*workload
	ids       map[ID]Workload
	absent    map[ID]time.Time // targets that are missing, since when
	watch     watch
	// resolution is how far samples lie apart, resolvedAt when that was found out; nanoseconds.
	resolution, resolvedAt atomic.Int64

	measureDue, watchDue chan struct{}
	measured             time.Time
	queue                *queue
}

// New makes a feeder. Nothing is read until Run runs.
func New(cfg Config, deps Dependencies) *Feeder {
	return &Feeder{
		cfg: cfg, deps: deps, log: deps.Logger, workloads: map[Workload]*workload{}, ids: map[ID]Workload{}, absent: map[ID]time.Time{},
		watch: watch{counters: map[counterKey]counted{}}, measureDue: make(chan struct{}, 1), watchDue: make(chan struct{}, 1), queue: newQueue(),
	}
}

// Run reads usage until the context ends. Queries that are under way then are given up.
func (f *Feeder) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return f.loop(ctx, f.measureDue, f.measureAll) })
	group.Go(func() error { return f.loop(ctx, f.watchDue, f.watchAll) })
	for range f.cfg.Concurrency {
		group.Go(func() error { return f.queue.work(ctx) })
	}
	return group.Wait()
}

func (f *Feeder) loop(ctx context.Context, due <-chan struct{}, do func(context.Context)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
			do(ctx)
		}
	}
}

// Update takes the targets as they are now: those that have not been among them for a minute are forgotten. It is called every second and does not
// wait for anything; what it finds due is done by Run.
func (f *Feeder) Update(now time.Time, targets []Target) {
	f.register(now, targets)
	for _, w := range f.all() {
		f.note(w, now)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.measured) >= time.Duration(f.cfg.Interval) || now.Before(f.measured) {
		f.measured = now
		wake(f.measureDue)
	}
	wake(f.watchDue)
}

func wake(due chan<- struct{}) {
	select {
	case due <- struct{}{}:
	default: // it is still busy with the time before
	}
}

// absence is how long a target may be missing before it is forgotten: one whose workload cannot be read for a moment keeps its models.
const absence = time.Minute

// register takes targets in and lets go of those that are gone.
func (f *Feeder) register(now time.Time, targets []Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make(map[ID]Workload, len(targets))
	sizes, refused, containers := f.choose(now, targets)
	for i := range targets {
		t := &targets[i]
		if _, followed := sizes[t.Workload]; !followed {
			continue
		}
		ids[t.ID] = t.Workload
		w := f.workloads[t.Workload]
		if w == nil {
			w = newWorkload(t.Workload)
			f.workloads[t.Workload] = w
		}
		w.containers = sizes[t.Workload]
		f.subscribe(w, *t)
	}
	for id, key := range f.ids {
		current, there := ids[id]
		if there && current == key {
			delete(f.absent, id)
			continue
		}
		if !there && !refused[id] {
			if _, noted := f.absent[id]; !noted {
				f.absent[id] = now
			}
			if now.Sub(f.absent[id]) < absence {
				ids[id] = key
				continue
			}
		}
		delete(f.absent, id)
		w := f.workloads[key]
		w.mu.Lock()
		delete(w.subs, id)
		empty := len(w.subs) == 0
		w.mu.Unlock()
		if empty {
			delete(f.workloads, key)
		}
	}
	f.ids = ids
	f.deps.Metrics.workloads.Set(float64(len(f.workloads)))
	f.deps.Metrics.containers.Set(float64(containers))
}

// choose says which workloads are followed, so that their containers are no more than MaxContainers: those that are followed already
// come first, then the rest by name, whatever order targets come in. Missing ones count for as long as they are kept. It returns the
// followed ones with their containers, the registrations that are refused, and how many containers there are in all.
func (f *Feeder) choose(now time.Time, targets []Target) (followed map[Workload]int, refused map[ID]bool, containers int) {
	sizes := make(map[Workload]int, len(targets))
	for i := range targets {
		t := &targets[i]
		n := 0
		for j := range t.Pods {
			n += len(t.Pods[j].Object.Spec.Containers) + len(t.Pods[j].Object.Spec.InitContainers)
		}
		sizes[t.Workload] = max(sizes[t.Workload], n)
	}
	for id, key := range f.ids {
		since, noted := f.absent[id]
		if _, there := sizes[key]; !there && (!noted || now.Sub(since) < absence) {
			sizes[key] = f.workloads[key].containers
		}
	}
	order := slices.SortedFunc(maps.Keys(sizes), func(a, b Workload) int {
		if x, y := f.workloads[a] != nil, f.workloads[b] != nil; x != y {
			if x {
				return -1
			}
			return 1
		}
		return a.compare(b)
	})
	followed = make(map[Workload]int, len(order))
	for _, key := range order {
		if containers+sizes[key] > f.cfg.MaxContainers {
			f.deps.Metrics.refused.WithLabelValues("maxContainers").Inc()
			continue
		}
		containers += sizes[key]
		followed[key] = sizes[key]
	}
	refused = map[ID]bool{}
	for i := range targets {
		if _, ok := followed[targets[i].Workload]; !ok {
			refused[targets[i].ID] = true
		}
	}
	for id, key := range f.ids {
		if _, ok := followed[key]; !ok {
			refused[id] = true
		}
	}
	return followed, refused, containers
}

func (w Workload) compare(o Workload) int {
	return cmp.Or(cmp.Compare(w.Namespace, o.Namespace), cmp.Compare(w.Name, o.Name), cmp.Compare(w.Kind, o.Kind))
}

func newWorkload(key Workload) *workload {
	return &workload{
		key: key, pattern: podNames(key.Kind, key.Name), subs: map[ID]*subscription{}, pods: map[string]*pod{},
		groups: map[groupKey][]accumulator{}, starts: map[string]*startLog{},
	}
}

// subscribe takes one target in. Another model, or a longer history, means that its models begin anew.
func (f *Feeder) subscribe(w *workload, t Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.subs[t.ID]
	if s == nil || s.target.Model != t.Model || s.target.History != t.History {
		fresh := &subscription{target: t, models: map[sizing.Key]*series{}}
		if s != nil {
			fresh.health = s.health
		}
		w.subs[t.ID] = fresh
		f.requestLoad(w, true)
	} else {
		s.target = t
	}
	// Resources that nobody asked for before have no accumulators yet.
	for key, group := range w.groups {
		for _, r := range w.resources(key.container) {
			if !slices.ContainsFunc(group, func(a accumulator) bool { return a.resource == r }) {
				w.groups[key] = append(w.groups[key], accumulator{resource: r})
			}
		}
	}
}

// all are the workloads in a stable order.
func (f *Feeder) all() []*workload {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*workload, 0, len(f.workloads))
	for _, w := range f.workloads {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *workload) int { return a.key.compare(b.key) })
	return all
}

// measureAll measures all pods.
func (f *Feeder) measureAll(ctx context.Context) {
	started := time.Now()
	workloads := f.all()
	now := f.deps.Clock.Now()
	pods, resources := f.measurable(workloads, now)
	if len(pods) > 0 {
		if err := f.findResolution(ctx, batchSelector(pods[:min(len(pods), 50)])); err != nil && ctx.Err() == nil {
			f.log.Warn("cannot measure well", "err", err)
		}
	}
	m, err := f.measure(ctx, pods, resources)
	if ctx.Err() != nil {
		return
	}
	result := "done"
	if err != nil {
		result = "failed"
		f.log.Warn("cannot measure usage", "err", err)
	}
	for _, w := range workloads {
		f.apply(w, now, m)
	}
	f.deps.Metrics.measurements.WithLabelValues(result).Inc()
	f.deps.Metrics.seconds.Observe(time.Since(started).Seconds())
}

// measurable are the pods to ask about: those that run, and those that ended within the time that a query looks back on.
func (f *Feeder) measurable(workloads []*workload, now time.Time) (pods []podName, resources []corev1.ResourceName) {
	window := f.window()
	resources = slices.Clone(ordinary)
	seen := map[podName]bool{}
	for _, w := range workloads {
		w.mu.Lock()
		for name, p := range w.pods {
			key := podName{w.key.Namespace, name}
			if seen[key] || !p.running && now.Sub(p.ended) > window {
				continue
			}
			seen[key] = true
			pods = append(pods, key)
		}
		for key := range w.groups {
			for _, r := range w.resources(key.container) {
				if !slices.Contains(resources, r) {
					resources = append(resources, r)
				}
			}
		}
		w.mu.Unlock()
	}
	slices.SortFunc(pods, func(a, b podName) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.pod, b.pod))
	})
	return pods, resources
}
