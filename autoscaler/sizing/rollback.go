package sizing

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// restored is what a pod's containers go back to, because of what followed its changes.
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

// rollback judges one pod's changes of late, nil when they stand.
func (in *Input) rollback(p *Pod, window time.Duration) *restored {
	changes := in.Memory.changes[p.Object.UID]
	if len(changes) == 0 {
		return nil
	}
	r := &restored{containers: map[string]corev1.ResourceRequirements{}}
	for _, e := range p.Effects {
		for _, list := range [][]corev1.Container{p.Object.Spec.InitContainers, p.Object.Spec.Containers} {
			for i := range list {
				if e.Container == "" || e.Container == list[i].Name {
					in.restore(r, p, &list[i], e, changes, window)
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
// restart or bad health.
func (in *Input) restore(r *restored, p *Pod, c *corev1.Container, e Effect, changes []changed, window time.Duration) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		either := e.Kind == EffectRestart || e.Kind == EffectHealth
		if !either && (e.Kind == EffectOOM) != (name == corev1.ResourceMemory) {
			continue
		}
		o, ok := in.origin(changes, c, name, e.Time, window)
		if !ok {
			continue
		}
		was, is := amount(o.before.Requests, name), amount(c.Resources.Requests, name)
		key := Key{Role: roleOf(p), Container: c.Name, Resource: name}
		words := fmt.Sprintf("%s after %s went from %s to %s", words(e), name, text(name, was), text(name, o.then))
		before := *o.before.DeepCopy()
		switch {
		case was == 0 || was == is || was == o.then || (was > is) != (was > o.then):
			continue
		case is < was:
			in.Memory.remember(key, was, 0, o.at, in.Now, words)
			keepLimit(&before, &c.Resources, name)
		case either && o.known:
			least, ok := in.lowerable(p, c, key, before, o.at)
			if !ok {
				continue
			}
			in.Memory.remember(key, 0, max(was, least), o.at, in.Now, words)
			raiseTo(&before, name, least)
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

// origin is what a container had of a resource before the changes that an effect follows from.
type origin struct {
	at     time.Time
	before corev1.ResourceRequirements
	// then is the request that the effect happened with. Known is false when nobody remembers what the container had: the manifest's
	// request stands for it, and only what was taken comes back.
	then  float64
	known bool
}

// origin finds the oldest change of a container's resource that an effect may follow from: within the window before it, and after
// whatever took that resource back, which is final.
func (in *Input) origin(changes []changed, c *corev1.Container, name corev1.ResourceName, effect time.Time, window time.Duration) (origin, bool) {
	var o origin
	found := false
	// The request after a change is that before the next one.
	after := amount(c.Resources.Requests, name)
	then, settled := after, false
	for i := len(changes) - 1; i >= 0; i-- {
		change := &changes[i]
		before, touched := change.before[c.Name]
		known := change.before != nil
		if !known {
			if declared, _ := findContainer(&in.Template.Spec, c.Name); declared != nil {
				before, touched = declared.Resources, true
			}
		}
		if !touched {
			continue
		}
		request := amount(before.Requests, name)
		if change.rollBack && (!known || request != after) {
			break
		}
		switch {
		case !effect.After(change.at):
			then = request
		case !effect.After(change.at.Add(window)):
			if !settled {
				o.then, settled = then, true
			}
			o.at, o.before, o.known, found = change.at, before, known, true
		}
		after = request
	}
	return o, found
}

// lowerable is the least that a running container's resource may go back to, false when it may not go down: a rollback that kills would
// be worse than what it takes back. Memory that answered a kill is not taken back either.
func (in *Input) lowerable(p *Pod, c *corev1.Container, key Key, before corev1.ResourceRequirements, at time.Time) (least float64, ok bool) {
	reading := sound(in.Readings[key])
	if reading.State != decision.Fresh {
		return 0, false
	}
	r := key.Resource
	since := at
	least = roundUp(r, reading.Floor)
	if r == corev1.ResourceMemory {
		least = roundUp(r, max(reading.Floor, reading.Usage))
		since = at.Add(-oomAnswer)
	}
	if killed(p, c.Name, since) {
		return 0, false
	}
	is := amount(c.Resources.Requests, r)
	to := max(amount(before.Requests, r), least)
	if to >= is || near(to, is, in.tolerance()) {
		return 0, false
	}
	if h, has := in.Heaps[c.Name]; has && r == corev1.ResourceMemory {
		limited := container{spec: c, heap: heapFor(policyFor(in.Policy.Spec.Vertical, c.Name).Runtime, h, c)}
		if limit := amount(before.Limits, r); limit < amount(c.Resources.Limits, r) && limited.holdsHeap(max(limit, to)) {
			return 0, false
		}
	}
	return least, true
}

// raiseTo brings a resource's request up to the least, and its limit with it.
func raiseTo(to *corev1.ResourceRequirements, name corev1.ResourceName, least float64) {
	if amount(to.Requests, name) < least {
		set(&to.Requests, name, least)
	}
	if limit := amount(to.Limits, name); limit > 0 && limit < least {
		set(&to.Limits, name, least)
	}
}

// keepLimit keeps a limit that is higher than the one to go back to: what is given back takes nothing.
func keepLimit(to, have *corev1.ResourceRequirements, name corev1.ResourceName) {
	if q, ok := have.Limits[name]; ok && q.Cmp(to.Limits[name]) > 0 {
		if to.Limits == nil {
			to.Limits = corev1.ResourceList{}
		}
		to.Limits[name] = q
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
