package drain

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/actuation"
)

// way is how a pod leaves.
type way int

const (
	leaves way = iota
	waits
	surges
)

// obstacle is why a pod waits.
type obstacle struct {
	code, message string
	// held is true when the pod was counted as leaving, and has to be counted back if it does not.
	held bool
}

// owner is what makes a pod, as far as it says how many of its pods serve.
type owner struct {
	wanted, ready int32
	// deployment is that of a ReplicaSet, empty when there is none.
	deployment string
	// here are the owner's pods on the node that serve and are not on their way.
	here int
}

// way decides how a pod leaves: a pod beside which others serve elsewhere is evicted; the last that serves is, too, once another one
// does; the only one of a Deployment is replaced by a rollout, which makes the new pod ready before the old one goes.
func (s *session) way(ctx context.Context, l *leaver) (way, obstacle, error) {
	if !podReady(l.Pod) {
		return leaves, obstacle{}, nil
	}
	o, err := s.owner(ctx, l)
	if err != nil || o == nil {
		return leaves, obstacle{}, err
	}
	elsewhere := int(o.ready) - o.here
	switch {
	case elsewhere > 0:
		return leaves, obstacle{}, nil
	case o.here > 1:
		o.here-- // all but one leave
		o.ready--
		return leaves, obstacle{held: true}, nil
	case o.wanted > 1:
		return waits, obstacle{code: "LastReplica", message: fmt.Sprintf("it is the last of %d replicas that serves", o.wanted)}, nil
	case o.deployment != "":
		return surges, obstacle{}, nil
	}
	return leaves, obstacle{}, nil // its controller makes another one only once this one is gone
}

// owner reads what makes a pod, nil when that does not say how many serve.
func (s *session) owner(ctx context.Context, l *leaver) (*owner, error) {
	ref := metav1.GetControllerOf(l.Pod)
	if ref == nil || !strings.HasPrefix(ref.APIVersion, appsv1.GroupName+"/") {
		return nil, nil
	}
	if o, ok := s.owners[ref.UID]; ok {
		return o, nil
	}
	var o *owner
	apps := s.d.deps.Kube.AppsV1()
	switch ref.Kind {
	case "ReplicaSet":
		rs, err := apps.ReplicaSets(l.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && rs.UID != ref.UID {
			break
		}
		if err != nil {
			return nil, err
		}
		o = &owner{wanted: replicas(rs.Spec.Replicas), ready: rs.Status.ReadyReplicas}
		if up := metav1.GetControllerOf(rs); up != nil && up.Kind == "Deployment" {
			o.deployment = up.Name
		}
	case "StatefulSet":
		ss, err := apps.StatefulSets(l.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && ss.UID != ref.UID {
			break
		}
		if err != nil {
			return nil, err
		}
		o = &owner{wanted: replicas(ss.Spec.Replicas), ready: ss.Status.ReadyReplicas}
	}
	if o != nil {
		for _, other := range s.pods {
			if r := metav1.GetControllerOf(other.Pod); r != nil && r.UID == ref.UID && other.DeletionTimestamp == nil && podReady(other.Pod) {
				o.here++
			}
		}
	}
	s.owners[ref.UID] = o
	return o, nil
}

// surge rolls the Deployment of a single pod out, and then waits for it. The pod is evicted when the Deployment's own strategy takes
// the old pod away first, and when a rollout of ours did not get on.
func (s *session) surge(ctx context.Context, l *leaver) {
	name := s.owners[ownerUID(l.Pod)].deployment
	d, err := s.d.deps.Kube.AppsV1().Deployments(l.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.evict(ctx, l)
		return
	}
	if err != nil {
		s.refused(l, "Failed", fmt.Sprintf("Deployment %s could not be read: %v", name, err))
		return
	}
	ours := s.rolledOut(d)
	switch {
	case ours.IsZero():
	case s.now.Sub(ours) > time.Duration(s.d.cfg.SurgeTimeout):
		s.evict(ctx, l) // it does not get on, or has put the pod back where it was
		return
	case actuation.Rolling(d):
		l.at("Surging", "Deployment %s is putting another pod beside it", name)
		return
	}
	switch {
	case actuation.Rolling(d):
		s.refused(l, "RollingOut", fmt.Sprintf("Deployment %s is being rolled out by somebody else", name))
	case d.Spec.Paused:
		s.refused(l, "CannotSurge", fmt.Sprintf("it is the only replica, and Deployment %s is paused", name))
	case stuck(d):
		s.refused(l, "CannotSurge", fmt.Sprintf("it is the only replica, and Deployment %s does not get on", name))
	case actuation.CannotSurge(d) != "":
		s.evict(ctx, l)
	default:
		s.rollOut(ctx, l, d)
	}
}

func (s *session) rollOut(ctx context.Context, l *leaver, d *appsv1.Deployment) {
	patch, err := actuation.NewAnnotationPatch(d, actuation.RestartedAnnotation, s.now.UTC().Format(time.RFC3339))
	if err == nil {
		_, err = s.d.deps.Kube.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: s.d.deps.FieldManager + "-surge"})
	}
	if err != nil {
		s.refused(l, "Refused", fmt.Sprintf("Deployment %s could not be rolled out: %v", d.Name, err))
		return
	}
	s.left(l, "Surging", fmt.Sprintf("Deployment %s puts another pod beside it", d.Name))
}

// rolledOut is when the Deployment was rolled out by us since the drain was decided, zero when it was not.
func (s *session) rolledOut(d *appsv1.Deployment) time.Time {
	at, err := time.Parse(time.RFC3339, d.Spec.Template.Annotations[actuation.RestartedAnnotation])
	if err != nil || at.Before(s.plan.Since.Truncate(time.Second)) {
		return time.Time{}
	}
	return at
}

// ownerUID is that of a pod's controller, empty when it has none.
func ownerUID(pod *corev1.Pod) types.UID {
	if ref := metav1.GetControllerOf(pod); ref != nil {
		return ref.UID
	}
	return ""
}

func stuck(d *appsv1.Deployment) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
			return true
		}
	}
	return false
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
