package admission

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Annotation is on every pod that was created with the sizes of a policy. Its value is the policy's name, a colon, and what was given and why.
const Annotation = "yagura.dev/sized"

// result is what came of a review.
type result string

const (
	// Sized ones got other resources.
	resultSized result = "Sized"
	// Unchanged ones have what the policy wants already, be it by their manifest or by another webhook.
	resultUnchanged result = "Unchanged"
	// All others are created as they came.
	resultNoPolicy   result = "NoPolicy"   // no policy sizes created pods of this kind
	resultNoSizes    result = "NoSizes"    // the policy has none yet
	resultOtherOwner result = "OtherOwner" // somebody else sizes the pod
	resultRefusal    result = "WouldBeRefused"
	resultNotAPod    result = "NotAPod"
	resultMalformed  result = "Malformed" // what was asked cannot be understood
	resultBusy       result = "Busy"      // more is asked than may be worked on at a time
	resultError      result = "Error"
)

var results = []result{resultSized, resultUnchanged, resultNoPolicy, resultNoSizes, resultOtherOwner, resultRefusal, resultNotAPod, resultMalformed, resultBusy, resultError}

// verdict is what came of a review and why. The operations are empty unless the pod is to be changed.
type verdict struct {
	result     result
	policy     string
	reason     string
	operations []operation
}

// reviewer decides about created pods from what is in the cache.
type reviewer struct {
	reader client.Reader
	owner  func(context.Context, *v1alpha1.WorkloadAutoscaler) (string, error)
}

// review decides what a created pod is given. Any error means that it is created as it is.
func (r reviewer) review(ctx context.Context, req *admissionv1.AdmissionRequest) (verdict, error) {
	if req.Operation != admissionv1.Create || req.SubResource != "" || req.Kind.Group != "" || req.Kind.Version != "v1" || req.Kind.Kind != "Pod" {
		return verdict{result: resultNotAPod}, nil
	}
	var pod corev1.Pod
	if err := utiljson.Unmarshal(req.Object.Raw, &pod); err != nil {
		return verdict{result: resultMalformed}, fmt.Errorf("decode pod: %w", err)
	}
	v, sized, err := r.decide(ctx, req.Namespace, &pod)
	if err != nil || sized == nil {
		return v, err
	}
	if v.operations, err = newPatch(req.Object.Raw, &pod, sized, v.reason); err != nil {
		return verdict{result: resultMalformed, policy: v.policy}, err
	}
	return v, nil
}

// Annotations of others who size pods when they are created.
const (
	vpaUpdates  = "vpaUpdates"
	vpaObserved = "vpaObservedContainers"
	mirror      = corev1.MirrorPodAnnotationKey
)

// decide returns the pod with its sizes, nil when it stays as it is.
func (r reviewer) decide(ctx context.Context, namespace string, pod *corev1.Pod) (verdict, *corev1.Pod, error) {
	if _, ok := pod.Annotations[mirror]; ok {
		return verdict{result: resultNoPolicy}, nil, nil // the kubelet runs it already
	}
	policy, err := matcher{r.reader}.policy(ctx, namespace, pod)
	if err != nil {
		return verdict{result: resultError}, nil, err
	}
	if policy == nil {
		return verdict{result: resultNoPolicy}, nil, nil
	}
	v := verdict{policy: policy.Name}
	if policy.Status.Vertical == nil || len(policy.Status.Vertical.Containers) == 0 || !policy.Status.Vertical.About(policy.Spec.TargetRef) {
		v.result = resultNoSizes
		return v, nil, nil
	}
	other, err := r.otherOwner(ctx, policy, pod)
	if err != nil {
		v.result = resultError
		return v, nil, err
	}
	if other != "" {
		v.result, v.reason = resultOtherOwner, other+" sizes the pod"
		return v, nil, nil
	}
	bounds, err := r.bounds(ctx, namespace)
	if err != nil {
		v.result = resultError
		return v, nil, err
	}
	// Which role a pod will have shows when it runs; a created one gets the most that any of them needs.
	creation := sizing.ForPod(policy, "", pod, bounds.Ranges)
	if creation.Empty() {
		v.result = resultNoSizes
		return v, nil, nil
	}
	sized := pod.DeepCopy()
	creation.Apply(&sized.Spec)
	changed := changes(policy, pod, sized)
	if why := refusal(pod, sized, bounds); why != "" {
		v.result, v.reason = resultRefusal, why
		return v, nil, nil
	}
	v.result, v.reason = resultSized, noteOf(policy, changed)
	if len(changed) == 0 {
		v.result = resultUnchanged
		if note, ok := pod.Annotations[Annotation]; ok {
			v.reason = note // an earlier call in the same request has said what it gave
		}
	}
	return v, sized, nil
}

func (r reviewer) otherOwner(ctx context.Context, policy *v1alpha1.WorkloadAutoscaler, pod *corev1.Pod) (string, error) {
	for _, annotation := range []string{vpaUpdates, vpaObserved} {
		if _, ok := pod.Annotations[annotation]; ok {
			return "a VerticalPodAutoscaler", nil
		}
	}
	if r.owner == nil {
		return "", nil
	}
	name, err := r.owner(ctx, policy)
	if err != nil {
		return "", fmt.Errorf("find out who else sizes %s: %w", policy.Spec.TargetRef.Name, err)
	}
	return name, nil
}

// bounds are what may refuse pods of a namespace. They belong to the cache and must not be changed.
func (r reviewer) bounds(ctx context.Context, namespace string) (sizing.Bounds, error) {
	var ranges corev1.LimitRangeList
	var quotas corev1.ResourceQuotaList
	here := []client.ListOption{client.InNamespace(namespace), client.UnsafeDisableDeepCopy}
	if err := errors.Join(r.reader.List(ctx, &ranges, here...), r.reader.List(ctx, &quotas, here...)); err != nil {
		return sizing.Bounds{}, fmt.Errorf("list limit ranges and quotas: %w", err)
	}
	var b sizing.Bounds
	for i := range ranges.Items {
		b.Ranges = append(b.Ranges, &ranges.Items[i])
	}
	for i := range quotas.Items {
		b.Quotas = append(b.Quotas, &quotas.Items[i])
	}
	return b, nil
}
