package usage

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// View is what is known for one registration.
type View struct {
	// Readings are the estimates of all containers and roles that are sized. One that has no sample yet is in it as Missing.
	Readings map[sizing.Key]sizing.Reading
	// Pods are the target's pods with their roles and what followed their last changes.
	Pods     []sizing.Pod
	Startups map[string]sizing.Startup
	Heaps    map[string]sizing.Heap
	// Roles says why pods are told apart, empty when they are not.
	Roles string
	// HistoryRead is true once all of the history has been read that can be. Until then the Floor of readings is the highest of what the
	// pods request, what the template does and what is published, so that nothing shrinks by part of a history, and readings of what is
	// published are Stale unless reading fails, so that nothing comes and goes with a new leader. History says where it comes from, or
	// why it does not.
	HistoryRead bool
	History     string
}

// reestimate is how long an estimate stands when nothing new was observed: it ages.
const reestimate = time.Minute

// View returns what is known now for a registration, false when there is none. The caller owns it.
func (f *Feeder) View(id ID, now time.Time) (View, bool) {
	f.mu.Lock()
	w := f.workloads[f.ids[id]]
	f.mu.Unlock()
	if w == nil {
		return View{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.subs[id]
	if s == nil {
		return View{}, false
	}
	v := View{
		Readings: map[sizing.Key]sizing.Reading{}, Pods: w.sized(s), Startups: map[string]sizing.Startup{}, Heaps: w.heapsOf(&s.target),
		HistoryRead: w.loads.done, History: w.loads.note,
	}
	if s.target.Roles {
		v.Roles = w.roles.reason()
	}
	for name, log := range w.starts {
		if startup, ok := log.startup(); ok {
			v.Startups[name] = startup
		}
	}
	for _, key := range w.keys(s) {
		v.Readings[key] = f.reading(w, s, key, now)
	}
	return v, true
}

// keys are what a registration has estimates of: the containers of the template and of the pods, and those that ran earlier while there
// is neither.
func (w *workload) keys(s *subscription) []sizing.Key {
	var containers []string
	add := func(specs []corev1.Container) {
		for i := range specs {
			if !slices.Contains(containers, specs[i].Name) {
				containers = append(containers, specs[i].Name)
			}
		}
	}
	if t := s.target.Template; t != nil {
		add(t.Spec.InitContainers)
		add(t.Spec.Containers)
	}
	for i := range s.target.Pods {
		add(s.target.Pods[i].Object.Spec.InitContainers)
		add(s.target.Pods[i].Object.Spec.Containers)
	}
	if len(containers) == 0 {
		for key := range s.models {
			if !slices.Contains(containers, key.Container) {
				containers = append(containers, key.Container)
			}
		}
	}
	roles := []string{sizing.DefaultRole}
	if s.target.Roles {
		roles = w.roles.names()
	}
	var keys []sizing.Key
	for _, container := range containers {
		for _, r := range s.resources(container) {
			for _, role := range roles {
				keys = append(keys, sizing.Key{Role: role, Container: container, Resource: r})
			}
		}
	}
	return keys
}

// reading is the estimate of one resource of one container, and how far it can be trusted.
func (f *Feeder) reading(w *workload, s *subscription, key sizing.Key, now time.Time) sizing.Reading {
	x := s.models[key]
	if x == nil || x.model == nil {
		r := sizing.Reading{State: decision.Missing, Reason: "nothing was measured yet"}
		switch {
		case x != nil:
			r.Reason = x.problem
		case !w.loads.done && w.loads.note != "":
			r.Reason = w.loads.note
		}
		return r
	}
	if x.stale || now.Sub(x.made) >= reestimate || now.Before(x.made) {
		x.estimate, x.known = x.model.Estimate(now)
		x.stale, x.made = false, now
	}
	if !x.known {
		return sizing.Reading{State: decision.Missing, Reason: "nothing was measured yet"}
	}
	r := sizing.Reading{Estimate: x.estimate, State: decision.Fresh, OOM: x.oom}
	w.judge(&r, s, key, now, time.Duration(f.cfg.StaleAfter), x)
	if !w.loads.done {
		// What is published came from all of the history, which is better than what the last hours say. If the history cannot be read,
		// these have to do.
		if s.target.Published[key] > 0 && w.loads.failures == 0 && r.State == decision.Fresh {
			r.State, r.Reason = decision.Stale, "the history is still being read, so that nothing changes yet"
		}
		keep(&r, w.inForce(s, key), "the history is still being read, so that nothing shrinks yet")
	}
	return r
}

// judge says how old the newest sample is and whether that is good enough. When no pod runs, there is nothing to measure and nothing
// amiss.
func (w *workload) judge(r *sizing.Reading, s *subscription, key sizing.Key, now time.Time, after time.Duration, x *series) {
	alive, running, measured := w.coverage(key, now, after)
	var at time.Time
	if r.Usage, at = w.newest(key); at.Before(x.newest) {
		at = x.newest
	}
	r.Age = max(0, now.Sub(at))
	switch {
	case alive == 0:
		r.Reason = "no pod runs that could be measured"
	case r.Age > after:
		r.State = decision.Stale
		r.Reason = fmt.Sprintf("the newest sample is %s old, more than %s", r.Age.Round(time.Second), after)
	case 2*measured < running:
		r.State = decision.Stale
		r.Reason = fmt.Sprintf("only %d of %d running pods have samples that are not older than %s", measured, running, after)
	case measured < running:
		keep(r, w.inForce(s, key), fmt.Sprintf("only %d of %d running pods have samples that are not older than %s, so that nothing shrinks", measured, running, after))
	}
}

// keep makes a reading one by which nothing shrinks. What is measured may still be a reason to grow.
func keep(r *sizing.Reading, floor float64, reason string) {
	r.Floor = max(r.Floor, floor)
	if r.Reason == "" {
		r.Reason = reason
	}
}

// coverage counts the running pods of a role that have the container, those of them whose use of the resource should have been measured
// by now, and those where it was lately.
func (w *workload) coverage(key sizing.Key, now time.Time, after time.Duration) (alive, running, measured int) {
	for _, p := range w.pods {
		if !p.running || key.Role != sizing.DefaultRole && p.role != key.Role {
			continue
		}
		c := p.container(key.Container)
		if c == nil || !runs(p.object, c.name) {
			continue
		}
		alive++
		switch last := c.lastOf(key.Resource); {
		case !last.IsZero() && now.Sub(last) <= after:
			running++
			measured++
		case !c.down && now.Sub(p.seen) > after && now.Sub(c.started) > after:
			running++
		}
	}
	return alive, running, measured
}

// runs reports whether a container of a running pod is one that runs as long as the pod does: an init container that is done is not
// measured any more, and nothing is amiss.
func runs(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == name {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
	}
	return true
}

func (w *workload) newest(key sizing.Key) (float64, time.Time) {
	for i := range w.groups[groupKey{key.Role, key.Container}] {
		if a := &w.groups[groupKey{key.Role, key.Container}][i]; a.resource == key.Resource {
			if a.at > 0 {
				return a.newest, time.UnixMilli(a.at)
			}
		}
	}
	return 0, time.Time{}
}

// lastOf is when a resource was measured last.
func (c *container) lastOf(resource corev1.ResourceName) time.Time {
	switch resource {
	case corev1.ResourceCPU:
		return c.cpuAt
	case corev1.ResourceMemory:
		return c.memoryAt
	}
	return c.last
}

// inForce is the highest request for a resource that is published for a registration, that its template declares, or that the pods
// of the role have.
func (w *workload) inForce(s *subscription, key sizing.Key) float64 {
	highest := max(w.requested(key), s.target.Published[key])
	if t := s.target.Template; t != nil {
		for _, specs := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
			if c := specOf(specs, key.Container); c != nil {
				highest = max(highest, asFloat(c.Resources.Requests[key.Resource]))
			}
		}
	}
	return highest
}

// requested is the highest request in force over the pods of a role.
func (w *workload) requested(key sizing.Key) (highest float64) {
	take := func(list corev1.ResourceList) {
		if q, ok := list[key.Resource]; ok {
			highest = max(highest, asFloat(q))
		}
	}
	for _, p := range w.pods {
		if key.Role != sizing.DefaultRole && p.role != key.Role {
			continue
		}
		for _, specs := range [][]corev1.Container{p.object.Spec.Containers, p.object.Spec.InitContainers} {
			if c := specOf(specs, key.Container); c != nil {
				take(c.Resources.Requests)
			}
		}
	}
	return highest
}

func asFloat(q resource.Quantity) float64 { return q.AsApproximateFloat64() }
