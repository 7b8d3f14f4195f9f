package actuation

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// RestartedAnnotation is the annotation of a Deployment's pod template whose change rolls the Deployment out.
//
// A rollout is how Kubernetes itself puts a new pod beside an old one: it is bounded by the Deployment's own strategy, it goes
// on when this process does not, and nothing has to be cleaned up after it. The alternatives need that: one replica more for a
// while is an edit of a field that autoscalers and GitOps tools own, and a pod that is released from its ReplicaSet by its
// labels stays for ever when nobody comes back to it. The annotation is applied on the server with a field manager of its own
// and is the only field that the manager owns: tools that apply manifests leave fields of others alone.
const RestartedAnnotation = "yagura.dev/restartedAt"

// surge rolls the Deployment of a single pod out. The caller has claimed the workload.
func (r *replacement) surge(ctx context.Context) decision.PodAction {
	made, err := r.template(ctx)
	if err != nil {
		return r.withoutTemplate(ctx, err)
	}
	if made.deployment == "" {
		return r.blocked(verdict{"CannotSurge", fmt.Sprintf("the pod is the only replica, and a %s cannot put another one beside it", made.owner.Kind)})
	}
	d, err := r.x.deps.Kube.AppsV1().Deployments(r.pod.Namespace).Get(ctx, made.deployment, metav1.GetOptions{})
	if err != nil {
		return r.failed(ctx, "read the Deployment", err)
	}
	if Rolling(d) {
		if d.Spec.Template.Annotations[RestartedAnnotation] != "" {
			return r.action(decision.Pending, "RollingOut", "the Deployment is being rolled out")
		}
		return r.blocked(verdict{"RollingOut", "the Deployment is being rolled out by somebody else"})
	}
	if v := canSurge(d); v.code != "" {
		return r.blocked(v)
	}
	if v := r.x.admitted(ctx, r, made); v.code != "" {
		return r.blocked(v)
	}
	return r.spend(func() decision.PodAction {
		patch, err := NewAnnotationPatch(d, RestartedAnnotation, r.now.UTC().Format(time.RFC3339))
		if err == nil {
			_, err = r.x.deps.Kube.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: r.x.deps.FieldManager + "-surge"})
		}
		if err != nil {
			return r.failed(ctx, "roll the Deployment out", err)
		}
		r.x.deps.Logger.Info("deployment rolled out", "namespace", d.Namespace, "deployment", d.Name, "pod", r.pod.Name, "why", r.why, "reason", r.step.Reason)
		return r.action(decision.Done, "", "rolled out Deployment "+d.Name)
	})
}

// Rolling reports whether a Deployment has not come to rest.
func Rolling(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != d.Status.Replicas
}

// CannotSurge says why a Deployment would not have its new pod ready before the old one goes; empty when it would.
func CannotSurge(d *appsv1.Deployment) string { return canSurge(d).reason }

// canSurge says why a Deployment would not have its new pod ready before the old one goes, if so.
func canSurge(d *appsv1.Deployment) verdict {
	if d.Spec.Paused {
		return verdict{"CannotSurge", "the Deployment is paused"}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
			return verdict{"CannotSurge", "the Deployment does not get on: " + c.Message}
		}
	}
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return verdict{"CannotSurge", "the Deployment's strategy is Recreate, which takes the only replica away first"}
	}
	surge, unavailable := intstr.FromString("25%"), intstr.FromString("25%")
	if u := d.Spec.Strategy.RollingUpdate; u != nil {
		if u.MaxSurge != nil {
			surge = *u.MaxSurge
		}
		if u.MaxUnavailable != nil {
			unavailable = *u.MaxUnavailable
		}
	}
	replicas := 1
	if d.Spec.Replicas != nil {
		replicas = int(*d.Spec.Replicas)
	}
	// As the Deployment controller rounds them.
	more, err := intstr.GetScaledValueFromIntOrPercent(&surge, replicas, true)
	if err != nil {
		return verdict{"CannotSurge", fmt.Sprintf("maxSurge: %v", err)}
	}
	less, err := intstr.GetScaledValueFromIntOrPercent(&unavailable, replicas, false)
	if err != nil {
		return verdict{"CannotSurge", fmt.Sprintf("maxUnavailable: %v", err)}
	}
	if more < 1 || less > 0 {
		return verdict{"CannotSurge", fmt.Sprintf("the Deployment's strategy (maxSurge %s, maxUnavailable %s) may take the only replica away first", surge.String(), unavailable.String())}
	}
	return verdict{}
}
