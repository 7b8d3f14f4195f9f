package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/scale"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Target is a workload as it is now.
type Target struct {
	// Replicas is what it asks for, Existing what there is.
	Replicas, Existing int32
	Selector           labels.Selector
}

// targetError is why a target cannot be scaled: a stable code and words.
type targetError struct {
	code string
	err  error
}

func (e *targetError) Error() string { return e.err.Error() }
func (e *targetError) Unwrap() error { return e.err }

// movedError means that the target's replicas are not what the decision was made for.
type movedError struct{ replicas int32 }

func (e *movedError) Error() string {
	return fmt.Sprintf("the target asks for %d replicas by now", e.replicas)
}

// Targets reads and scales workloads. It is safe for concurrent use.
type Targets struct {
	cache  client.Reader
	mapper meta.RESTMapper
	scales scale.ScalesGetter
	clock  clock.PassiveClock

	mu sync.Mutex
	// unmapped remembers the kinds that the cluster does not have, since asking means a discovery of everything it has.
	unmapped map[schema.GroupVersionKind]unmappedKind
}

type unmappedKind struct {
	err   error
	until time.Time
}

// unmappedLife is how long a kind that the cluster does not have is not asked for again.
const unmappedLife = 10 * time.Second

// NewTargets makes a reader of targets. Deployments and StatefulSets are read from the cache, every other kind through its scale
// subresource.
func NewTargets(cache client.Reader, mapper meta.RESTMapper, scales scale.ScalesGetter, c clock.PassiveClock) *Targets {
	return &Targets{cache: cache, mapper: mapper, scales: scales, clock: c, unmapped: map[schema.GroupVersionKind]unmappedKind{}}
}

// Get reads a target.
func (t *Targets) Get(ctx context.Context, namespace string, ref v1alpha1.TargetReference) (Target, error) {
	key := client.ObjectKey{Namespace: namespace, Name: ref.Name}
	switch gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind); gvk {
	case appsv1.SchemeGroupVersion.WithKind("Deployment"):
		var d appsv1.Deployment
		if err := t.cache.Get(ctx, key, &d); err != nil {
			return Target{}, readError(ref, err)
		}
		return cachedTarget(d.Spec.Replicas, d.Status.Replicas, d.Spec.Selector)
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		var s appsv1.StatefulSet
		if err := t.cache.Get(ctx, key, &s); err != nil {
			return Target{}, readError(ref, err)
		}
		return cachedTarget(s.Spec.Replicas, s.Status.Replicas, s.Spec.Selector)
	}
	resource, err := t.resource(ref)
	if err != nil {
		return Target{}, err
	}
	live, err := t.scales.Scales(namespace).Get(ctx, resource, ref.Name, metav1.GetOptions{})
	if err != nil {
		return Target{}, readError(ref, err)
	}
	if live.Status.Selector == "" {
		return Target{}, &targetError{"NoSelector", fmt.Errorf("the scale of %s %s has no selector, so its pods are unknown", ref.Kind, ref.Name)}
	}
	selector, err := labels.Parse(live.Status.Selector)
	if err != nil {
		return Target{}, &targetError{"InvalidSelector", fmt.Errorf("the selector of %s %s: %w", ref.Kind, ref.Name, err)}
	}
	return Target{Replicas: live.Spec.Replicas, Existing: live.Status.Replicas, Selector: selector}, nil
}

func cachedTarget(replicas *int32, existing int32, labelSelector *metav1.LabelSelector) (Target, error) {
	selector, err := metav1.LabelSelectorAsSelector(labelSelector)
	if err != nil {
		return Target{}, &targetError{"InvalidSelector", fmt.Errorf("the target's selector: %w", err)}
	}
	target := Target{Replicas: 1, Existing: existing, Selector: selector}
	if replicas != nil {
		target.Replicas = *replicas
	}
	return target, nil
}

func readError(ref v1alpha1.TargetReference, err error) error {
	if apierrors.IsNotFound(err) {
		return &targetError{"TargetNotFound", fmt.Errorf("there is no %s %s", ref.Kind, ref.Name)}
	}
	return &targetError{"TargetUnreadable", fmt.Errorf("read %s %s: %w", ref.Kind, ref.Name, err)}
}

// resource finds the resource of a kind.
func (t *Targets) resource(ref v1alpha1.TargetReference) (schema.GroupResource, error) {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	now := t.clock.Now()
	t.mu.Lock()
	known, ok := t.unmapped[gvk]
	t.mu.Unlock()
	if ok && now.Before(known.until) {
		return schema.GroupResource{}, known.err
	}
	mapping, err := t.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err == nil {
		return mapping.Resource.GroupResource(), nil
	}
	code := "TargetUnreadable"
	if meta.IsNoMatchError(err) {
		code, err = "TargetKindUnknown", fmt.Errorf("the cluster has no kind %s in %s", ref.Kind, ref.APIVersion)
	}
	err = &targetError{code, err}
	t.mu.Lock()
	t.unmapped[gvk] = unmappedKind{err: err, until: now.Add(unmappedLife)}
	t.mu.Unlock()
	return schema.GroupResource{}, err
}

// Scale sets a target's replicas, if it still has those that the decision was made for; else it returns a movedError.
func (t *Targets) Scale(ctx context.Context, namespace string, ref v1alpha1.TargetReference, from, to int32) error {
	resource, err := t.resource(ref)
	if err != nil {
		return err
	}
	live, err := t.scales.Scales(namespace).Get(ctx, resource, ref.Name, metav1.GetOptions{})
	if err != nil {
		return readError(ref, err)
	}
	if live.Spec.Replicas != from {
		return &movedError{live.Spec.Replicas}
	}
	live.Spec.Replicas = to
	// The resource version of what was read goes with it: the API server refuses when somebody else was faster.
	if _, err := t.scales.Scales(namespace).Update(ctx, resource, live, metav1.UpdateOptions{}); err != nil {
		code := "ScaleRefused"
		if apierrors.IsConflict(err) {
			code = "ScaleConflict"
		}
		return &targetError{code, fmt.Errorf("set the replicas of %s %s: %w", ref.Kind, ref.Name, err)}
	}
	return nil
}

// errorCode returns the stable code of an error about a target.
func errorCode(err error) string {
	if t := (*targetError)(nil); errors.As(err, &t) {
		return t.code
	}
	return "Error"
}
