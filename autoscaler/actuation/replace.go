package actuation

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// replacement takes one pod away so that its controller makes another one. It goes through rules that need nothing from the API
// server, then through a dry run of the pod's successor, and at last through the eviction subresource, where
// PodDisruptionBudgets have their say.
type replacement struct {
	x    *Executor
	w    *workload
	t    *Target
	step *sizing.Step
	pod  *corev1.Pod // read just now, or the cache's while it is only asked whether it makes sense to read it
	why  string
	now  time.Time
	// reserved is true when the workload's place was reserved for this replacement beforehand, and is given back by whoever did it.
	reserved bool
}

// verdict is what stands against a replacement; nothing does when the code is empty.
type verdict struct{ code, reason string }

// budgets asks the rules that need no more of the pod than the cache has. The caller holds the workload's lock.
func (r *replacement) budgets() verdict {
	for _, rule := range budgetRules {
		if v := rule(r); v.code != "" {
			return v
		}
	}
	return verdict{}
}

// claim asks all rules and reserves the workload's place, so that no two replacements are under way that do not see each other.
func (r *replacement) claim(rules []func(*replacement) verdict) verdict {
	for _, rule := range rules {
		if v := rule(r); v.code != "" {
			return v
		}
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if v := r.budgets(); v.code != "" {
		return v
	}
	if r.reserved {
		return verdict{}
	}
	return r.w.reserve()
}

func (r *replacement) release() {
	if r.reserved {
		return
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.replacing = false
}

// run replaces the pod.
func (r *replacement) run(ctx context.Context) decision.PodAction {
	if v := r.claim(podRules); v.code != "" {
		return r.blocked(v)
	}
	defer r.release()
	if r.surges() {
		return r.surge(ctx)
	}
	made, err := r.template(ctx)
	if err != nil {
		return r.withoutTemplate(ctx, err)
	}
	if v := r.x.admitted(ctx, r, made); v.code != "" {
		return r.blocked(v)
	}
	return r.spend(func() decision.PodAction {
		if err := r.evict(ctx, false); err != nil {
			return r.evictionFailed(ctx, err)
		}
		r.x.deps.Logger.Info("pod evicted", "namespace", r.pod.Namespace, "pod", r.pod.Name, "why", r.why, "reason", r.step.Reason)
		return r.action(decision.Done, "", "evicted")
	})
}

// restart resizes a pod in place whose container is restarted for it, under the budgets of a replacement.
func (r *replacement) restart(ctx context.Context, d difference) (_ decision.PodAction, conflict bool) {
	if r.surges() {
		return r.run(ctx), false // a new pod beside the old one is better than the only one being gone for a while
	}
	if v := r.claim(restartRules); v.code != "" {
		return r.blocked(v), false
	}
	if err := r.evict(ctx, true); err != nil {
		r.release()
		return r.evictionFailed(ctx, err), false
	}
	var action decision.PodAction
	var impossible bool
	r.spend(func() decision.PodAction {
		action, impossible, conflict = r.x.resize(ctx, r.w, r.step, r.pod, d)
		if action.Result == decision.Pending {
			action.Result = decision.Done // for the budgets: it counts
		}
		return action
	})
	r.release()
	switch {
	case impossible:
		r.why = action.Reason
		return r.run(ctx), false
	case action.Result == decision.Done:
		action.Result, action.Reason = decision.Pending, "the resize was sent; "+r.why
	}
	return action, conflict
}

// spend takes what a replacement costs of the cluster's budgets, and gives it back unless the action was done, or may have been.
func (r *replacement) spend(do func() decision.PodAction) decision.PodAction {
	allowed, added := r.x.brake.take(r.pod.UID, r.now, r.step.Urgent, r.step.RollBack)
	if !allowed {
		return r.blocked(verdict{"Brake", r.x.Brake(r.now).Reason})
	}
	giveBack, ok := r.x.evictions.take(r.now)
	if !ok {
		if added {
			r.x.brake.untake(r.pod.UID)
		}
		return r.blocked(evictionRate(r))
	}
	action := do()
	if action.Result != decision.Done && !unanswered(action) {
		giveBack()
		if added {
			r.x.brake.untake(r.pod.UID)
		}
		return action
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.replaced = append(r.w.replaced, r.now)
	switch {
	case action.Result != decision.Done:
	case action.Method == decision.Evict:
		r.w.taken[r.pod.UID] = struct{}{}
	case action.Method == decision.Surge:
		r.w.rollout = r.now
	}
	return action
}

// evict asks the API server to take the pod away, or only whether it would.
func (r *replacement) evict(ctx context.Context, dryRun bool) error {
	options := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &r.pod.UID}}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return r.x.deps.Kube.PolicyV1().Evictions(r.pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.pod.Namespace, Name: r.pod.Name}, DeleteOptions: options,
	})
}

func (r *replacement) evictionFailed(ctx context.Context, err error) decision.PodAction {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return r.action(decision.Pending, "Gone", "the pod is gone")
	}
	var status apierrors.APIStatus
	if apierrors.IsTooManyRequests(err) && errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			if cause.Type == policyv1.DisruptionBudgetCause {
				return r.blocked(verdict{"PodDisruptionBudget", cause.Message})
			}
		}
	}
	return r.failed(ctx, "evict the pod", err)
}

func (r *replacement) failed(ctx context.Context, what string, err error) decision.PodAction {
	action := r.x.refusal(ctx, r.step, what, err)
	return r.action(action.Result, action.Code, action.Reason)
}

func (r *replacement) withoutTemplate(ctx context.Context, err error) decision.PodAction {
	if errors.Is(err, errNoTemplate) {
		return r.blocked(verdict{"TemplateUnknown", err.Error()})
	}
	return r.failed(ctx, "read what makes the pod", err)
}

func (r *replacement) blocked(v verdict) decision.PodAction {
	return r.action(decision.Blocked, v.code, v.reason)
}

// action accounts for the replacement, with why the pod was not resized in place.
func (r *replacement) action(result decision.Result, code, reason string) decision.PodAction {
	method := decision.Evict
	if r.surges() {
		method = decision.Surge
	}
	if r.why != "" {
		reason = r.why + "; " + reason
	}
	return decision.PodAction{Pod: r.pod.Name, Method: method, Result: result, Code: code, Reason: reason}
}

// surges reports whether the pod is the only one that serves, so that another one has to be there before it goes.
func (r *replacement) surges() bool { return r.t.Replicas <= 1 && ready(r.pod) }

func recreatePolicy(p *v1alpha1.WorkloadAutoscaler) v1alpha1.RecreatePolicy {
	if p.Spec.Vertical == nil || p.Spec.Vertical.Recreate == nil {
		return v1alpha1.RecreatePolicy{}
	}
	return *p.Spec.Vertical.Recreate
}

// recreateInterval is the shortest time between two replacements of a target's pods.
func recreateInterval(p *v1alpha1.WorkloadAutoscaler) time.Duration {
	if d := recreatePolicy(p).Interval; d != nil {
		return d.Duration
	}
	return time.Minute
}

// controllerOf is a pod's controller, nil when it has none.
func controllerOf(pod *corev1.Pod) *metav1.OwnerReference { return metav1.GetControllerOf(pod) }

func since(now, at time.Time) string {
	return fmt.Sprintf("%s ago", max(now.Sub(at), 0).Round(time.Second))
}
