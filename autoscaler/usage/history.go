package usage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// point is what was used at a time.
type point struct {
	at         int64 // milliseconds
	peak, mean float64
}

// pastKill is a kill in a history.
type pastKill struct {
	at    int64
	limit float64
}

// history is what containers used.
type history struct {
	points map[sizing.Key][]point
	kills  map[sizing.Key][]pastKill // by memory
	// read says of where it comes, short why it does not reach back all the way, empty when it does.
	read, short string
}

func newHistory() *history {
	return &history{points: map[sizing.Key][]point{}, kills: map[sizing.Key][]pastKill{}}
}

// order puts points in the order of time and drops doubles: the first of a time stays.
func (h *history) order() {
	for key, points := range h.points {
		slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
		h.points[key] = slices.CompactFunc(points, func(a, b point) bool { return a.at == b.at })
	}
	for key, kills := range h.kills {
		slices.SortStableFunc(kills, func(a, b pastKill) int { return cmp.Compare(a.at, b.at) })
		h.kills[key] = slices.CompactFunc(kills, func(a, b pastKill) bool { return a.at == b.at })
	}
}

// loadState is how far the history of a workload has been read.
type loadState struct {
	// wanted counts requests; a history that was begun before the newest one is thrown away.
	wanted int
	queued bool
	// done is true once all of it has been read that can be.
	done     bool
	recent   bool // the last hours were
	failures int
	retry    time.Time
	note     string
}

const (
	// recentWindow is what is read first. It takes milliseconds, and with it there is an estimate.
	recentWindow = 3 * time.Hour
	// recentRaw is how much of that is read from raw series, where there are no aggregates.
	recentRaw = 30 * time.Minute
	// fineWindow is how far back aggregates are read one by one; beyond, coarseStep of them are read as one.
	fineWindow = 24 * time.Hour
	coarseStep = 30 * time.Minute
	// exportDelay is when aggregates of a time are in the store for sure: half a step after its end.
	exportDelay = aggregateStep / 2
	// leastGap is the shortest gap between aggregates that raw series are asked about.
	leastGap = 2*aggregateStep + time.Minute
)

// requestLoad has the history read, from the start. The workload's lock is held.
func (f *Feeder) requestLoad(w *workload, anew bool) {
	if anew {
		w.loads = loadState{wanted: w.loads.wanted + 1, queued: w.loads.queued}
	}
	if w.loads.queued {
		return
	}
	w.loads.queued = true
	f.queue.put(recentHistory, func(ctx context.Context) { f.load(ctx, w, false) })
}

// retryLoad asks again for a history that could not be read. The workload's lock is held.
func (f *Feeder) retryLoad(w *workload, now time.Time) {
	if !w.loads.done && !w.loads.queued && !now.Before(w.loads.retry) {
		f.requestLoad(w, false)
	}
}

// wish is what is to be read for a workload.
type wish struct {
	workload   Workload
	now        time.Time
	window     time.Duration
	full       bool
	roles      map[string]string // regular expression for the names of pods, by role
	resources  []corev1.ResourceName
	series     int // that there are now
	generation int
}

// load reads a history and makes models of it.
func (f *Feeder) load(ctx context.Context, w *workload, full bool) {
	started := time.Now()
	q, ok := f.beginLoad(w, full)
	if !ok {
		return
	}
	if !full {
		f.seedLevels(ctx, w)
	}
	h, err := f.read(ctx, q)
	extent := "recent"
	if full {
		extent = "full"
	}
	result := "done"
	switch {
	case err != nil:
		result = "failed"
	case h.short != "":
		result = "short"
	}
	f.deps.Metrics.loads.WithLabelValues(extent, result).Inc()
	f.deps.Metrics.loadSeconds.WithLabelValues(extent).Observe(time.Since(started).Seconds())
	f.endLoad(ctx, w, q, h, err)
}

