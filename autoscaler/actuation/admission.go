package actuation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

const (
	// admissionLife is how long the answer to a dry run holds: quotas fill up and webhooks go down.
	admissionLife = 10 * time.Second
	// maxAdmissions bounds how many answers are remembered.
	maxAdmissions = 4096
)

// admissions remembers what came of dry runs. It is safe for concurrent use.
type admissions struct {
	mu      sync.Mutex
	answers map[string]admissionAnswer
}

type admissionAnswer struct {
	verdict verdict
	until   time.Time
}

func newAdmissions() *admissions { return &admissions{answers: map[string]admissionAnswer{}} }

func (a *admissions) get(key string, now time.Time) (verdict, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer, ok := a.answers[key]
	return answer.verdict, ok && now.Before(answer.until)
}

func (a *admissions) set(key string, v verdict, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.answers) >= maxAdmissions {
		maps.DeleteFunc(a.answers, func(_ string, answer admissionAnswer) bool { return !now.Before(answer.until) })
	}
	if len(a.answers) < maxAdmissions {
		a.answers[key] = admissionAnswer{verdict: v, until: now.Add(admissionLife)}
	}
}

// template is what the pod's controller makes pods from, and the volumes that it adds to them.
type template struct {
	spec    *corev1.PodTemplateSpec
	volumes []corev1.Volume
	// owner is the pod's controller, and deployment the name of the Deployment behind it, if there is one.
	owner      *metav1.OwnerReference
	deployment string
}

var errNoTemplate = errors.New("what new pods would be made from is unknown")

// template reads the pod's controller.
func (r *replacement) template(ctx context.Context) (*template, error) {
	owner := controllerOf(r.pod)
	result := &template{owner: owner}
	apps := r.x.deps.Kube.AppsV1()
	namespace, options := r.pod.Namespace, metav1.GetOptions{}
	var err error
	var uid = owner.UID
	switch owner.APIVersion + "/" + owner.Kind {
	case "apps/v1/ReplicaSet":
		var set *appsv1.ReplicaSet
		if set, err = apps.ReplicaSets(namespace).Get(ctx, owner.Name, options); err == nil {
			result.spec, uid = &set.Spec.Template, set.UID
			if d := metav1.GetControllerOf(set); d != nil && d.Kind == "Deployment" {
				result.deployment = d.Name
			}
		}
	case "apps/v1/StatefulSet":
		var set *appsv1.StatefulSet
		if set, err = apps.StatefulSets(namespace).Get(ctx, owner.Name, options); err == nil {
			result.spec, uid = &set.Spec.Template, set.UID
			for _, claim := range set.Spec.VolumeClaimTemplates {
				result.volumes = append(result.volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + r.pod.Name}}})
			}
		}
	case "apps/v1/DaemonSet":
		var set *appsv1.DaemonSet
		if set, err = apps.DaemonSets(namespace).Get(ctx, owner.Name, options); err == nil {
			result.spec, uid = &set.Spec.Template, set.UID
		}
	default:
		result.spec = r.t.Template
	}
	switch {
	case err != nil:
		return nil, err
	case uid != owner.UID:
		return nil, fmt.Errorf("%s %s is another one by now: %w", owner.Kind, owner.Name, errNoTemplate)
	case result.spec == nil:
		return nil, fmt.Errorf("%s %s: %w", owner.Kind, owner.Name, errNoTemplate)
	}
	return result, nil
}

// successor is the pod as its controller would make it anew.
func (r *replacement) successor(t *template) *corev1.Pod {
	owner := *t.owner
	// Whoever sets it needs the permission to change the owner's finalizers, which a dry run has no use for.
	owner.BlockOwnerDeletion = nil
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.pod.Namespace, GenerateName: owner.Name + "-", Labels: maps.Clone(t.spec.Labels), Annotations: maps.Clone(t.spec.Annotations),
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		Spec: *t.spec.Spec.DeepCopy(),
	}
	for _, label := range []string{appsv1.DefaultDeploymentUniqueLabelKey, appsv1.ControllerRevisionHashLabelKey, appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel} {
		if value, ok := r.pod.Labels[label]; ok {
			if pod.Labels == nil {
				pod.Labels = map[string]string{}
			}
			pod.Labels[label] = value
		}
	}
	for _, volume := range t.volumes {
		named := func(v corev1.Volume) bool { return v.Name == volume.Name }
		pod.Spec.Volumes = append(slices.DeleteFunc(pod.Spec.Volumes, named), volume)
	}
	return pod
}

