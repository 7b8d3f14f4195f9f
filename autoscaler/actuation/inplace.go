package actuation

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// maxConflicts is how often a change is tried anew because the pod was changed under it.
const maxConflicts = 4

// change carries one step out: in place if that is possible and otherwise, where it is allowed, by a replacement. Why says why
// it is already known not to be possible in place, reserved that the workload's place for a replacement is taken for it.
func (x *Executor) change(ctx context.Context, w *workload, t *Target, step *sizing.Step, why string, reserved bool) decision.PodAction {
	for range maxConflicts {
		action, conflict := x.tryChange(ctx, w, t, step, why, reserved)
		if !conflict {
			return action
		}
	}
	return act(step, decision.Refused, "Conflict", fmt.Sprintf("the pod was changed by others %d times at once", maxConflicts))
}

func (x *Executor) tryChange(ctx context.Context, w *workload, t *Target, step *sizing.Step, why string, reserved bool) (_ decision.PodAction, conflict bool) {
	// What the cache has may be behind, and leaves out much of the pod.
	pod, err := x.deps.Kube.CoreV1().Pods(step.Pod.Namespace).Get(ctx, step.Pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && pod.UID != step.Pod.UID:
		return act(step, decision.Pending, "Gone", "the pod is gone"), false
	case err != nil:
		return x.refusal(ctx, step, "read the pod", err), false
	case finished(pod):
		return act(step, decision.Pending, "Terminating", "the pod is on its way out"), false
	}
	if step.InPlace && why == "" {
		d := differenceOf(pod, step)
		if d.unknown != "" {
			return act(step, decision.Refused, "NoSuchContainer", fmt.Sprintf("the pod has no container %s", d.unknown)), false
		}
		if d.empty() {
			p := ProgressOf(pod)
			return act(step, p.Result, p.Code, p.Reason), false
		}
		if container, restarts := d.restarts(pod); restarts {
			return x.restart(ctx, w, t, step, pod, d, container)
		}
		action, impossible, conflict := x.resize(ctx, w, step, pod, d)
		if !impossible || !step.Recreate {
			return action, conflict
		}
		why = action.Reason
	}
	r := &replacement{x: x, w: w, t: t, step: step, pod: pod, why: why, now: x.deps.Clock.Now(), reserved: reserved}
	return r.run(ctx), false
}

// restart resizes a pod one of whose containers wants to be restarted for it. That takes the container away for a while, so it
// needs the permission to replace the pod and what that needs, but for a new pod.
func (x *Executor) restart(ctx context.Context, w *workload, t *Target, step *sizing.Step, pod *corev1.Pod, d difference, container string) (decision.PodAction, bool) {
	why := fmt.Sprintf("the resize policy of container %s asks for a restart", container)
	if !step.Recreate {
		return act(step, decision.Blocked, "RestartNeeded", why+", which the policy does not allow"), false
	}
	r := &replacement{x: x, w: w, t: t, step: step, pod: pod, why: why, now: x.deps.Clock.Now()}
	return r.restart(ctx, d)
}

// resize sends a resize. It reports whether the API says that this pod cannot be resized so, and whether the pod was changed under it.
func (x *Executor) resize(ctx context.Context, w *workload, step *sizing.Step, pod *corev1.Pod, d difference) (_ decision.PodAction, impossible, conflict bool) {
	now := x.deps.Clock.Now()
	allowed, added := x.brake.take(pod.UID, now, step.Urgent, step.RollBack)
	if !allowed {
		return act(step, decision.Blocked, "Brake", x.Brake(now).Reason), false, false
	}
	after, err := x.send(ctx, pod, d, changeFor(pod, d, step.RollBack, now))
	if err == nil {
		w.resized(after, changeFor(pod, d, step.RollBack, now), now)
		x.deps.Logger.Info("pod resized", "namespace", pod.Namespace, "pod", pod.Name, "change", d.describe(pod), "urgent", step.Urgent, "rollBack", step.RollBack)
		return act(step, decision.Pending, "Unseen", "the resize was sent"), false, false
	}
	action := x.refusal(ctx, step, "resize", err)
	if added && !unanswered(action) {
		x.brake.untake(pod.UID)
	}
	if apierrors.IsConflict(err) {
		return decision.PodAction{}, false, true
	}
	if apierrors.HasStatusCause(err, nodeCapacity) {
		action.Result, action.Code = decision.Infeasible, string(nodeCapacity)
	}
	impossible = apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
	return action, impossible, false
}

// nodeCapacity is the cause that the API server gives when it knows by itself that the node is too small.
const nodeCapacity metav1.CauseType = "NodeCapacity"

// send writes the pod's annotation and then its sizes.
func (x *Executor) send(ctx context.Context, pod *corev1.Pod, d difference, c Change) (*corev1.Pod, error) {
	pods := x.deps.Kube.CoreV1().Pods(pod.Namespace)
	options := metav1.PatchOptions{FieldManager: x.deps.FieldManager}
	if err := x.note(ctx, pod, c); err != nil {
		if apierrors.IsConflict(err) {
			return nil, err
		}
		// The resize matters more: after a kill for memory, for one. This process remembers what its successor will not know.
		x.deps.Metrics.unnoted.Inc()
		x.deps.Logger.Warn("cannot note a resize on its pod", "namespace", pod.Namespace, "pod", pod.Name, "err", err)
	}
	patch, err := d.patch(pod)
	if err != nil {
		return nil, err
	}
	after, err := pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, options, "resize")
	if err != nil {
		return nil, err
	}
	return after, nil
}

// note writes a change to the pod's annotation.
func (x *Executor) note(ctx context.Context, pod *corev1.Pod, c Change) error {
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the change: %w", err)
	}
	patch, err := json.Marshal(podPatch{Metadata: metadataPatch{UID: pod.UID, Annotations: map[string]string{ResizedAnnotation: string(value)}}})
	if err != nil {
		return fmt.Errorf("make patch: %w", err)
	}
	_, err = x.deps.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: x.deps.FieldManager})
	return err
}

// unanswered reports whether a call failed in such a way that it may have been carried out.
func unanswered(a decision.PodAction) bool {
	return a.Result == decision.Refused && (a.Code == "Timeout" || a.Code == "Unreachable")
}

// refusal is the account of a call that failed.
func (x *Executor) refusal(ctx context.Context, step *sizing.Step, what string, err error) decision.PodAction {
	code := string(apierrors.ReasonForError(err))
	if code == "" {
		code = "Unreachable"
	}
	if ctx.Err() != nil {
		code = "Timeout"
	}
	return act(step, decision.Refused, code, fmt.Sprintf("%s: %v", what, err))
}