// beginLoad says what is to be read, and has the models' samples kept from now on.
func (f *Feeder) beginLoad(w *workload, full bool) (wish, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.subs) == 0 {
		w.loads.queued = false
		return wish{}, false
	}
	q := wish{workload: w.key, now: f.deps.Clock.Now(), full: full, window: recentWindow, roles: map[string]string{}, generation: w.loads.wanted}
	for _, s := range w.subs {
		s.loading = true
		for _, x := range s.models {
			x.pending = nil
		}
		if full {
			q.window = max(q.window, s.target.History)
		}
	}
	q.roles[sizing.DefaultRole] = w.pattern
	var others []string
	byRole := map[string][]string{}
	for name, p := range w.pods {
		q.series += len(p.containers)
		others = append(others, name)
		if p.role != sizing.DefaultRole {
			byRole[p.role] = append(byRole[p.role], name)
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		q.roles[sizing.DefaultRole] += "|" + alternatives(others)
	}
	for role, names := range byRole {
		slices.Sort(names)
		q.roles[role] = alternatives(names)
	}
	q.resources = slices.Clone(ordinary)
	for key := range w.groups {
		for _, r := range w.resources(key.container) {
			if !slices.Contains(q.resources, r) {
				q.resources = append(q.resources, r)
			}
		}
	}
	return q, true
}

