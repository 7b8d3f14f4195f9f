package drain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Cordon closes a node to new pods: with a taint that says why, and as unschedulable, which load balancers and people look at. A node
// that somebody else has made unschedulable stays so when it is uncordoned. It is idempotent, and a node that is gone is none to
// close.
func (d *Drainer) Cordon(ctx context.Context, node *corev1.Node, reason v1alpha1.DisruptionReason) error {
	return d.edit(ctx, node, "cordon", func(n *corev1.Node) {
		taint := corev1.Taint{Key: v1alpha1.TaintDisrupted, Value: string(reason), Effect: corev1.TaintEffectNoSchedule}
		i := slices.IndexFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taint.Key && t.Effect == taint.Effect })
		if i < 0 {
			n.Spec.Taints = append(n.Spec.Taints, taint)
		} else {
			n.Spec.Taints[i].Value = taint.Value
		}
		if !n.Spec.Unschedulable {
			n.Spec.Unschedulable = true
			metav1.SetMetaDataAnnotation(&n.ObjectMeta, v1alpha1.AnnotationCordoned, "true")
		}
	})
}

// Uncordon takes Cordon back. It is idempotent.
func (d *Drainer) Uncordon(ctx context.Context, node *corev1.Node) error {
	d.forget(node.Name)
	return d.edit(ctx, node, "uncordon", func(n *corev1.Node) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.TaintDisrupted })
		if n.Annotations[v1alpha1.AnnotationCordoned] != "" {
			n.Spec.Unschedulable = false
			delete(n.Annotations, v1alpha1.AnnotationCordoned)
		}
	})
}

func cordoned(n *corev1.Node) bool {
	return n.Spec.Unschedulable && slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == v1alpha1.TaintDisrupted && t.Effect == corev1.TaintEffectNoSchedule
	})
}

// edit changes what there is now of a node, and nothing that others change meanwhile.
func (d *Drainer) edit(ctx context.Context, node *corev1.Node, what string, change func(*corev1.Node)) error {
	nodes := d.deps.Kube.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := nodes.Get(ctx, node.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if node.UID != "" && live.UID != node.UID {
			return apierrors.NewNotFound(corev1.Resource("nodes"), node.Name)
		}
		patch, err := nodePatch(live, change)
		if err != nil || patch == nil {
			return err
		}
		_, err = nodes.Patch(ctx, node.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: d.deps.FieldManager})
		if err == nil {
			d.deps.Metrics.nodes.WithLabelValues(what).Inc()
			d.deps.Logger.Info("node "+what+"ed", "node", node.Name)
		}
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s node %s: %w", what, node.Name, err)
	}
	return nil
}

// nodePatch is what changes of a node's taints, schedulability and our annotation, in the version that was read; nil for nothing.
func nodePatch(live *corev1.Node, change func(*corev1.Node)) ([]byte, error) {
	after := live.DeepCopy()
	change(after)
	same := after.Spec.Unschedulable == live.Spec.Unschedulable &&
		after.Annotations[v1alpha1.AnnotationCordoned] == live.Annotations[v1alpha1.AnnotationCordoned] &&
		slices.EqualFunc(after.Spec.Taints, live.Spec.Taints, func(a, b corev1.Taint) bool {
			return a.Key == b.Key && a.Effect == b.Effect && a.Value == b.Value
		})
	if same {
		return nil, nil
	}
	var mark any // null removes it
	if v := after.Annotations[v1alpha1.AnnotationCordoned]; v != "" {
		mark = v
	}
	unschedulable := any(nil)
	if after.Spec.Unschedulable {
		unschedulable = true
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": live.ResourceVersion, "annotations": map[string]any{v1alpha1.AnnotationCordoned: mark}},
		"spec":     map[string]any{"taints": after.Spec.Taints, "unschedulable": unschedulable},
	})
}
