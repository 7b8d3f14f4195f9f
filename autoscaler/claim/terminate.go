package claim

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// terminate carries out a deletion: the machine first, then its node, and the claim last.
func (k *Keeper) terminate(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node, now time.Time) (Result, error) {
	if !controllerutil.ContainsFinalizer(claim, v1alpha1.NodeClaimFinalizer) {
		return Result{Step: StepGone}, nil
	}
	p := k.deps.Providers[claim.Spec.Provider]
	if p == nil {
		return k.wait(ctx, claim, fmt.Sprintf("there is no provider %q in the configuration that could delete the machine", claim.Spec.Provider), now)
	}
	if p.Capabilities().ReadOnly {
		return k.bury(ctx, claim, nil, now) // it never heard of the claim
	}
	if wait := k.due(claim.Name, now); wait > 0 {
		return Result{Claim: claim, After: wait, Message: claim.Status.Message}, nil
	}
	if err := k.identify(ctx, p, claim, now); err != nil {
		return Result{Claim: claim}, err
	}
	live, err := k.liveNode(ctx, claim, node)
	if err != nil {
		return Result{Claim: claim}, err
	}
	if claim.Status.Phase != v1alpha1.ClaimTerminating {
		waits, err := k.holdsPods(ctx, claim, live)
		if err != nil {
			return Result{Claim: claim}, err
		}
		if waits != "" {
			return k.wait(ctx, claim, waits, now)
		}
		// From here there is no way back: whoever takes over goes on.
		err = k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
			s.Phase, s.Message = v1alpha1.ClaimTerminating, "the provider is asked to delete the machine"
		})
		return Result{Claim: claim, Step: StepTerminating, After: time.Millisecond, Message: claim.Status.Message}, err
	}
	_, err = k.call(ctx, now, func(ctx context.Context) (provider.Machine, error) {
		return provider.Machine{}, p.Delete(ctx, claim.DeepCopy())
	})
	switch {
	case err == nil:
		k.succeeded(claim.Name)
		return k.wait(ctx, claim, "waiting for the machine to be gone", now)
	case !errors.Is(err, provider.ErrNotFound):
		after := k.failed(p, "Delete", claim.Name, now)
		result, writeErr := k.wait(ctx, claim, "the provider could not delete the machine, and is asked again: "+bounded(err.Error()), now)
		result.After = after
		return result, writeErr
	}
	k.succeeded(claim.Name)
	if wait := k.underWay(claim, now); wait > 0 {
		return Result{Claim: claim, After: wait, Message: "a call to make the machine may still be under way"}, nil
	}
	return k.bury(ctx, claim, live, now)
}

// identify learns which machine was made when the answer to that was lost: without its ID nobody would find its node once it is gone.
func (k *Keeper) identify(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, now time.Time) error {
	if claim.Status.ProviderID != "" || meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionLaunched) == nil {
		return nil
	}
	machine, err := k.call(ctx, now, func(ctx context.Context) (provider.Machine, error) { return p.Get(ctx, claim.DeepCopy()) })
	if err != nil || machine.ID == "" {
		return nil // there is none, or the deletion will have to do without
	}
	return k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		s.ProviderID, s.NodeName = machine.ID, pick(s.NodeName, machine.NodeName)
	})
}

// underWay says how long a call to make the machine may still be under way whose answer nobody has written down.
func (k *Keeper) underWay(claim *v1alpha1.NodeClaim, now time.Time) time.Duration {
	c := meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionLaunched)
	if c == nil || c.Status != metav1.ConditionUnknown {
		return 0
	}
	// Times are written to the second.
	return max(0, c.LastTransitionTime.Add(2*time.Duration(k.cfg.ProviderTimeout)+time.Second).Sub(now))
}

// liveNode reads the claim's node, nil when there is none.
func (k *Keeper) liveNode(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node) (*corev1.Node, error) {
	name := claim.Status.NodeName
	if node != nil {
		name = node.Name
	}
	if name == "" {
		return nil, nil
	}
	var live corev1.Node
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: name}, &live)
	if apierrors.IsNotFound(err) || err == nil && !Matches(claim, &live) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	return &live, nil
}

// holdsPods says what stands against giving the machine back: pods that nobody has found another place for.
func (k *Keeper) holdsPods(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node) (string, error) {
	switch {
	case node == nil, claim.Annotations[v1alpha1.AnnotationTerminate] == "true":
		return "", nil
	case isGone(claim) && nodeCondition(node, corev1.NodeReady) != corev1.ConditionTrue:
		return "", nil
	case !began(claim) && !isTrue(claim, v1alpha1.ConditionDrained):
		// Pods without a need for what the node still lacks, such as devices, may run there already.
		return k.runs(ctx, node)
	case !isTrue(claim, v1alpha1.ConditionDrained):
		return "waiting for the node to be drained", nil
	case drainedBy(claim) != DrainedInFull:
		return "", nil // its time was over, or it was dead
	}
	// A pod may have come after the drain: somebody has taken the taint off, or a controller binds pods by itself.
	var pods corev1.PodList
	if err := k.deps.Client.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node.Name}); err != nil {
		return "", fmt.Errorf("list the pods of node %s: %w", node.Name, err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; movable(pod) {
			err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
				setCondition(s, v1alpha1.ConditionDrained, metav1.ConditionFalse, "PodsAppeared", fmt.Sprintf("pod %s/%s came after the drain", pod.Namespace, pod.Name), k.deps.Clock.Now())
			})
			k.deps.Metrics.swept.WithLabelValues("PodsAfterDrain").Inc()
			return fmt.Sprintf("pod %s/%s came after the drain: the node has to be drained again", pod.Namespace, pod.Name), err
		}
	}
	return "", nil
}

// runs names a pod that runs on a node which was never ready for all that it was bought for, empty when there is none. What is only
// bound to such a node has lost nothing.
func (k *Keeper) runs(ctx context.Context, node *corev1.Node) (string, error) {
	var pods corev1.PodList
	if err := k.deps.Client.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node.Name}); err != nil {
		return "", fmt.Errorf("list the pods of node %s: %w", node.Name, err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Status.Phase == corev1.PodRunning && movable(pod) {
			return fmt.Sprintf("pod %s/%s runs on the node already: waiting for the node to be drained", pod.Namespace, pod.Name), nil
		}
	}
	return "", nil
}

// movable pods would go on elsewhere: not those of the node itself, and not those that are over or on their way out.
func movable(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	owner := metav1.GetControllerOf(pod)
	return owner == nil || owner.Kind != "DaemonSet" && owner.Kind != "Node"
}

// bury deletes the node of a machine that is gone, and lets the claim go.
func (k *Keeper) bury(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node, now time.Time) (Result, error) {
	if node != nil && node.DeletionTimestamp.IsZero() {
		if k.deps.Release != nil {
			done, waits, err := k.deps.Release(ctx, node)
			if err != nil {
				return Result{Claim: claim, After: time.Duration(k.cfg.RetryInterval)}, fmt.Errorf("let go of the pods of node %s: %w", node.Name, err)
			}
			if !done {
				return k.wait(ctx, claim, waits, now)
			}
		}
		err := k.deps.Client.Delete(ctx, node, client.Preconditions{UID: &node.UID})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return Result{Claim: claim}, fmt.Errorf("delete node %s: %w", node.Name, err)
		}
	}
	before := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, v1alpha1.NodeClaimFinalizer)
	if err := k.deps.Client.Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return Result{Claim: before}, fmt.Errorf("let the claim go: %w", err)
	}
	return Result{Step: StepGone, Message: "the machine is gone"}, nil
}
