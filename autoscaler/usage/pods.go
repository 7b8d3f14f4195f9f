package usage

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// note looks at the pods of a workload: which there are, what was changed and what their statuses tell.
func (f *Feeder) note(w *workload, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	present := make(map[string]bool, len(w.pods))
	for _, s := range w.subs {
		for i := range s.target.Pods {
			given := &s.target.Pods[i]
			name := given.Object.Name
			p := w.pods[name]
			if p == nil || p.object.UID != given.Object.UID {
				p = &pod{seen: now}
				w.pods[name] = p
			}
			present[name] = true
			f.notePod(w, p, given, now)
		}
	}
	for name, p := range w.pods {
		if present[name] {
			continue
		}
		if p.ended.IsZero() {
			p.running, p.ended = false, now
		}
		// For as long as a query may still see what it used at last.
		if now.Sub(p.ended) > f.window() {
			delete(w.pods, name)
		}
	}
	f.retryLoad(w, now)
	f.noteStarts(w, now)
}

func (f *Feeder) notePod(w *workload, p *pod, given *Pod, now time.Time) {
	if p.object != given.Object {
		p.object = given.Object
		p.refresh()
		p.role = w.roles.of(p.object.Name, p.object.Labels)
	}
	p.running = p.object.Status.Phase == corev1.PodRunning
	if !p.running && p.ended.IsZero() && (p.object.Status.Phase == corev1.PodSucceeded || p.object.Status.Phase == corev1.PodFailed) {
		p.ended = now
	}
	if given.Changed.After(p.changed) {
		p.changed, p.before, p.effects, p.healthy = given.Changed, given.Before, nil, w.wasHealthy()
		for i := range p.containers {
			p.containers[i].throttling.change()
		}
	}
	f.noteStatuses(w, p, p.object.Spec.Containers, p.object.Status.ContainerStatuses, now)
	f.noteStatuses(w, p, p.object.Spec.InitContainers, p.object.Status.InitContainerStatuses, now)
}

// refresh brings the list of containers up to date.
func (p *pod) refresh() {
	for _, specs := range [][]corev1.Container{p.object.Spec.InitContainers, p.object.Spec.Containers} {
		for i := range specs {
			if p.container(specs[i].Name) == nil {
				p.containers = append(p.containers, container{name: specs[i].Name, restarts: -1})
			}
		}
	}
}

// recentKill is how old a kill may be that a status tells of when the pod is first seen: one that happened while nobody looked.
const recentKill = 10 * time.Minute

func (f *Feeder) noteStatuses(w *workload, p *pod, specs []corev1.Container, statuses []corev1.ContainerStatus, now time.Time) {
	for i := range statuses {
		s := &statuses[i]
		c := p.container(s.Name)
		if c == nil {
			continue
		}
		first, restarted := c.restarts < 0, s.RestartCount > c.restarts
		c.restarts = s.RestartCount
		c.down = s.State.Waiting != nil || s.State.Terminated != nil
		for _, ended := range []*corev1.ContainerStateTerminated{s.LastTerminationState.Terminated, s.State.Terminated} {
			if ended == nil {
				continue
			}
			at := ended.FinishedAt.Time
			switch {
			case ended.Reason == "OOMKilled":
				if at.After(c.deaths.status) {
					c.deaths.status = at
					if !first || now.Sub(at) < recentKill {
						f.killed(w, p, c, at, statusSource(first))
					}
				}
			// One that nobody saw counts as well, if it followed the pod's last change.
			case ended == s.LastTerminationState.Terminated && restarted:
				if spec := specOf(specs, s.Name); spec != nil {
					p.noteRestart(spec, ended)
				}
			}
		}
		// What was used before belongs to the kill above.
		if s.State.Running != nil && !s.State.Running.StartedAt.Time.Equal(c.started) {
			c.started, c.peak = s.State.Running.StartedAt.Time, 0
		}
	}
}

func specOf(specs []corev1.Container, name string) *corev1.Container {
	for i := range specs {
		if specs[i].Name == name {
			return &specs[i]
		}
	}
	return nil
}

// sized are the pods as sizing wants them.
func (w *workload) sized(s *subscription) []sizing.Pod {
	pods := make([]sizing.Pod, 0, len(s.target.Pods))
	for i := range s.target.Pods {
		given := &s.target.Pods[i]
		sized := sizing.Pod{Object: given.Object, Role: sizing.DefaultRole, Changed: given.Changed}
		if p := w.pods[given.Object.Name]; p != nil {
			if s.target.Roles {
				sized.Role = p.role
			}
			sized.Effects = append(sized.Effects, p.effects...)
			for j := range p.containers {
				if c := &p.containers[j]; !c.killed.IsZero() {
					if sized.Killed == nil {
						sized.Killed = map[string]time.Time{}
					}
					sized.Killed[c.name] = c.killed
				}
			}
		}
		pods = append(pods, sized)
	}
	return pods
}
