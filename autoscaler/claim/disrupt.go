package claim

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// DrainEnd is how a drain has ended. It is the reason of the condition Drained.
type DrainEnd string

const (
	// DrainedInFull means that every pod had a place and has left.
	DrainedInFull DrainEnd = "Drained"
	// DrainedByForce means that the policy's terminationGracePeriod was over.
	DrainedByForce DrainEnd = "Forced"
	// DrainedDead means that the node answers nobody: there is nothing to be drained.
	DrainedDead DrainEnd = "Unreachable"
)

// The writes below are made against the version of the claim that is handed in, and return the new one. A conflict (see
// apierrors.IsConflict) means that it has changed meanwhile.

// Disrupt notes that a node is to be taken away, before anything is done to it: a successor finds it noted and goes on, or takes it
// back with Restore.
func (k *Keeper) Disrupt(ctx context.Context, claim *v1alpha1.NodeClaim, why v1alpha1.ClaimDisruption) (*v1alpha1.NodeClaim, error) {
	if why.At.IsZero() {
		why.At = metav1.NewTime(k.deps.Clock.Now())
	}
	return k.note(ctx, claim, StepDisrupted, func(s *v1alpha1.NodeClaimStatus) {
		if s.Disruption != nil && s.Disruption.Reason == why.Reason {
			why.At = s.Disruption.At // the time that a drain is given counts from the first word
		}
		s.Disruption, s.Message = &why, why.Message
		if s.Phase != v1alpha1.ClaimDraining && s.Phase != v1alpha1.ClaimTerminating {
			s.Phase = v1alpha1.ClaimDisrupted
		}
	})
}

// Draining notes that pods are being evicted, and what is waited for. It does not take back that a node is drained.
func (k *Keeper) Draining(ctx context.Context, claim *v1alpha1.NodeClaim, message string) (*v1alpha1.NodeClaim, error) {
	if claim.Status.Phase == v1alpha1.ClaimTerminating || isTrue(claim, v1alpha1.ConditionDrained) ||
		claim.Status.Phase == v1alpha1.ClaimDraining && claim.Status.Message == bounded(message) {
		return claim, nil
	}
	return k.note(ctx, claim, StepDraining, func(s *v1alpha1.NodeClaimStatus) {
		s.Phase, s.Message = v1alpha1.ClaimDraining, bounded(message)
		setCondition(s, v1alpha1.ConditionDrained, metav1.ConditionFalse, "Draining", bounded(message), k.deps.Clock.Now())
	})
}

// Drained notes that the machine may be given back, and deletes the claim. Reconcile does the rest.
func (k *Keeper) Drained(ctx context.Context, claim *v1alpha1.NodeClaim, end DrainEnd, message string) (*v1alpha1.NodeClaim, error) {
	if !isTrue(claim, v1alpha1.ConditionDrained) {
		var err error
		claim, err = k.note(ctx, claim, StepDrained, func(s *v1alpha1.NodeClaimStatus) {
			s.Message = bounded(message)
			setCondition(s, v1alpha1.ConditionDrained, metav1.ConditionTrue, string(end), bounded(message), k.deps.Clock.Now())
		})
		if err != nil {
			return claim, err
		}
	}
	return claim, k.Delete(ctx, claim)
}

// Delete deletes a claim. Its machine stays until the claim is Drained, or its node has never taken pods.
func (k *Keeper) Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error {
	if !claim.DeletionTimestamp.IsZero() {
		return nil
	}
	err := k.deps.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete claim %s: %w", claim.Name, err)
	}
	return nil
}

// Restore takes back that a node is to be taken away. A claim that is being deleted cannot be restored.
func (k *Keeper) Restore(ctx context.Context, claim *v1alpha1.NodeClaim, why string) (*v1alpha1.NodeClaim, error) {
	if !claim.DeletionTimestamp.IsZero() || claim.Status.Phase == v1alpha1.ClaimTerminating {
		return claim, fmt.Errorf("claim %s: it is being deleted, which cannot be taken back", claim.Name)
	}
	return k.note(ctx, claim, StepRestored, func(s *v1alpha1.NodeClaimStatus) {
		s.Disruption, s.Message = nil, bounded(why)
		if s.Phase == v1alpha1.ClaimDisrupted || s.Phase == v1alpha1.ClaimDraining {
			s.Phase = v1alpha1.ClaimReady
		}
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionDrained)
	})
}

// Edit writes other parts of a claim's status: why the node stays, repairs, health. It does nothing when nothing changes.
func (k *Keeper) Edit(ctx context.Context, claim *v1alpha1.NodeClaim, edit func(*v1alpha1.NodeClaimStatus)) (*v1alpha1.NodeClaim, error) {
	return k.note(ctx, claim, "", edit)
}

func (k *Keeper) note(ctx context.Context, claim *v1alpha1.NodeClaim, step Step, edit func(*v1alpha1.NodeClaimStatus)) (*v1alpha1.NodeClaim, error) {
	after := claim.DeepCopy()
	edit(&after.Status)
	if statusEqual(&after.Status, &claim.Status) {
		return claim, nil
	}
	written := claim.DeepCopy()
	if err := k.write(ctx, written, func(s *v1alpha1.NodeClaimStatus) { *s = after.Status }); err != nil {
		return claim, fmt.Errorf("claim %s: %w", claim.Name, err)
	}
	if step != "" {
		k.deps.Metrics.steps.WithLabelValues(string(step)).Inc()
	}
	return written, nil
}

// Replacements are the claims that were bought to replace one, those being deleted left out: what a successor finds of a replacement
// that was begun.
func Replacements(claims []*v1alpha1.NodeClaim, replaced string) []*v1alpha1.NodeClaim {
	var out []*v1alpha1.NodeClaim
	for _, c := range claims {
		if c.DeletionTimestamp.IsZero() && slices.Contains(c.Spec.Replaces, replaced) {
			out = append(out, c)
		}
	}
	return out
}

func drainedBy(claim *v1alpha1.NodeClaim) DrainEnd {
	if c := meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionDrained); c != nil {
		return DrainEnd(c.Reason)
	}
	return ""
}

// isGone says whether the provider has lost the machine.
func isGone(claim *v1alpha1.NodeClaim) bool {
	c := meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionLaunched)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == reasonGone
}

// reasonGone is the condition Launched's when the provider does not know the machine any more.
const reasonGone = "MachineGone"
