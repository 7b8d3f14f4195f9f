package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// kill is a container that was killed for memory.
type kill struct {
	at              time.Time
	role, container string
	limit, usage    float64
	// inherited is true when it was before this process looked at the pod: the limit that it hit may have been raised since.
	inherited bool
}

// killSource is who told of a kill.
type killSource int

const (
	byCounter killSource = iota
	byStatus
	// byFirstStatus is the status of a pod that is looked at for the first time.
	byFirstStatus
)

func statusSource(first bool) killSource {
	if first {
		return byFirstStatus
	}
	return byStatus
}

// maxKills is how many kills of a workload are remembered, the newest.
const maxKills = 64

// deaths is what was heard of a container's kills. The kernel's counter and the pod's status tell of the same one, seconds apart.
type deaths struct {
	// status is when the newest kill was that the status told of.
	status time.Time
	// byStatus and byCounter are when one was told of that the other has not told of yet.
	byStatus, byCounter time.Time
}

// sameKill is how far apart the counter and the status may tell of one kill.
const sameKill = 30 * time.Second

// told takes word of a kill and reports whether it is news.
func (d *deaths) told(at time.Time, counter bool) bool {
	mine, other := &d.byStatus, &d.byCounter
	if counter {
		mine, other = other, mine
	}
	if !other.IsZero() && at.Sub(*other).Abs() <= sameKill {
		*other = time.Time{}
		return false
	}
	*mine = at
	return true
}

// killed answers a kill: models that it concerns know it from now on.
func (f *Feeder) killed(w *workload, p *pod, c *container, at time.Time, by killSource) {
	if !c.deaths.told(at, by == byCounter) {
		return
	}
	source := "status"
	if by == byCounter {
		source = "counter"
	}
	f.deps.Metrics.kills.WithLabelValues(source).Inc()
	k := kill{at: at, role: p.role, container: c.name, limit: p.limitAt(c.name, at), usage: c.peak, inherited: by == byFirstStatus}
	c.peak = 0
	if at.After(c.killed) {
		c.killed = at
	}
	w.kills = append(w.kills, k)
	if len(w.kills) > maxKills {
		w.kills = slices.Delete(w.kills, 0, len(w.kills)-maxKills)
	}
	for _, s := range w.subs {
		for _, role := range slices.Compact([]string{sizing.DefaultRole, p.role}) {
			key := sizing.Key{Role: role, Container: c.name, Resource: corev1.ResourceMemory}
			if !s.wants(key) {
				continue
			}
			if x := s.series(key, f); x.model != nil {
				x.kill(vertical.OOM{Time: k.at, Limit: k.limit, Usage: k.usage})
			}
		}
	}
	p.effect(sizing.Effect{Kind: sizing.EffectOOM, Container: c.name, Time: at,
		Reason: fmt.Sprintf("%s was killed for memory at %s, told by the %s", c.name, at.UTC().Format(time.TimeOnly), sourceText(by))})
	f.log.Info("container killed for memory", "namespace", w.key.Namespace, "pod", p.object.Name, "container", c.name, "limit", k.limit, "source", source)
}

func sourceText(by killSource) string {
	if by == byCounter {
		return "kernel's counter"
	}
	return "pod's status"
}

// limitAt is the memory limit that was in force at a time. Who answers a kill raises the limit: one that is heard of afterwards, be
// it by a slow status or by the leader that comes after, must not be answered again for what was given in answer to it.
func (p *pod) limitAt(name string, at time.Time) float64 {
	limit := memoryLimit(p.object, name)
	if before, ok := p.before[name]; ok && p.changed.After(at) {
		if was, ok := before.Limits[corev1.ResourceMemory]; ok && (limit == 0 || asFloat(was) < limit) {
			return asFloat(was)
		}
	}
	return limit
}

// memoryLimit is the limit in force, 0 when there is none or it is unknown.
func memoryLimit(pod *corev1.Pod, name string) float64 {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if s := &statuses[i]; s.Name == name && s.Resources != nil {
				if limit, ok := s.Resources.Limits[corev1.ResourceMemory]; ok {
					return limit.AsApproximateFloat64()
				}
			}
		}
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			if c := &containers[i]; c.Name == name {
				if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
					return limit.AsApproximateFloat64()
				}
			}
		}
	}
	if pod.Spec.Resources != nil {
		if limit, ok := pod.Spec.Resources.Limits[corev1.ResourceMemory]; ok {
			return limit.AsApproximateFloat64()
		}
	}
	return 0
}

// killsIn counts the kills in the five minutes that end at a time.
func (w *workload) killsIn(key groupKey, end time.Time) (count, limit float64) {
	for _, k := range w.kills {
		if k.container != key.container || key.role != sizing.DefaultRole && k.role != key.role {
			continue
		}
		if age := end.Sub(k.at); age >= 0 && age < aggregateStep {
			count++
			limit = max(limit, k.limit)
		}
	}
	return count, limit
}

// counterKey names a counter of kills: a container that is started anew has a cgroup, and so an id, of its own.
type counterKey struct{ namespace, pod, container, id string }

type counted struct {
	value float64
	seen  time.Time
}

// counterLife is how long a counter is remembered that is not reported any more.
const counterLife = 10 * time.Minute

// killWindow is the least time that counters are looked at over, so that one is seen whose container ended right after.
const killWindow = 10 * time.Second

// pollKills asks for the counters of kills that are not zero. Those are few, so that one query is enough for all workloads, and it also
// sees series that ended seconds ago, as those of a killed container do.
func (f *Feeder) pollKills(ctx context.Context, workloads []*workload) error {
	var namespaces []string
	for _, w := range workloads {
		namespaces = append(namespaces, w.key.Namespace)
	}
	if len(namespaces) == 0 {
		return nil
	}
	slices.Sort(namespaces)
	window := max(killWindow, 4*f.spacing())
	query := fmt.Sprintf(`max by (namespace, pod, container, id) (last_over_time(container_oom_events_total{namespace=~%s,container!="",container!="POD"}[%s])) > 0`,
		strconv.Quote(alternatives(slices.Compact(namespaces))), promDuration(window))
	points, err := f.deps.Signals.Tick().Vector(ctx, query)
	if err != nil {
		return fmt.Errorf("look for kills: %w", err)
	}
	now := f.deps.Clock.Now()
	news := map[podName][]counterKey{}
	for _, p := range points {
		key := counterKey{p.Labels["namespace"], p.Labels["pod"], p.Labels["container"], p.Labels["id"]}
		before := f.watch.counters[key].value
		if p.Value > before {
			name := podName{key.namespace, key.pod}
			news[name] = append(news[name], key)
		}
		f.watch.counters[key] = counted{value: p.Value, seen: now}
	}
	for key, c := range f.watch.counters {
		if now.Sub(c.seen) > counterLife {
			delete(f.watch.counters, key)
		}
	}
	for _, w := range workloads {
		f.takeKills(w, now, news)
	}
	return nil
}

func (f *Feeder) takeKills(w *workload, now time.Time, news map[podName][]counterKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.polled
	w.polled = true
	if first || len(news) == 0 {
		return
	}
	for name, keys := range news {
		p := w.pods[name.pod]
		if name.namespace != w.key.Namespace || p == nil {
			continue
		}
		slices.SortFunc(keys, func(a, b counterKey) int { return cmp.Compare(a.container, b.container) })
		for _, key := range keys {
			if c := p.container(key.container); c != nil {
				f.killed(w, p, c, now, byCounter)
			}
		}
	}
}