// endLoad puts models in place that know the history, and has the rest of it read.
func (f *Feeder) endLoad(ctx context.Context, w *workload, q wish, h *history, err error) {
	made := map[ID]map[sizing.Key]*series{}
	if err == nil {
		made = f.makeModels(w, q, h)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, s := range w.subs {
		s.loading = false
		if w.loads.wanted == q.generation {
			s.replace(made[id], w.kills, q.now)
		}
		for _, x := range s.models {
			x.pending = nil
		}
	}
	switch {
	case ctx.Err() != nil:
		w.loads.queued = false
	case w.loads.wanted != q.generation: // somebody asked anew meanwhile
		f.queue.put(recentHistory, func(ctx context.Context) { f.load(ctx, w, false) })
	case err != nil:
		w.loads.queued = false
		w.loads.failures++
		w.loads.retry = f.deps.Clock.Now().Add(min(5*time.Minute, 5*time.Second<<min(w.loads.failures-1, 10)))
		w.loads.note = fmt.Sprintf("the history could not be read: %v", err)
		f.log.Warn("cannot read the history of a workload", "namespace", w.key.Namespace, "kind", w.key.Kind, "name", w.key.Name, "err", err)
	case !q.full:
		w.loads.recent, w.loads.note = true, h.read
		f.queue.put(fullHistory, func(ctx context.Context) { f.load(ctx, w, true) })
	default:
		w.loads.queued, w.loads.done, w.loads.recent = false, true, true
		w.loads.note = h.read
		if h.short != "" {
			w.loads.note += "; " + h.short
		}
	}
}

// concerns reports whether a kill is one of a role's containers.
func (k *kill) concerns(key sizing.Key) bool {
	return k.container == key.Container && (key.Role == sizing.DefaultRole || key.Role == k.role)
}

// recent reports whether a kill may be missing in a history that is read at a time: the five minutes that it is in have not ended, or
// what they were has not come to the store.
func (k *kill) recent(now time.Time) bool { return now.Sub(k.at) < aggregateStep+exportDelay }

// forgetKnown takes those kills out of a history that are known by themselves, and given to models after it, so that none counts
// twice. What an earlier process noted of the limit that one hit is kept: it was there. The workload's lock is held.
func (h *history) forgetKnown(kills []kill, now time.Time) {
	for key, past := range h.kills {
		h.kills[key] = slices.DeleteFunc(past, func(p pastKill) bool {
			end := time.UnixMilli(p.at)
			known := false
			for i := range kills {
				k := &kills[i]
				if !k.concerns(key) || !k.recent(now) || k.at.Before(end.Add(-aggregateStep-sameKill)) || k.at.After(end.Add(sameKill)) {
					continue
				}
				known = true
				if k.inherited && p.limit > 0 && (k.limit == 0 || p.limit < k.limit) {
					k.limit = p.limit
				}
			}
			return known
		})
	}
}

// makeModels makes models for whoever asks and gives them the history.
func (f *Feeder) makeModels(w *workload, q wish, h *history) map[ID]map[sizing.Key]*series {
	w.mu.Lock()
	subs := make(map[ID]subscription, len(w.subs))
	for id, s := range w.subs {
		subs[id] = subscription{target: s.target}
	}
	h.forgetKnown(w.kills, q.now)
	w.mu.Unlock()
	made := make(map[ID]map[sizing.Key]*series, len(subs))
	for id, s := range subs {
		made[id] = map[sizing.Key]*series{}
		for key, points := range h.points {
			if !s.wants(key) {
				continue
			}
			x := &series{stale: true}
			var err error
			if x.model, err = f.model(s.target, key); err != nil {
				continue
			}
			x.feed(points, h.kills[key], q.now.Add(-s.target.History).UnixMilli())
			made[id][key] = x
		}
	}
	return made
}

// feed gives a model a history, kills in between.
func (x *series) feed(points []point, kills []pastKill, from int64) {
	for _, p := range points {
		if p.at < from {
			continue
		}
		for len(kills) > 0 && kills[0].at < p.at {
			kills = kills[1:] // before anything is known
		}
		at := time.UnixMilli(p.at).UTC()
		if x.model.Observe(vertical.Sample{Time: at, Value: p.peak, Mean: min(p.mean, p.peak)}) {
			x.newest = at
		}
		for len(kills) > 0 && kills[0].at == p.at {
			x.kill(vertical.OOM{Time: at, Limit: kills[0].limit, Usage: p.peak})
			kills = kills[1:]
		}
	}
}

// replace puts models in place of those there are, after they were given what happened since the history began to be read.
func (s *subscription) replace(made map[sizing.Key]*series, kills []kill, since time.Time) {
	for key, x := range made {
		var samples []vertical.Sample
		if old := s.models[key]; old != nil {
			samples = old.pending
		}
		if key.Resource == corev1.ResourceMemory {
			for _, k := range kills {
				// Earlier ones are in the history. These were taken out of it, if they were in it.
				if k.concerns(key) && k.recent(since) {
					x.kill(vertical.OOM{Time: k.at, Limit: k.limit, Usage: k.usage})
				}
			}
		}
		for _, sample := range samples {
			if x.model.Observe(sample) {
				x.newest = sample.Time
			}
		}
		s.models[key] = x
	}
}

// seedLevels gives levels to pods that were there before this process began, so that their roles need not be found out again.
func (f *Feeder) seedLevels(ctx context.Context, w *workload) {
	w.mu.Lock()
	wanted, known := w.wantsRoles()
	names := slices.Sorted(maps.Keys(w.pods))
	w.mu.Unlock()
	if !wanted || !known || len(names) < 2 {
		return
	}
	s := podSelector([]string{w.key.Namespace}, names)
	const over = 30 * time.Minute
	tick := f.deps.Signals.Tick()
	cpu, err := tick.Vector(ctx, s.cpu(over))
	if err != nil {
		return
	}
	memory, err := tick.Vector(ctx, byContainer+"(avg_over_time("+s.over("container_memory_working_set_bytes", over)+"))")
	if err != nil {
		return
	}
	m := &measurements{containers: map[containerName]*measurement{}}
	m.each(cpu, func(c *measurement, v float64) { c.cpu = quantity{value: v, known: true} })
	m.each(memory, func(c *measurement, v float64) { c.memory = quantity{value: v, known: true} })
	now := f.deps.Clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, p := range w.pods {
		for i := range p.containers {
			c := &p.containers[i]
			used := m.containers[containerName{w.key.Namespace, name, c.name}]
			// Those that began lately have not shown their level yet.
			if used == nil || !used.cpu.known || !used.memory.known || now.Sub(c.started) < roleWarmup {
				continue
			}
			c.cpu, c.memory, c.since, c.last = used.cpu.value, used.memory.value, now.Add(-levelLife), now
			c.cpuAt, c.memoryAt = now, now
		}
	}
	if w.roles.update(now, w.members(now), f.cfg.RoleRatio, time.Duration(f.cfg.RoleHold), true) {
		for name, p := range w.pods {
			p.role = w.roles.of(name, p.object.Labels)
		}
		// This load began without the roles; it is repeated.
		f.requestLoad(w, true)
	}
}
