package actuation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Dependencies are what an Executor works with.
type Dependencies struct {
	Kube    kubernetes.Interface
	Clock   clock.Clock
	Logger  *slog.Logger
	Metrics *Metrics
	// FieldManager names this controller in what it writes.
	FieldManager string
}

// Target is a workload whose pods are given sizes.
type Target struct {
	Policy *v1alpha1.WorkloadAutoscaler
	// Replicas is how many pods the target asks for.
	Replicas int32
	// Pods are the target's pods, as the cache has them.
	Pods []sizing.Pod
	// Sizes are what pods that are created get from the admission webhook.
	Sizes []sizing.ContainerSize
	// Template is what the target makes pods from. It is needed only for controllers other than ReplicaSets, StatefulSets and
	// DaemonSets, whose templates are read when they matter, and nil when unknown.
	Template *corev1.PodTemplateSpec
}

// Executor carries steps out. It is safe for concurrent use, but one target must not be given to two calls at once.
type Executor struct {
	cfg     Config
	deps    Dependencies
	started time.Time

	slots, urgent chan struct{}
	brake         *brake
	evictions     *rate
	admissions    *admissions
	jobs          sync.WaitGroup
	// slow is true while the API server takes longer than an evaluation waits: then none waits at all, so that many of them do not add up.
	slow atomic.Bool

	mu        sync.Mutex
	workloads map[types.NamespacedName]*workload
	pods      map[types.UID]*workload
}

// New makes an Executor. Its budgets begin as if a predecessor had used them evenly.
func New(cfg Config, deps Dependencies) *Executor {
	if deps.FieldManager == "" {
		deps.FieldManager = "yagura-autoscaler"
	}
	return &Executor{
		cfg: cfg, deps: deps, started: deps.Clock.Now(),
		slots: make(chan struct{}, cfg.Workers), urgent: make(chan struct{}, cfg.Workers),
		brake: newBrake(cfg, deps.Metrics), evictions: newRate(cfg.EvictionsPerMinute, deps.Clock), admissions: newAdmissions(),
		workloads: map[types.NamespacedName]*workload{}, pods: map[types.UID]*workload{},
	}
}

// Brake says whether pods may be changed for now.
func (x *Executor) Brake(now time.Time) sizing.Brake {
	open, reason := x.brake.state(now)
	return sizing.Brake{Open: open, Reason: reason}
}

// Changed returns when a pod's sizes were last changed by this autoscaler, the zero time when they were not, and what its
// changed containers had before. What it returns must not be changed.
func (x *Executor) Changed(pod *corev1.Pod) (time.Time, map[string]corev1.ResourceRequirements) {
	c, _ := x.Change(pod)
	return c.Time, c.From
}

// Change returns the last resize of a pod: as this process did it, even if the pod as given does not show it yet, or else as the
// pod's annotation tells it.
func (x *Executor) Change(pod *corev1.Pod) (Change, bool) {
	x.mu.Lock()
	w := x.pods[pod.UID]
	x.mu.Unlock()
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if s := w.pods[pod.UID]; s != nil && !s.change.Time.IsZero() {
			return s.change, true
		}
	}
	return ChangeOf(pod)
}

// index remembers which workload a pod belongs to; none when w is nil.
func (x *Executor) index(pod types.UID, w *workload) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if w == nil {
		delete(x.pods, pod)
	} else {
		x.pods[pod] = w
	}
}

