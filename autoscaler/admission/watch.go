package admission

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

const (
	// grace is how much younger than its policy's sizes and the registration a pod must be: caches hear of both a little later, and
	// creation times are in whole seconds.
	grace = 5 * time.Second
	// lookBack is how old a pod may be to be noticed.
	lookBack = 10 * time.Minute
)

// watch looks at the pods that were created, since nobody else can tell that the API server did not call: a webhook that is away sees
// nothing of it. A pod of a policy that had sizes bears the annotation when it was called. It belongs to one goroutine.
type watch struct {
	// since is when the registration began to hold, zero while it does not. begun is when this process first saw it hold.
	since, begun time.Time
	// sized is when policies were first seen with sizes.
	sized map[types.UID]time.Time
	// seen holds the pods of the last lookBack.
	seen map[types.UID]time.Time
	// answered is false when the newest pod that was expected to be sized was not.
	answered bool
	// newest is when that pod was created.
	newest time.Time
}

// registered takes down what was read about the registration: when it was made, and whether it holds now.
func (w *watch) registered(made, now time.Time, holds bool) {
	if !holds {
		w.since = time.Time{}
		return
	}
	if w.begun.IsZero() {
		w.begun, w.answered = now, true
	}
	w.since = made
}

// look returns the names of pods that it has not seen before and that came without their sizes.
func (w *watch) look(ctx context.Context, now time.Time, r reviewer, reg registration) ([]string, error) {
	var policies v1alpha1.WorkloadAutoscalerList
	if err := r.reader.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	namespaces := w.remember(policies.Items, now)
	if w.since.IsZero() {
		return nil, nil
	}
	if now.Sub(w.newest) > lookBack {
		w.answered = true // nothing speaks against it any more
	}
	for uid, created := range w.seen {
		if now.Sub(created) > lookBack {
			delete(w.seen, uid)
		}
	}
	var missed []string
	for namespace := range namespaces {
		var pods corev1.PodList
		if err := r.reader.List(ctx, &pods, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return missed, fmt.Errorf("list pods: %w", err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if _, ok := w.seen[pod.UID]; ok || now.Sub(pod.CreationTimestamp.Time) > lookBack || !reg.covers(namespace, pod.Labels) {
				continue
			}
			w.seen[pod.UID] = pod.CreationTimestamp.Time
			if w.missing(ctx, r, pod) {
				missed = append(missed, namespace+"/"+pod.Name)
			}
		}
	}
	return missed, nil
}

// remember takes down since when policies have sizes, and returns the namespaces of those that do.
func (w *watch) remember(policies []v1alpha1.WorkloadAutoscaler, now time.Time) map[string]struct{} {
	if w.seen == nil {
		w.seen = map[types.UID]time.Time{}
	}
	before, namespaces := w.sized, map[string]struct{}{}
	w.sized = map[types.UID]time.Time{}
	for i := range policies {
		p := &policies[i]
		if !sizes(p) || p.Status.Vertical == nil || len(p.Status.Vertical.Containers) == 0 || !p.Status.Vertical.About(p.Spec.TargetRef) {
			continue
		}
		namespaces[p.Namespace] = struct{}{}
		since, ok := before[p.UID]
		if !ok {
			since = now
			// There may have been sizes before this process: pods that came while no webhook answered are then known by their age.
			if published := p.Status.Vertical.SizesSince; published != nil && published.Time.Before(now) {
				since = published.Time
			}
		}
		w.sized[p.UID] = since
	}
	return namespaces
}

// missing reports whether a pod should have been sized and was not, and takes down what it says about the webhook.
func (w *watch) missing(ctx context.Context, r reviewer, pod *corev1.Pod) bool {
	created := pod.CreationTimestamp.Time
	policy, err := matcher{r.reader}.policy(ctx, pod.Namespace, pod)
	if err != nil || policy == nil {
		return false
	}
	_, called := pod.Annotations[Annotation]
	since, ok := w.sized[policy.UID]
	if !called {
		if !ok || created.Before(since.Add(grace)) || created.Before(w.since.Add(grace)) {
			return false
		}
		// What the webhook leaves alone for a reason bears no annotation either.
		if v, _, err := r.decide(ctx, pod.Namespace, pod); err != nil || (v.result != resultSized && v.result != resultUnchanged) {
			return false
		}
	}
	if created.After(w.begun.Add(grace)) && !created.Before(w.newest) {
		w.newest, w.answered = created, called
	}
	return !called
}
