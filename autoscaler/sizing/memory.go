package sizing

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// firstBackOff is how long a change that was taken back is not tried again; each time more doubles it, up to lastBackOff.
	firstBackOff = time.Hour
	lastBackOff  = 7 * 24 * time.Hour
	// maxChanges bounds the pods whose changes are remembered; those changed longest ago are forgotten first. maxPerPod bounds the
	// changes of one, and the oldest is forgotten first, too.
	maxChanges = 4096
	maxPerPod  = 8
)

// Memory is what one policy decided and did lately. Its zero value is empty. It is not safe for concurrent use.
//
// It may be lost at any time, with a restart or a new leader, and nothing unsafe follows. What was asked
// for is read back from the policy's status. A pod changed shortly before is judged by the declared sizes instead of those that it had; a change that was
// taken back may be tried once more, and is taken back once more.
type Memory struct {
	asked   map[Key]asked
	changes map[types.UID][]changed
	bounds  map[Key]*bound
}

// asked is what was asked for, and why when it was first.
type asked struct {
	value        float64
	code, reason string
	// held is that of the size.
	held bool
}

// changed is one change of a pod. What follows from it may show only after the next one, so those within the window are kept, oldest
// first.
type changed struct {
	at time.Time
	// before is what the containers had that were changed, nil when that is not known.
	before map[string]corev1.ResourceRequirements
	// rollBack is true when it took another change back.
	rollBack bool
}

// bound is what is not tried again for a while, since it did harm.
type bound struct {
	// floor and ceiling bound requests, 0 when there is none.
	floor, ceiling float64
	until          time.Time
	// times is how often in a row it was taken back, cause the change that was last.
	times  int
	cause  time.Time
	reason string
}

// Applied tells that a step was carried out, or accepted by the node. It remembers what the pod had, so that the change can be taken
// back. It is for callers whose pods do not tell it themselves, in Pod.Changed and Pod.Before.
func (m *Memory) Applied(step Step, at time.Time) {
	before := make(map[string]corev1.ResourceRequirements, len(step.Containers))
	for name := range step.Containers {
		if c, _ := findContainer(&step.Pod.Spec, name); c != nil {
			before[name] = *c.Resources.DeepCopy()
		}
	}
	m.add(step.Pod.UID, changed{at: at, before: before, rollBack: step.RollBack})
}

// add remembers a change of a pod.
func (m *Memory) add(uid types.UID, c changed) {
	if m.changes == nil {
		m.changes = map[types.UID][]changed{}
	}
	if _, known := m.changes[uid]; !known && len(m.changes) >= maxChanges {
		m.forgetOldest()
	}
	list := append(m.changes[uid], c)
	if len(list) > maxPerPod {
		list = slices.Delete(list, 0, 1)
	}
	m.changes[uid] = list
}

// learn takes in the changes that pods tell of.
func (m *Memory) learn(pods []Pod, now time.Time, window time.Duration) {
	for i := range pods {
		p := &pods[i]
		uid := p.Object.UID
		list := m.changes[uid]
		if !p.Changed.IsZero() && (len(list) == 0 || p.Changed.After(list[len(list)-1].at)) {
			m.add(uid, changed{at: p.Changed, before: p.Before, rollBack: p.RolledBack})
			list = m.changes[uid]
		}
		// Effects may be told late, so changes are kept twice as long. The last one is kept in any case.
		for len(list) > 1 && now.Sub(list[0].at) > 2*window {
			list = list[1:]
		}
		if len(list) > 0 {
			m.changes[uid] = list
		}
	}
}

// ChangedAt is when a pod was last changed, zero when that is not known.
func (m *Memory) ChangedAt(uid types.UID) time.Time {
	if m == nil || len(m.changes[uid]) == 0 {
		return time.Time{}
	}
	list := m.changes[uid]
	return list[len(list)-1].at
}

func (m *Memory) forgetOldest() {
	var oldest types.UID
	var at time.Time
	for uid := range m.changes {
		if last := m.ChangedAt(uid); at.IsZero() || last.Before(at) {
			oldest, at = uid, last
		}
	}
	delete(m.changes, oldest)
}

// forget drops what concerns pods that are gone and bounds that have long ended.
func (m *Memory) forget(pods []Pod, now time.Time) {
	if len(m.changes) > 0 {
		alive := make(map[types.UID]bool, len(pods))
		for i := range pods {
			alive[pods[i].Object.UID] = true
		}
		for uid := range m.changes {
			if !alive[uid] {
				delete(m.changes, uid)
			}
		}
	}
	for key, b := range m.bounds {
		// A bound that ended is kept as long again, so that its next back-off still grows.
		if now.Sub(b.until) > lastBackOff {
			delete(m.bounds, key)
		}
	}
}

// remember bounds a request by one that did no harm. The same change is remembered once, however often it is looked at.
func (m *Memory) remember(key Key, floor, ceiling float64, cause time.Time, now time.Time, reason string) {
	if m.bounds == nil {
		m.bounds = map[Key]*bound{}
	}
	b := m.bounds[key]
	if b == nil {
		b = &bound{}
		m.bounds[key] = b
	}
	if b.times > 0 && !cause.After(b.cause) {
		b.floor = max(b.floor, floor)
		return
	}
	if now.After(b.until) {
		b.floor, b.ceiling = 0, 0
	}
	b.floor = max(b.floor, floor)
	if ceiling > 0 && (b.ceiling == 0 || ceiling < b.ceiling) {
		b.ceiling = ceiling
	}
	if b.ceiling > 0 && b.floor > b.ceiling {
		b.ceiling = 0
	}
	wait := lastBackOff
	if b.times < 8 {
		wait = min(lastBackOff, firstBackOff<<b.times)
	}
	b.times++
	b.until, b.cause, b.reason = now.Add(wait), cause, reason
}

// bounded returns what bounds a request now, nil when nothing does.
func (m *Memory) bounded(key Key, now time.Time) *bound {
	if b := m.bounds[key]; b != nil && now.Before(b.until) {
		return b
	}
	return nil
}