// Execute takes steps that a decision about a target asks for, in their order, and returns what came of each; after those, what
// came of earlier steps that are not asked for any more: calls that were answered only now, and resizes until the node has
// carried them out, that last time included. It is to be called at each evaluation with whatever steps there are, also with
// none: the target's pods are counted, and unfinished work is followed and not done twice.
//
// It waits for what it sends for Config.Wait at most. Calls that take longer go on until ctx ends or they take longer than
// Config.Timeout, so ctx has to be that of the whole time in which this process leads.
func (x *Executor) Execute(ctx context.Context, t Target, steps []sizing.Step) []decision.PodAction {
	// What goes on after the return must not see the caller's slices change.
	steps, t.Pods = slices.Clone(steps), slices.Clone(t.Pods)
	w := x.workload(&t)
	now := x.deps.Clock.Now()
	w.learn(x, &t, now)
	actions := make([]decision.PodAction, len(steps))
	running := make([]*job, len(steps))
	timer := x.deps.Clock.NewTimer(time.Duration(x.cfg.Wait))
	defer timer.Stop()
	out := x.slow.Load() || x.cfg.Wait == 0 // no time is left to wait in
	for i := range steps {
		step := &steps[i]
		actions[i], running[i] = x.look(w, &t, step, now)
		if running[i] == nil || running[i].begun {
			continue
		}
		if !x.begin(ctx, timer, &out, step.Urgent, running[i]) {
			w.drop(step.Pod.UID, running[i])
			running[i] = nil
			actions[i] = act(step, decision.Pending, "Queued", "other pods are being changed")
		}
	}
	for i, j := range running {
		if j == nil {
			continue
		}
		if !out {
			select {
			case <-j.done:
			case <-timer.C():
				out = true
				x.slow.Store(true)
			}
		}
		select {
		case <-j.done:
			actions[i] = w.collect(steps[i].Pod.UID, j)
		default:
		}
	}
	return w.account(x, &t, steps, actions, now)
}

// begin starts a job as soon as there is a place for it, and reports whether there was one in time.
func (x *Executor) begin(ctx context.Context, timer clock.Timer, out *bool, urgent bool, j *job) bool {
	slots := x.slots
	if urgent {
		slots = x.urgent
	}
	select {
	case slots <- struct{}{}:
	default:
		if *out {
			return false
		}
		select {
		case slots <- struct{}{}:
		case <-timer.C():
			*out = true
			x.slow.Store(true)
			return false
		}
	}
	j.begun = true
	x.jobs.Go(func() {
		defer func() { <-slots }()
		began := x.deps.Clock.Now()
		j.run(ctx)
		close(j.done)
		if x.deps.Clock.Since(began) <= time.Duration(x.cfg.Wait) {
			x.slow.Store(false)
		}
	})
	return true
}

// Forget lets go of a policy that is gone.
func (x *Executor) Forget(namespace, name string) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.workloads[key]
	if w == nil {
		return
	}
	delete(x.workloads, key)
	x.brake.watch(-w.watched)
	for uid, owner := range x.pods {
		if owner == w {
			delete(x.pods, uid)
		}
	}
}

// Wait returns when nothing is under way any more. It is to be called when the context of all calls has ended, and before
// somebody else begins.
func (x *Executor) Wait() { x.jobs.Wait() }

func (x *Executor) workload(t *Target) *workload {
	key := types.NamespacedName{Namespace: t.Policy.Namespace, Name: t.Policy.Name}
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.workloads[key]
	if w == nil {
		w = &workload{pods: map[types.UID]*podMemory{}, taken: map[types.UID]struct{}{}}
		x.workloads[key] = w
	}
	x.brake.watch(len(t.Pods) - w.watched)
	w.watched = len(t.Pods)
	return w
}

// look says what is known about a step without asking anybody, and returns the job that is under way or needed for it, if any.
func (x *Executor) look(w *workload, t *Target, step *sizing.Step, now time.Time) (decision.PodAction, *job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pod(step.Pod)
	if s.job != nil {
		return act(step, decision.Pending, "Sent", "the API server has not answered yet"), s.job
	}
	if _, taken := w.taken[step.Pod.UID]; taken || finished(step.Pod) {
		return act(step, decision.Pending, "Terminating", "the pod is on its way out"), nil
	}
	want := fingerprint(step)
	if s.want == want && now.Before(s.retry) {
		return s.answer, nil
	}
	if step.InPlace {
		action, beyond := x.follow(s, step, want, now)
		if action.Result != "" && !(beyond && step.Recreate) {
			return action, nil
		}
		if beyond && step.Recreate {
			return x.prepare(w, t, step, s, want, action.Reason, now)
		}
	}
	return x.prepare(w, t, step, s, want, "", now)
}

