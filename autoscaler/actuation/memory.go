package actuation

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// workload is what is remembered about one target's pods. It holds no more pods than the target has.
type workload struct {
	watched int // under the executor's lock

	mu   sync.Mutex
	pods map[types.UID]*podMemory
	// taken are pods that were evicted and that the cache still has.
	taken map[types.UID]struct{}
	// replaced are the times of evictions and rollouts within Config.ReplacementRest and the policy's interval, oldest first.
	replaced []time.Time
	// replacing is true while one replacement is being asked for: two at once would not see each other.
	replacing bool
	// rollout is when this process last rolled the target out.
	rollout time.Time
}

// podMemory is what is remembered about one pod.
type podMemory struct {
	name string
	job  *job
	// want is a fingerprint of the last step that was sent, answer what came of it, and retry when it is to be tried again.
	want   string
	answer decision.PodAction
	retry  time.Time
	// change is the last resize by this process, sent when, and generation what the pod had after it.
	change     Change
	sent       time.Time
	generation int64
	settled    bool
	reported   decision.PodAction
}

// job is work that goes on beside the evaluations.
type job struct {
	run   func(context.Context)
	begun bool
	// reserved is true when the job holds the workload's place for a replacement.
	reserved bool
	done     chan struct{}
	action   decision.PodAction // valid when done is closed
}

// reserve takes the place for the one replacement that may be under way. The caller holds the lock.
func (w *workload) reserve() verdict {
	if w.replacing {
		return verdict{"Replacing", "another pod of the target is being replaced right now"}
	}
	w.replacing = true
	return verdict{}
}

// pod returns the memory of a pod. The caller holds the lock.
func (w *workload) pod(pod *corev1.Pod) *podMemory {
	s := w.pods[pod.UID]
	if s == nil {
		s = &podMemory{name: pod.Name}
		w.pods[pod.UID] = s
	}
	return s
}

// learn takes in the target's pods: what they say about earlier changes, and that others are gone.
func (w *workload) learn(x *Executor, t *Target, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	present := make(map[types.UID]struct{}, len(t.Pods))
	for i := range t.Pods {
		pod := t.Pods[i].Object
		present[pod.UID] = struct{}{}
		if _, known := w.pods[pod.UID]; !known {
			w.pod(pod)
			x.index(pod.UID, w)
			if c, ok := ChangeOf(pod); ok {
				x.brake.learn(pod.UID, c.Time, now)
			}
		}
	}
	for uid, s := range w.pods {
		if _, ok := present[uid]; !ok && s.job == nil {
			delete(w.pods, uid)
			x.index(uid, nil)
		}
	}
	for uid := range w.taken {
		if _, ok := present[uid]; !ok {
			delete(w.taken, uid)
		}
	}
	keep := max(time.Duration(x.cfg.ReplacementRest), recreateInterval(t.Policy))
	for len(w.replaced) > 0 && now.Sub(w.replaced[0]) > keep {
		w.replaced = w.replaced[1:]
	}
}

// drop forgets a job that did not begin.
func (w *workload) drop(pod types.UID, j *job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.pods[pod]; s != nil && s.job == j {
		s.job = nil
	}
	if j.reserved && !j.begun {
		w.replacing = false
	}
}

// finish remembers what came of a job for a step.
func (w *workload) finish(x *Executor, pod types.UID, j *job, want string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j.reserved {
		w.replacing = false
	}
	s := w.pods[pod]
	if s == nil {
		return
	}
	s.want, s.answer, s.retry = want, j.action, time.Time{}
	switch j.action.Result {
	case decision.Blocked, decision.Refused:
		s.retry = x.deps.Clock.Now().Add(time.Duration(x.cfg.RetryInterval))
	case decision.Pending:
		if j.action.Method != decision.InPlace {
			s.retry = x.deps.Clock.Now().Add(time.Duration(x.cfg.RetryInterval))
		}
	}
}

// collect takes the action of a job that is done.
func (w *workload) collect(pod types.UID, j *job) decision.PodAction {
	w.drop(pod, j)
	return j.action
}

// late takes the actions of jobs that are done and that no step asks for any more.
func (w *workload) late(steps []sizing.Step) []decision.PodAction {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := make(map[types.UID]struct{}, len(steps))
	for i := range steps {
		asked[steps[i].Pod.UID] = struct{}{}
	}
	var actions []decision.PodAction
	for uid, s := range w.pods {
		if _, ok := asked[uid]; ok || s.job == nil {
			continue
		}
		select {
		case <-s.job.done:
			actions = append(actions, s.job.action)
			s.job = nil
		default:
		}
	}
	return actions
}

// report counts actions that are other ones than those before.
func (w *workload) report(metrics *Metrics, steps []sizing.Step, actions []decision.PodAction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range actions {
		a := &actions[i]
		if i >= len(steps) {
			metrics.count(a)
			continue
		}
		s := w.pods[steps[i].Pod.UID]
		if s == nil || s.reported.Method != a.Method || s.reported.Result != a.Result || s.reported.Code != a.Code {
			metrics.count(a)
		}
		if s != nil {
			s.reported = *a
		}
	}
}

// resized remembers a resize that the API server accepted.
func (w *workload) resized(pod *corev1.Pod, c Change, sent time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pod(pod)
	s.change, s.sent, s.generation, s.settled = c, sent, pod.Generation, false
}

// fingerprint tells steps apart by what they ask for.
func fingerprint(step *sizing.Step) string {
	text, err := json.Marshal(struct {
		C    map[string]corev1.ResourceRequirements
		P    *corev1.ResourceRequirements
		I, R bool
	}{step.Containers, step.PodResources, step.InPlace, step.Recreate})
	if err != nil {
		return ""
	}
	return string(text)
}
