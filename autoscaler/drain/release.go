package drain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Release lets go of what a machine still holds in the API that is certainly off, because its provider does not know it any more: the
// out-of-service taint has volumes taken from the node at once instead of after six minutes, and pods that nobody can stop any more
// are deleted without waiting for the kubelet. Called for a machine that runs it would have two copies of a pod run, and write to
// the same volume: so never for one that only does not answer. It returns at once, says whether it is done, and is called until then.
func (d *Drainer) Release(ctx context.Context, node *corev1.Node) (done bool, waits string, err error) {
	pods, err := d.pods(ctx, node.Name)
	if err != nil {
		return false, "", err
	}
	if len(pods) == 0 && len(node.Status.VolumesAttached) == 0 {
		d.forget(node.Name)
		return true, "", nil
	}
	now := d.deps.Clock.Now()
	m := d.memory(node.Name+" released", now)
	if m.empty.IsZero() {
		m.empty = now
	}
	err = d.edit(ctx, node, "release", func(n *corev1.Node) {
		if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService }) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute})
		}
	})
	if err != nil {
		return false, "", err
	}
	zero := int64(0)
	left := 0
	for i := range pods {
		pod := &pods[i]
		left++
		err := d.deps.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return false, "", fmt.Errorf("let go of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		if err == nil {
			d.deps.Metrics.evictions.WithLabelValues("Unhealthy", "Released").Inc()
		}
	}
	if now.Sub(m.empty) >= releaseTimeout {
		d.forget(node.Name + " released")
		return true, "", nil // nothing on a node that is off is worth more time; the node's deletion does the rest
	}
	return false, "letting go of " + strconv.Itoa(left) + " pods and " + strconv.Itoa(len(node.Status.VolumesAttached)) + " volumes", nil
}

// releaseTimeout is how long the node of a machine that is off is kept for its volumes.
const releaseTimeout = 2 * time.Minute
