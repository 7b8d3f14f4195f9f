package sizing

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// restored is what a pod's containers go back to, because of what followed its last change.
type restored struct {
	containers map[string]corev1.ResourceRequirements
	reason     string
	kind       EffectKind
}

// rollbacks finds the changes that did harm and remembers what is not to be tried again.
func rollbacks(in *Input) map[types.UID]*restored {
	window := in.window()
	if window <= 0 {
		return nil
	}
	var all map[types.UID]*restored
	for i := range in.Pods {
		p := &in.Pods[i]
		if len(p.Effects) == 0 || !lives(p.Object) {
			continue
		}
		if r := in.rollback(p, window); r != nil {
			if all == nil {
				all = map[types.UID]*restored{}
			}
			all[p.Object.UID] = r
		}
	}
	return all
}

// rollback judges one pod's last change, nil when it stands. A change that takes another back is final.
func (in *Input) rollback(p *Pod, window time.Duration) *restored {
	last, known := in.Memory.changes[p.Object.UID]
	if !known || p.Changed.After(last.at) {
		last, known = changed{at: p.Changed, before: p.Before, rollBack: p.RolledBack}, p.Before != nil
	}
	at := last.at
	if at.IsZero() || last.rollBack {
		return nil
	}
	r := &restored{containers: map[string]corev1.ResourceRequirements{}}
	for _, e := range p.Effects {
		if !e.Time.After(at) || e.Time.After(at.Add(window)) {
			continue
		}
		for _, list := range [][]corev1.Container{p.Object.Spec.InitContainers, p.Object.Spec.Containers} {
			for i := range list {
				if e.Container == "" || e.Container == list[i].Name {
					in.restore(r, p, &list[i], e, at, last, known)
				}
			}
		}
	}
	if len(r.containers) == 0 {
		return nil
	}
	return r
}

// restore takes back what an effect of one kind speaks against: less memory after a kill, less CPU after throttling, any change after a
// restart or bad health. Without a memory of what the container had, the manifest's request stands for it, and only what was taken
// comes back.
func (in *Input) restore(r *restored, p *Pod, c *corev1.Container, e Effect, at time.Time, last changed, known bool) {
	before, changed := last.before[c.Name]
	if known && !changed {
		return
	}
	if !known {
		declared, _ := findContainer(&in.Template.Spec, c.Name)
		if declared == nil {
			return
		}
		before = declared.Resources
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		either := e.Kind == EffectRestart || e.Kind == EffectHealth
		if !either && (e.Kind == EffectOOM) != (name == corev1.ResourceMemory) {
			continue
		}
		was, is := amount(before.Requests, name), amount(c.Resources.Requests, name)
		key := Key{Role: roleOf(p), Container: c.Name, Resource: name}
		words := fmt.Sprintf("%s after %s went from %s to %s", words(e), name, text(name, was), text(name, is))
		switch {
		case was == 0 || was == is:
			continue
		case is < was:
			in.Memory.remember(key, was, 0, at, in.Now, words)
		case either && known && !killed(p, c.Name, at):
			in.Memory.remember(key, 0, was, at, in.Now, words)
		default:
			continue
		}
		to, ok := r.containers[c.Name]
		if !ok {
			to = *c.Resources.DeepCopy()
		}
		setBoth(&to, name, before)
		r.containers[c.Name] = to
		if r.reason == "" || e.Kind == EffectOOM {
			r.reason, r.kind = fmt.Sprintf("container %s: %s", c.Name, words), e.Kind
		}
	}
}

// setBoth takes request and limit of a resource from other requirements. A limit that those do not have stays, and bounds the request.
func setBoth(to *corev1.ResourceRequirements, name corev1.ResourceName, from corev1.ResourceRequirements) {
	if q, ok := from.Requests[name]; ok {
		if to.Requests == nil {
			to.Requests = corev1.ResourceList{}
		}
		to.Requests[name] = q
	}
	if q, ok := from.Limits[name]; ok {
		if _, has := to.Limits[name]; has {
			to.Limits[name] = q
		}
	}
	if limit, has := to.Limits[name]; has && limit.Cmp(to.Requests[name]) < 0 {
		to.Requests[name] = limit
	}
}

func words(e Effect) string {
	switch e.Kind {
	case EffectOOM:
		return "killed for memory"
	case EffectRestart:
		return "restarted"
	case EffectThrottling:
		return "throttled"
	case EffectHealth:
		return "bad health"
	}
	return string(e.Kind)
}

// killed reports whether a pod's container was killed for memory since a time.
func killed(p *Pod, name string, since time.Time) bool { return lastKill(p, name).After(since) }

// lastKill is when a pod's container was last killed for memory, by whoever tells of it; zero when it was not.
func lastKill(p *Pod, name string) time.Time {
	last := p.Killed[name]
	for _, e := range p.Effects {
		if e.Kind == EffectOOM && e.Container == name {
			last = later(last, e.Time)
		}
	}
	status := containerStatus(p.Object, name)
	if status == nil {
		return last
	}
	for _, t := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
		if t != nil && t.Reason == "OOMKilled" {
			last = later(last, t.FinishedAt.Time)
		}
	}
	return last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
