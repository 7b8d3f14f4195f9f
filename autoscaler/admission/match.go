package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// owner names a workload. Versions of one kind are one workload.
type owner struct{ group, kind, name string }

func ownerOf(ref *metav1.OwnerReference) owner {
	return owner{schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group, ref.Kind, ref.Name}
}

// matcher finds the policy that sizes a pod, in the cache alone.
type matcher struct{ reader client.Reader }

// policy returns the policy that sizes a pod, nil when there is none. It belongs to the cache and must not be changed.
func (m matcher) policy(ctx context.Context, namespace string, pod *corev1.Pod) (*v1alpha1.WorkloadAutoscaler, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return nil, nil // a pod that nobody makes anew is nobody's replica
	}
	var list v1alpha1.WorkloadAutoscalerList
	if err := m.reader.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	byTarget := map[owner]*v1alpha1.WorkloadAutoscaler{}
	for i := range list.Items {
		p := &list.Items[i]
		if !sizes(p) {
			continue
		}
		key := owner{schema.FromAPIVersionAndKind(p.Spec.TargetRef.APIVersion, p.Spec.TargetRef.Kind).Group, p.Spec.TargetRef.Kind, p.Spec.TargetRef.Name}
		if first, ok := byTarget[key]; !ok || older(p, first) {
			byTarget[key] = p
		}
	}
	if len(byTarget) == 0 {
		return nil, nil
	}
	direct := ownerOf(ref)
	outer, err := m.outer(ctx, namespace, pod, direct, byTarget)
	if err != nil {
		return nil, err
	}
	if p := byTarget[outer]; p != nil {
		return p, nil
	}
	return byTarget[direct], nil
}

// sizes reports whether a policy wants pods to be sized when they are created.
func sizes(p *v1alpha1.WorkloadAutoscaler) bool {
	return p.Spec.Mode == v1alpha1.Apply && p.DeletionTimestamp == nil && p.Spec.Vertical != nil && p.Spec.Vertical.Apply != v1alpha1.ApplyOff
}

// older says which of two policies for one target counts, as everywhere in the autoscaler.
func older(a, b *v1alpha1.WorkloadAutoscaler) bool {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	return a.Name < b.Name
}

// outer finds the workload that owns the pod's owner: the Deployment of a ReplicaSet, the CronJob of a Job. It is the zero owner
// when there is none.
func (m matcher) outer(ctx context.Context, namespace string, pod *corev1.Pod, direct owner, byTarget map[owner]*v1alpha1.WorkloadAutoscaler) (owner, error) {
	switch {
	case direct.group == appsv1.GroupName && direct.kind == "ReplicaSet":
		// A Deployment names its ReplicaSets after itself and the hash that their pods bear, so there is no need to hold ReplicaSets.
		name, ok := strings.CutSuffix(direct.name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
		if candidate := (owner{appsv1.GroupName, "Deployment", name}); ok && byTarget[candidate] != nil {
			return m.deployment(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod, candidate)
		}
	case direct.group == batchv1.GroupName && direct.kind == "Job":
		return m.cronJob(ctx, client.ObjectKey{Namespace: namespace, Name: direct.name}, direct)
	}
	return owner{}, nil
}

// deployment returns the candidate if there is such a Deployment and it selects the pod.
func (m matcher) deployment(ctx context.Context, key client.ObjectKey, pod *corev1.Pod, candidate owner) (owner, error) {
	var d appsv1.Deployment
	if err := m.reader.Get(ctx, key, &d, client.UnsafeDisableDeepCopy); apierrors.IsNotFound(err) {
		return owner{}, nil
	} else if err != nil {
		return owner{}, fmt.Errorf("read deployment %s: %w", key.Name, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return owner{}, fmt.Errorf("deployment %s: %w", key.Name, err)
	}
	if !selector.Matches(labels.Set(pod.Labels)) {
		return owner{}, nil
	}
	return candidate, nil
}

// cronJob finds the CronJob of a Job. A Job's first pod may come sooner than the cache hears of the Job; then the name decides, which
// the controller makes of the CronJob's name and the minute of its schedule.
func (m matcher) cronJob(ctx context.Context, key client.ObjectKey, job owner) (owner, error) {
	var j batchv1.Job
	err := m.reader.Get(ctx, key, &j, client.UnsafeDisableDeepCopy)
	if notCached := (*cache.ErrResourceNotCached)(nil); apierrors.IsNotFound(err) || errors.As(err, &notCached) {
		at := strings.LastIndexByte(job.name, '-')
		if at < 0 || len(job.name)-at-1 < minuteDigits || strings.Trim(job.name[at+1:], "0123456789") != "" {
			return owner{}, nil
		}
		return owner{batchv1.GroupName, "CronJob", job.name[:at]}, nil
	}
	if err != nil {
		return owner{}, fmt.Errorf("read job %s: %w", key.Name, err)
	}
	if ref := metav1.GetControllerOfNoCopy(&j); ref != nil {
		return ownerOf(ref), nil
	}
	return owner{}, nil
}

// minuteDigits is how many digits a time in minutes since 1970 has, from 1989 to 2160.
const minuteDigits = 8
