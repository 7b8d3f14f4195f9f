package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// FieldManager is the name under which statuses are applied.
const FieldManager = "yagura-autoscaler"

// maxStatusBackoff bounds the wait between two tries to write one status.
const maxStatusBackoff = time.Minute

// writeStatus brings a policy's status up to its last record: at once when replicas changed, else when something changed and the last
// write is long enough ago. The status is made of the record alone, so that both always say the same.
func (c *Controller) writeStatus(ctx context.Context, policy *v1alpha1.WorkloadAutoscaler, m *memory) {
	replicas, sizes := m.tracker.Last(), m.vertical.tracker.Last()
	if policy.Spec.Horizontal == nil {
		replicas = nil // the policy had that half before
	}
	if policy.Spec.Vertical == nil {
		sizes = nil
	}
	if replicas == nil && sizes == nil {
		return
	}
	if m.lastScale == nil {
		m.lastScale = policy.Status.LastScaleTime
	}
	before := m.written
	if before == nil {
		before = &policy.Status
	}
	status := newStatus(replicas, sizes, policy.Generation, m.lastScale, before.Conditions)
	if sizes != nil {
		status.Vertical = m.vertical.status(sizes, policy.Spec.TargetRef, before.Vertical)
		setSized(&status, sizes, policy.Generation)
	}
	if equality.Semantic.DeepEqual(withoutAges(status), withoutAges(*before)) {
		return
	}
	now := c.deps.Clock.Now()
	urgent := m.failures == 0 && (status.CurrentReplicas != before.CurrentReplicas || status.DesiredReplicas != before.DesiredReplicas ||
		otherSizes(status.Vertical, before.Vertical))
	if !urgent && now.Sub(m.writtenAt) < c.statusPause(m) {
		return
	}
	m.writtenAt = now
	if err := c.applyStatus(ctx, policy, status); err != nil {
		m.failures++
		if ctx.Err() == nil && !apierrors.IsNotFound(err) {
			c.deps.Logger.Warn("cannot write status", "namespace", policy.Namespace, "name", policy.Name, "err", err)
		}
		return
	}
	m.failures, m.written = 0, &status
	c.deps.Metrics.patches.Inc()
}

// withoutAges leaves out what is another number in every record: it is written along with something else and is no reason to write.
func withoutAges(s v1alpha1.WorkloadAutoscalerStatus) v1alpha1.WorkloadAutoscalerStatus {
	objectives := make([]v1alpha1.ObjectiveStatus, len(s.Objectives))
	for i, o := range s.Objectives {
		o.Age = nil
		objectives[i] = o
	}
	s.Objectives = objectives
	s.Vertical = withoutEstimates(s.Vertical)
	return s
}

// statusPause is the shortest time to the next write.
func (c *Controller) statusPause(m *memory) time.Duration {
	pause := time.Duration(c.cfg.StatusInterval)
	for range m.failures {
		if pause *= 2; pause >= maxStatusBackoff {
			return maxStatusBackoff
		}
	}
	return pause
}

// applyStatus writes a status by server-side apply, which also removes what is not in it any more.
func (c *Controller) applyStatus(ctx context.Context, policy *v1alpha1.WorkloadAutoscaler, status v1alpha1.WorkloadAutoscalerStatus) error {
	patch, err := json.Marshal(struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string                 `json:"metadata"`
		Status          v1alpha1.WorkloadAutoscalerStatus `json:"status"`
	}{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.WorkloadAutoscalerKind},
		// The UID keeps a status from being written to a policy of the same name that was created since.
		Metadata: map[string]string{"name": policy.Name, "namespace": policy.Namespace, "uid": string(policy.UID)},
		Status:   status,
	})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	object := &v1alpha1.WorkloadAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: policy.Namespace, Name: policy.Name}}
	err = c.deps.Status.Status().Patch(ctx, object, client.RawPatch(types.ApplyPatchType, patch),
		client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply status: %w", err)
	}
	return nil
}
