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

// maxDoublings bounds how much longer than Config.RetryInterval the next try may be put off.
const maxDoublings = 5

// podMemory is what is remembered about one pod.
type podMemory struct {
	name string
	job  *job
	// want is a fingerprint of the last step that was sent, answer what came of it, and retry when it is to be tried again.
	want   string
	answer decision.PodAction
	retry  time.Time
	// failures is how often in a row the same step was refused.
	failures int
	// change is the last resize, sent when this process sent it, zero when a predecessor did, and generation what the pod had after it.
	change     Change
	sent       time.Time
	generation int64
	// pending is true until the node was seen to have carried it out.
	pending  bool
	reported decision.PodAction
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
			s := w.pod(pod)
			x.index(pod.UID, w)
			if c, ok := ChangeOf(pod); ok {
				s.change, s.pending = c, ProgressOf(pod).Result != decision.Done
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
	if s.want != want {
		s.failures = 0
	}
	s.want, s.answer, s.retry = want, j.action, time.Time{}
	again := time.Duration(x.cfg.RetryInterval)
	switch {
	case j.action.Result == decision.Refused || j.action.Result == decision.Infeasible:
		// What the API says once it is likely to say again, and each question costs it several calls.
		again <<= min(s.failures, maxDoublings)
		s.failures++
	case j.action.Result == decision.Blocked:
	case j.action.Result == decision.Pending && j.action.Method != decision.InPlace:
	default:
		s.failures = 0
		return
	}
	s.retry = x.deps.Clock.Now().Add(again)
}

// collect takes the action of a job that is done.
func (w *workload) collect(pod types.UID, j *job) decision.PodAction {
	w.drop(pod, j)
	return j.action
}

// account completes the actions of steps by those of earlier ones, and counts what is new among them.
func (w *workload) account(x *Executor, t *Target, steps []sizing.Step, actions []decision.PodAction, now time.Time) []decision.PodAction {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := make(map[types.UID]struct{}, len(steps))
	for i := range steps {
		asked[steps[i].Pod.UID] = struct{}{}
		w.count(x, w.pods[steps[i].Pod.UID], &actions[i])
	}
	present := make(map[types.UID]struct{}, len(t.Pods))
	for i := range t.Pods {
		pod := t.Pods[i].Object
		present[pod.UID] = struct{}{}
		if _, ok := asked[pod.UID]; ok {
			continue
		}
		if action, ok := w.followUp(x, pod, now); ok {
			w.count(x, w.pods[pod.UID], &action)
			actions = append(actions, action)
		}
	}
	for uid, s := range w.pods {
		if _, ok := present[uid]; ok {
			continue
		}
		if action, ok := s.late(); ok {
			w.count(x, s, &action)
			actions = append(actions, action)
		}
	}
	return actions
}

// followUp tells what came of an earlier step for a pod, false when there is nothing more to tell. The caller holds the lock.
func (w *workload) followUp(x *Executor, pod *corev1.Pod, now time.Time) (decision.PodAction, bool) {
	s := w.pods[pod.UID]
	if s == nil {
		return decision.PodAction{}, false
	}
	if action, ok := s.late(); ok {
		return action, true
	}
	if !s.pending || finished(pod) || pod.Generation < s.generation {
		return decision.PodAction{}, false
	}
	p := ProgressOf(pod)
	if p.Result == decision.Done {
		x.settle(s, now)
	}
	return decision.PodAction{Pod: pod.Name, Method: decision.InPlace, Result: p.Result, Code: p.Code, Reason: p.Reason}, true
}

// late takes the action of a job that is done.
func (s *podMemory) late() (decision.PodAction, bool) {
	if s.job == nil {
		return decision.PodAction{}, false
	}
	select {
	case <-s.job.done:
		action := s.job.action
		s.job = nil
		return action, true
	default:
		return decision.PodAction{}, false
	}
}

// count counts an action that is another one than the pod's before.
func (w *workload) count(x *Executor, s *podMemory, a *decision.PodAction) {
	if s != nil && s.reported.Method == a.Method && s.reported.Result == a.Result && s.reported.Code == a.Code {
		return
	}
	x.deps.Metrics.count(a)
	if s != nil {
		s.reported = *a
	}
}

// resized remembers a resize that the API server accepted.
func (w *workload) resized(pod *corev1.Pod, c Change, sent time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pod(pod)
	s.change, s.sent, s.generation, s.pending = c, sent, pod.Generation, true
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
