package workload

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Sizable is a target as a vertical policy needs it.
type Sizable struct {
	// Template is what new pods are made of; it belongs to the cache and must not be changed.
	Template *corev1.PodTemplateSpec
	// Replicas is how many pods there should be.
	Replicas int32
	// Selector finds the pods.
	Selector labels.Selector
}

// shared reads what the cache holds itself rather than a copy of it.
var shared = &client.GetOptions{UnsafeDisableDeepCopy: ptr.To(true)}

// Sizable reads a target for a vertical policy from the cache.
func (t *Targets) Sizable(ctx context.Context, namespace string, ref v1alpha1.TargetReference) (Sizable, error) {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	key := client.ObjectKey{Namespace: namespace, Name: ref.Name}
	read := func(o client.Object) error {
		if err := t.cache.Get(ctx, key, o, shared); err != nil {
			return readError(ref, err)
		}
		return nil
	}
	switch gvk {
	case appsv1.SchemeGroupVersion.WithKind("Deployment"):
		var d appsv1.Deployment
		if err := read(&d); err != nil {
			return Sizable{}, err
		}
		return sizable(&d.Spec.Template, wanted(d.Spec.Replicas), d.Spec.Selector)
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		var s appsv1.StatefulSet
		if err := read(&s); err != nil {
			return Sizable{}, err
		}
		return sizable(&s.Spec.Template, wanted(s.Spec.Replicas), s.Spec.Selector)
	case appsv1.SchemeGroupVersion.WithKind("DaemonSet"):
		var d appsv1.DaemonSet
		if err := read(&d); err != nil {
			return Sizable{}, err
		}
		return sizable(&d.Spec.Template, d.Status.DesiredNumberScheduled, d.Spec.Selector)
	case batchv1.SchemeGroupVersion.WithKind("Job"):
		var j batchv1.Job
		if err := read(&j); err != nil {
			return Sizable{}, err
		}
		return sizable(&j.Spec.Template, wanted(j.Spec.Parallelism), j.Spec.Selector)
	case batchv1.SchemeGroupVersion.WithKind("CronJob"):
		var c batchv1.CronJob
		if err := read(&c); err != nil {
			return Sizable{}, err
		}
		return t.cronJob(ctx, &c)
	}
	return Sizable{}, &targetError{"NoTemplate", fmt.Errorf("what pods of kind %s in %s are made of is unknown: vertical policies take Deployments, StatefulSets, DaemonSets, Jobs and CronJobs", ref.Kind, ref.APIVersion)}
}

func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

func sizable(template *corev1.PodTemplateSpec, replicas int32, selector *metav1.LabelSelector) (Sizable, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return Sizable{}, &targetError{"InvalidSelector", fmt.Errorf("the target's selector: %w", err)}
	}
	return Sizable{Template: template, Replicas: replicas, Selector: s}, nil
}

// cronJob finds the pods of a CronJob by the names of its Jobs, since it has no selector of its own.
func (t *Targets) cronJob(ctx context.Context, c *batchv1.CronJob) (Sizable, error) {
	s := Sizable{Template: &c.Spec.JobTemplate.Spec.Template, Replicas: wanted(c.Spec.JobTemplate.Spec.Parallelism), Selector: labels.Nothing()}
	var jobs batchv1.JobList
	if err := t.cache.List(ctx, &jobs, client.InNamespace(c.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return Sizable{}, &targetError{"TargetUnreadable", fmt.Errorf("list the jobs of %s: %w", c.Name, err)}
	}
	var names []string
	for i := range jobs.Items {
		if owner := metav1.GetControllerOf(&jobs.Items[i]); owner != nil && owner.Kind == "CronJob" && owner.Name == c.Name {
			names = append(names, jobs.Items[i].Name)
		}
	}
	if len(names) == 0 {
		return s, nil
	}
	slices.Sort(names)
	requirement, err := labels.NewRequirement(batchv1.JobNameLabel, selection.In, names)
	if err != nil {
		return Sizable{}, &targetError{"InvalidSelector", fmt.Errorf("select the pods of %s: %w", c.Name, err)}
	}
	s.Selector = labels.NewSelector().Add(*requirement)
	return s, nil
}