// follow says how far a pod's resize is when it was sent already, and whether it is time for something else; the zero action
// when it has to be sent. The caller holds the workload's lock.
func (x *Executor) follow(s *podMemory, step *sizing.Step, want string, now time.Time) (_ decision.PodAction, beyond bool) {
	pod := step.Pod
	if pod.Generation < s.generation {
		if s.want == want {
			return act(step, decision.Pending, "Unseen", "the resize was sent"), false
		}
		return decision.PodAction{}, false
	}
	d := differenceOf(pod, step)
	if d.unknown != "" {
		return act(step, decision.Refused, "NoSuchContainer", fmt.Sprintf("the pod has no container %s", d.unknown)), false
	}
	if !d.empty() {
		return decision.PodAction{}, false
	}
	p := ProgressOf(pod)
	since := p.Since
	if since.IsZero() || since.Before(s.sent) {
		since = s.sent
	}
	switch p.Result {
	case decision.Infeasible:
		beyond = true
	case decision.Deferred:
		// A container that is killed again and again does not wait for room on its node.
		beyond = step.Urgent || !since.IsZero() && now.Sub(since) >= time.Duration(x.cfg.DeferredTimeout)
	case decision.Pending:
		beyond = !since.IsZero() && now.Sub(since) >= time.Duration(x.cfg.ProgressTimeout)
	case decision.Done:
		x.settle(s, now)
	}
	return act(step, p.Result, p.Code, p.Reason), beyond
}

// settle notes that a resize was carried out. The caller holds the workload's lock.
func (x *Executor) settle(s *podMemory, now time.Time) {
	if s.pending && !s.sent.IsZero() {
		x.deps.Metrics.resizeSeconds.Observe(now.Sub(s.sent).Seconds())
	}
	s.pending = false
}

// prepare makes the job of a step, unless it is already known that nothing may be done. Why says why a resize in place is out of
// the question. The caller holds the workload's lock.
func (x *Executor) prepare(w *workload, t *Target, step *sizing.Step, s *podMemory, want, why string, now time.Time) (decision.PodAction, *job) {
	switch {
	case !step.InPlace && !step.Recreate:
		return act(step, decision.Blocked, "NotAllowed", "the policy lets no running pod be changed"), nil
	case !x.brakeLets(step, now):
		return act(step, decision.Blocked, "Brake", x.Brake(now).Reason), nil
	}
	if !step.InPlace || why != "" {
		if now.Sub(w.rollout) < time.Duration(x.cfg.ProgressTimeout) && step.Pod.CreationTimestamp.Time.Before(w.rollout) {
			return decision.PodAction{Pod: step.Pod.Name, Method: decision.Surge, Result: decision.Pending, Code: "RollingOut", Reason: "the Deployment is being rolled out"}, nil
		}
		r := &replacement{x: x, w: w, t: t, step: step, pod: step.Pod, why: why, now: now}
		if v := r.budgets(); v.code != "" {
			return r.blocked(v), nil
		}
	}
	j := &job{done: make(chan struct{})}
	if !step.InPlace || why != "" {
		if v := w.reserve(); v.code != "" {
			return (&replacement{t: t, step: step, pod: step.Pod, why: why}).blocked(v), nil
		}
		j.reserved = true
	}
	j.run = func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(x.cfg.Timeout))
		defer cancel()
		j.action = x.change(ctx, w, t, step, why, j.reserved)
		w.finish(x, step.Pod.UID, j, want)
	}
	s.job = j
	return act(step, decision.Pending, "Sent", "the API server has not answered yet"), j
}

func (x *Executor) brakeLets(step *sizing.Step, now time.Time) bool {
	if step.Urgent || step.RollBack {
		return true // take decides about what is rolled back
	}
	open, _ := x.brake.state(now)
	return open
}

// act makes the account of a step. It was done in place unless said otherwise.
func act(step *sizing.Step, result decision.Result, code, reason string) decision.PodAction {
	method := decision.InPlace
	if !step.InPlace {
		method = decision.Evict
	}
	return decision.PodAction{Pod: step.Pod.Name, Method: method, Result: result, Code: code, Reason: reason}
}
