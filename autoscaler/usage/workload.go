package usage

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// workload is what is known about one workload, whoever asks.
type workload struct {
	key     Workload
	pattern string // of the names of its pods
	// containers is how many count against MaxContainers; the feeder's lock guards it.
	containers int

	mu      sync.Mutex
	subs    map[ID]*subscription
	pods    map[string]*pod
	roles   roleState
	rolesAt time.Time
	// polled is true once the counters of kills were read: what they say the first time was before.
	polled bool
	groups map[groupKey][]accumulator
	kills  []kill
	starts map[string]*startLog
	heaps  heapLog
	loads  loadState
}

// groupKey names the containers of one name in the pods of one role.
type groupKey struct{ role, container string }

// pod is what is known about one pod.
type pod struct {
	object     *corev1.Pod
	changed    time.Time
	before     map[string]corev1.ResourceRequirements // than that change
	role       string
	running    bool
	seen       time.Time
	ended      time.Time // when it was first seen to have ended
	healthy    bool      // before the last change
	effects    []sizing.Effect
	containers []container
}

// container is what is known about one container of a pod.
type container struct {
	name    string
	started time.Time
	// cpu and memory are levels of usage over some ten minutes, since is when they began.
	cpu, memory float64
	since, last time.Time
	// cpuAt and memoryAt are when either was measured last; last is the later one.
	cpuAt, memoryAt time.Time
	// down is true while the pod's status says that the container does not run.
	down       bool
	peak       float64 // highest memory since the container started, of what was measured
	restarts   int32
	killed     time.Time // zero when it was not
	deaths     deaths
	throttling throttling
}

// levelLife is the time after which what was used counts half for a level.
const levelLife = 10 * time.Minute

// level moves the levels on.
func (c *container) level(now time.Time, cpu, memory quantity, after time.Duration) {
	weight := 1.0
	if !c.last.IsZero() {
		weight = 1 - math.Exp2(-float64(now.Sub(c.last))/float64(levelLife))
		// The first ten minutes are an average.
		if age := now.Sub(c.since); age < levelLife && age > 0 {
			weight = max(weight, float64(now.Sub(c.last))/float64(age))
		}
	} else {
		c.since = now
	}
	if cpu.fresh(after) {
		c.cpu += weight * (cpu.value - c.cpu)
		c.cpuAt = now
	}
	if memory.fresh(after) {
		c.memory += weight * (memory.value - c.memory)
		c.peak = max(c.peak, memory.value)
		c.memoryAt = now
	}
	c.last = now
}

func (p *pod) container(name string) *container {
	for i := range p.containers {
		if p.containers[i].name == name {
			return &p.containers[i]
		}
	}
	return nil
}

// wants reports whether somebody wants roles, and whether they were there before.
func (w *workload) wantsRoles() (wanted, known bool) {
	for _, s := range w.subs {
		wanted = wanted || s.target.Roles
		known = known || s.target.Roles && s.target.KnownRoles
	}
	return wanted, known
}

