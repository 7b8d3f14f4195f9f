package autoscaler

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/usage"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
	"github.com/yagura-dev/yagura/autoscaler/vpa"
	"github.com/yagura-dev/yagura/autoscaler/workload"
)

// knownVPAs lists the VerticalPodAutoscalers that are known, for the webhook: nobody is asked while a pod waits to be created.
type knownVPAs struct{ objects *vpa.Objects }

func (k knownVPAs) List(ctx context.Context) ([]vpav1.VerticalPodAutoscaler, error) {
	return k.objects.Known(ctx)
}

// vpas ties the VerticalPodAutoscalers of a cluster to the rooms: whose usage is followed for them, and which targets they size.
type vpas struct {
	cfg vpa.Config
	// objects are the cluster's, or those of them that are known.
	objects interface {
		List(context.Context) ([]vpav1.VerticalPodAutoscaler, error)
	}
	cache   client.Reader
	targets *workload.Targets
	feeder  *usage.Feeder
	clock   clock.PassiveClock
}

// idOf names a VerticalPodAutoscaler among those whose usage is followed.
func idOf(v *vpav1.VerticalPodAutoscaler) usage.ID {
	return usage.ID{Kind: "VerticalPodAutoscaler", Namespace: v.Namespace, Name: v.Name}
}

// sizers says which targets VerticalPodAutoscalers apply sizes to.
func (p *vpas) sizers(ctx context.Context) (map[workload.Sized]string, error) {
	list, err := p.objects.List(ctx)
	if err != nil {
		return nil, err
	}
	sizers := make(map[workload.Sized]string, len(list))
	for target, name := range vpa.Owners(list) {
		sizers[workload.Sized{Namespace: target.Namespace, Group: target.Group, Kind: target.Kind, Name: target.Name}] = "VerticalPodAutoscaler " + name
	}
	return sizers, nil
}

// owner names the VerticalPodAutoscaler that applies sizes to a policy's target, empty when none does.
func (p *vpas) owner(ctx context.Context, policy *v1alpha1.WorkloadAutoscaler) (string, error) {
	sizers, err := p.sizers(ctx)
	ref := policy.Spec.TargetRef
	group := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
	return sizers[workload.Sized{Namespace: policy.Namespace, Group: group, Kind: ref.Kind, Name: ref.Name}], err
}

// follow names the workloads of those that ask for our recommendations. One whose target cannot be read is told so by Usage.
func (p *vpas) follow(ctx context.Context) []usage.Target {
	list, err := p.objects.List(ctx)
	if err != nil {
		return nil // sizers tells
	}
	var targets []usage.Target
	for i := range list {
		v := &list[i]
		if !p.cfg.Selects(v) || v.DeletionTimestamp != nil {
			continue
		}
		sizable, pods, err := p.read(ctx, v)
		if err != nil {
			continue
		}
		t := usage.Target{
			ID: idOf(v), Workload: usage.Workload{Namespace: v.Namespace, Kind: v.Spec.TargetRef.Kind, Name: v.Spec.TargetRef.Name},
			Model: v1alpha1.ModelAuto, History: vertical.DefaultHistory, Template: sizable.Template,
			Resources: func(container string) []corev1.ResourceName { return vpa.Resources(v, container) },
		}
		for j := range pods {
			t.Pods = append(t.Pods, usage.Pod{Object: &pods[j]})
		}
		targets = append(targets, t)
	}
	return targets
}

func (p *vpas) read(ctx context.Context, v *vpav1.VerticalPodAutoscaler) (workload.Sizable, []corev1.Pod, error) {
	target, ok := vpa.TargetOf(v)
	if !ok {
		return workload.Sizable{}, nil, fmt.Errorf("%w: it has no target", vpa.ErrTarget)
	}
	version := v.Spec.TargetRef.APIVersion
	if version == "" {
		version = target.Group + "/v1"
	}
	sizable, err := p.targets.Sizable(ctx, v.Namespace, v1alpha1.TargetReference{APIVersion: version, Kind: target.Kind, Name: target.Name})
	if err != nil {
		if status := (apierrors.APIStatus)(nil); !errors.As(err, &status) || apierrors.IsNotFound(err) {
			err = fmt.Errorf("%w: %w", vpa.ErrTarget, err)
		}
		return workload.Sizable{}, nil, err
	}
	var pods corev1.PodList
	if err := p.cache.List(ctx, &pods, client.InNamespace(v.Namespace), client.MatchingLabelsSelector{Selector: sizable.Selector}, client.UnsafeDisableDeepCopy); err != nil {
		return workload.Sizable{}, nil, fmt.Errorf("list the pods of %s: %w", target.Name, err)
	}
	return sizable, pods.Items, nil
}

// Usage implements vpa.Source.
func (p *vpas) Usage(ctx context.Context, v *vpav1.VerticalPodAutoscaler) (vpa.Usage, error) {
	sizable, pods, err := p.read(ctx, v)
	if err != nil {
		return vpa.Usage{}, err
	}
	view, ok := p.feeder.View(idOf(v), p.clock.Now())
	u := vpa.Usage{Pods: len(pods), Loading: !ok || !view.HistoryRead, Containers: map[string]map[corev1.ResourceName]vpa.Reading{}}
	for i := range sizable.Template.Spec.Containers {
		u.Containers[sizable.Template.Spec.Containers[i].Name] = map[corev1.ResourceName]vpa.Reading{}
	}
	for key, reading := range view.Readings {
		container := u.Containers[key.Container]
		if container == nil || reading.State == decision.Missing {
			continue
		}
		container[key.Resource] = vpa.Reading{Estimate: trusted(&reading, sizable.Template, key), Fresh: reading.State == decision.Fresh}
	}
	return u, nil
}

// trusted bounds an estimate by how far it can be trusted, as the sizes of a policy are: whoever applies the recommendation does not
// ask.
func trusted(r *sizing.Reading, template *corev1.PodTemplateSpec, key sizing.Key) vertical.Estimate {
	var declared float64
	for i := range template.Spec.Containers {
		if c := &template.Spec.Containers[i]; c.Name == key.Container {
			quantity := c.Resources.Requests[key.Resource]
			declared = quantity.AsApproximateFloat64()
		}
	}
	e := r.Estimate
	least, most := sizing.Trusted(&e, e.Target, declared, r.Usage)
	e.Target = min(max(e.Target, least), most)
	e.Lower, e.Upper = min(e.Lower, e.Target), max(e.Upper, e.Target)
	return e
}