// admitted asks the API server whether the pod's successor would be admitted, and compares what it would get with what the step
// wants it to have.
func (x *Executor) admitted(ctx context.Context, r *replacement, t *template) verdict {
	key := string(t.owner.UID) + "/" + r.role() + "/" + fingerprint(r.step) + "/" + requestsOf(r.pod)
	if v, ok := x.admissions.get(key, r.now); ok {
		return v
	}
	pod, err := x.deps.Kube.CoreV1().Pods(r.pod.Namespace).Create(ctx, r.successor(t), metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: x.deps.FieldManager,
	})
	var v verdict
	if err != nil {
		v = verdict{"NotAdmitted", fmt.Sprintf("a new pod would not be admitted: %v", err)}
	} else if lacks := r.lacks(pod); lacks != "" {
		v = verdict{"WebhookSilent", "a new pod would not get its size: " + lacks}
	}
	if ctx.Err() == nil {
		x.admissions.set(key, v, r.now)
	}
	return v
}

// requestsOf spells what a pod's containers request.
func requestsOf(pod *corev1.Pod) string {
	var text strings.Builder
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			requests := containers[i].Resources.Requests
			for _, name := range slices.Sorted(maps.Keys(requests)) {
				fmt.Fprintf(&text, "%s %s %s;", containers[i].Name, name, quantityText(requests, name))
			}
		}
	}
	return text.String()
}

func (r *replacement) role() string {
	for i := range r.t.Pods {
		if r.t.Pods[i].Object.UID == r.pod.UID {
			return r.t.Pods[i].Role
		}
	}
	return sizing.DefaultRole
}

// lacks compares the requests of a pod that would be created with those wanted, and says what is missing. A container may come
// with what its role should have by the decision, which this one pod was perhaps not to get in full, and with what it should
// have while it starts.
func (r *replacement) lacks(pod *corev1.Pod) string {
	role := r.role()
	for _, name := range slices.Sorted(maps.Keys(r.step.Containers)) {
		container, ok := containerOf(pod, name)
		if !ok {
			return fmt.Sprintf("it would have no container %s", name)
		}
		var decided, startup corev1.ResourceList
		for i := range r.t.Sizes {
			if s := &r.t.Sizes[i]; s.Container == name && s.Role == role {
				decided, startup = s.Requests, s.Startup
			}
		}
		want := r.step.Containers[name].Requests
		if text := lacksOf(name, container.Resources.Requests, want, decided, startup, r.largest(name, want)); text != "" {
			return text
		}
	}
	if r.step.PodResources != nil {
		var has corev1.ResourceList
		if pod.Spec.Resources != nil {
			has = pod.Spec.Resources.Requests
		}
		return lacksOf("the pod itself", has, r.step.PodResources.Requests)
	}
	return ""
}

// largest is what a created pod gets whose role is not known yet, where that does the pod good: the largest request of all roles. It
// does for what is to grow, and else where it is less than what the pod has now; a pod is not taken away to come back as it was.
func (r *replacement) largest(container string, want corev1.ResourceList) corev1.ResourceList {
	most := corev1.ResourceList{}
	for i := range r.t.Sizes {
		if r.t.Sizes[i].Container != container {
			continue
		}
		for name, q := range r.t.Sizes[i].Requests {
			if has, ok := most[name]; !ok || q.Cmp(has) > 0 {
				most[name] = q
			}
		}
	}
	now, _ := containerOf(r.pod, container)
	maps.DeleteFunc(most, func(name corev1.ResourceName, q resource.Quantity) bool {
		wanted, ok := want[name]
		if !ok || now == nil {
			return true
		}
		if has, set := now.Resources.Requests[name]; set && wanted.Cmp(has) < 0 {
			return q.Cmp(has) >= 0
		}
		return q.Cmp(wanted) < 0
	})
	return most
}

func lacksOf(owner string, has, want corev1.ResourceList, also ...corev1.ResourceList) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		now, wanted := has[name], want[name]
		if now.Cmp(wanted) == 0 {
			continue
		}
		if slices.ContainsFunc(also, func(list corev1.ResourceList) bool {
			other, ok := list[name]
			return ok && now.Cmp(other) == 0
		}) {
			continue
		}
		return fmt.Sprintf("%s would request %s of %s, not %s", owner, quantityText(has, name), name, wanted.String())
	}
	return ""
}

// annotationPatch is an apply configuration of a Deployment with nothing but an annotation of its template.
type annotationPatch struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		Template struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		} `json:"template"`
	} `json:"spec"`
}

// NewAnnotationPatch makes the apply configuration that sets an annotation of a Deployment's template, and nothing else, in the very
// Deployment that was read.
func NewAnnotationPatch(d *appsv1.Deployment, name, value string) ([]byte, error) {
	p := annotationPatch{APIVersion: "apps/v1", Kind: "Deployment"}
	p.Metadata.Name, p.Metadata.UID = d.Name, string(d.UID)
	p.Spec.Template.Metadata.Annotations = map[string]string{name: value}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("make patch: %w", err)
	}
	return text, nil
}