// resources are what is estimated of a container, for whoever asks.
func (w *workload) resources(container string) []corev1.ResourceName {
	var all []corev1.ResourceName
	for _, s := range w.subs {
		for _, r := range s.resources(container) {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// apply takes a measurement in.
func (f *Feeder) apply(w *workload, now time.Time, m *measurements) {
	w.mu.Lock()
	defer w.mu.Unlock()
	after := time.Duration(f.cfg.StaleAfter)
	for name, p := range w.pods {
		if !p.running && now.Sub(p.ended) > f.window() {
			continue
		}
		for i := range p.containers {
			c := &p.containers[i]
			used := m.containers[containerName{w.key.Namespace, name, c.name}]
			if used == nil {
				continue
			}
			if used.cpu.fresh(after) || used.memory.fresh(after) {
				c.level(now, used.cpu, used.memory, after)
				c.throttling.add(now, used.throttled)
				f.noteThrottling(w, p, c, now)
			}
			w.collect(p.role, c.name, used, after)
			if p.role != sizing.DefaultRole {
				w.collect(sizing.DefaultRole, c.name, used, after)
			}
		}
	}
	f.closeRound(w, now)
	if wanted, known := w.wantsRoles(); wanted && (len(w.pods) > 1 || w.roles.divided) && now.Sub(w.rolesAt) >= time.Duration(f.cfg.SampleInterval) {
		w.rolesAt = now
		if w.roles.update(now, w.members(now), f.cfg.RoleRatio, time.Duration(f.cfg.RoleHold), known) {
			f.rolesChanged(w)
		}
	}
}

// collect takes what one container used into the extent of its role.
func (w *workload) collect(role, name string, used *measurement, after time.Duration) {
	key := groupKey{role, name}
	group, ok := w.groups[key]
	if !ok {
		resources := w.resources(name)
		group = make([]accumulator, len(resources))
		for i, r := range resources {
			group[i].resource = r
		}
		w.groups[key] = group
	}
	for i := range group {
		a := &group[i]
		q := used.of(a.resource)
		if !q.fresh(after) {
			continue
		}
		throttled, pressure := 0.0, 0.0
		switch a.resource {
		case corev1.ResourceCPU:
			throttled, pressure = used.throttled, used.cpuPressure
		case corev1.ResourceMemory:
			pressure = used.memoryPressure
		}
		a.now.add(q.value, throttled, pressure)
	}
}

// closeRound ends a round of measurements: samples that are due go to the models, aggregates that ended go to the store.
func (f *Feeder) closeRound(w *workload, now time.Time) {
	for key, group := range w.groups {
		var ended Aggregate
		for i := range group {
			a := &group[i]
			sample, due, five, slot := a.close(now, time.Duration(f.cfg.Interval), time.Duration(f.cfg.SampleInterval))
			if five.count > 0 {
				ended.add(w.key, key, slot, a.resource, five.sample())
			}
			if !due {
				continue
			}
			for _, s := range w.subs {
				s.observe(sizing.Key{Role: key.role, Container: key.container, Resource: a.resource}, sample, f)
			}
		}
		if !ended.Time.IsZero() {
			ended.Kills, ended.KillLimit = w.killsIn(key, ended.Time)
			f.send(ended)
		}
	}
}

// members are the running pods as they count for roles.
func (w *workload) members(now time.Time) []member {
	var members []member
	for name, p := range w.pods {
		if !p.running {
			continue
		}
		m := member{pod: name, labels: p.object.Labels}
		for i := range p.containers {
			c := &p.containers[i]
			if c.last.IsZero() {
				continue
			}
			if now.Sub(c.since) < roleWarmup {
				m.cpu, m.memory = math.NaN(), math.NaN()
			}
			m.cpu += c.cpu
			m.memory += c.memory
		}
		if m.cpu == 0 && m.memory == 0 {
			m.cpu, m.memory = math.NaN(), math.NaN()
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.pod, b.pod) })
	return members
}

// rolesChanged gives pods their roles and has the history of new roles read.
func (f *Feeder) rolesChanged(w *workload) {
	for name, p := range w.pods {
		p.role = w.roles.of(name, p.object.Labels)
	}
	names := w.roles.names()
	for key := range w.groups {
		if key.role != sizing.DefaultRole && !slices.Contains(names, key.role) {
			delete(w.groups, key)
		}
	}
	for _, s := range w.subs {
		for key := range s.models {
			if key.Role != sizing.DefaultRole && !slices.Contains(names, key.Role) {
				delete(s.models, key)
			}
		}
	}
	if w.roles.divided {
		f.log.Info("pods of a workload behave differently", "namespace", w.key.Namespace, "kind", w.key.Kind, "name", w.key.Name, "reason", w.roles.current.reason)
	}
	f.requestLoad(w, true)
}

// subscription is what one registration has of its own.
type subscription struct {
	target Target
	models map[sizing.Key]*series
	health healthState
	// loading is true while a history is read.
	loading bool
}

// series is one model and its last estimate.
type series struct {
	model vertical.Model
	// problem says why there is no model.
	problem  string
	estimate vertical.Estimate
	known    bool
	stale    bool // the estimate is older than what the model knows
	made     time.Time
	newest   time.Time // of the samples
	oom      time.Time // the newest kill
	// pending are the samples since a history began to be read, to be given to the model that is made from it.
	pending []vertical.Sample
}

func (s *subscription) resources(container string) []corev1.ResourceName {
	if s.target.Resources == nil {
		return ordinary
	}
	return s.target.Resources(container)
}

// wants reports whether a registration has models for a role.
func (s *subscription) wants(key sizing.Key) bool {
	return (key.Role == sizing.DefaultRole || s.target.Roles) && slices.Contains(s.resources(key.Container), key.Resource)
}

func (s *subscription) series(key sizing.Key, f *Feeder) *series {
	if x := s.models[key]; x != nil {
		return x
	}
	x := &series{}
	var err error
	if x.model, err = f.model(s.target, key); err != nil {
		x.problem = err.Error()
	}
	s.models[key] = x
	return x
}

func (f *Feeder) model(t Target, key sizing.Key) (vertical.Model, error) {
	models := t.Models
	if models == nil {
		models = f.deps.Models
	}
	return models(t.Model, vertical.Resource(key.Resource), t.History)
}

// kill tells the model of a kill.
func (x *series) kill(o vertical.OOM) {
	x.model.ObserveOOM(o)
	x.stale = true
	if o.Time.After(x.oom) {
		x.oom = o.Time
	}
}

// maxPending bounds what is kept while a history is read: a day of samples. A history takes minutes at most.
const maxPending = 24 * 60

func (s *subscription) observe(key sizing.Key, sample vertical.Sample, f *Feeder) {
	if !s.wants(key) {
		return
	}
	x := s.series(key, f)
	if x.model == nil {
		return
	}
	if s.loading && len(x.pending) < maxPending {
		x.pending = append(x.pending, sample)
	}
	x.stale = true
	result := "observed"
	if x.model.Observe(sample) {
		x.newest = sample.Time
	} else {
		result = "ignored"
	}
	f.deps.Metrics.samples.WithLabelValues(result).Inc()
}
