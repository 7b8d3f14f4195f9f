package claim

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// The version of a policy keeps two purchases apart that are charged to it. It does not keep two leaders apart that buy for the same
// pods under different policies. So whoever has charged looks afterwards what others have charged and made: of two that charge at the
// same time at least one sees the other, and goes back before it has made a claim. Both may; they plan anew then.

// alone refuses a purchase that was charged already when somebody else has bought what the plan did not know of.
func (k *Keeper) alone(ctx context.Context, policy *v1alpha1.NodePolicy, order *Order, ours []*v1alpha1.NodeClaim) error {
	if order.Known == nil {
		return nil
	}
	known := func(name string) bool {
		_, ok := order.Known[name]
		return ok || slices.ContainsFunc(ours, func(c *v1alpha1.NodeClaim) bool { return c.Name == name })
	}
	// Claims after policies: what is in no reservation any more is a claim by then.
	var policies v1alpha1.NodePolicyList
	if err := k.deps.Client.List(ctx, &policies); err != nil {
		return fmt.Errorf("list policies after the charge: %w", err)
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		for _, r := range p.Status.Reservations {
			if p.Name != policy.Name && !known(r.Claim) {
				return &Conflict{policy.Name, "Elsewhere", fmt.Sprintf("the plan did not know of claim %s, which NodePolicy %s is being charged for", r.Claim, p.Name)}
			}
		}
	}
	var claims metav1.PartialObjectMetadataList
	claims.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind("NodeClaimList"))
	if err := k.deps.Client.List(ctx, &claims); err != nil {
		return fmt.Errorf("list claims after the charge: %w", err)
	}
	for i := range claims.Items {
		if name := claims.Items[i].Name; !known(name) {
			return &Conflict{policy.Name, "Elsewhere", fmt.Sprintf("the plan did not know of claim %s, which was made meanwhile", name)}
		}
	}
	return nil
}

// discharge takes a charge back none of whose claims was made. When that fails Sweep does it a little later.
func (k *Keeper) discharge(ctx context.Context, policy *v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim) {
	gone := map[string]bool{}
	for _, c := range claims {
		gone[c.Name] = true
	}
	live := policy
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		before := live.DeepCopy()
		s := &live.Status
		s.Reservations = slices.DeleteFunc(s.Reservations, func(r v1alpha1.Reservation) bool {
			if gone[r.Claim] {
				subtract(&s.Charged, r.Charge)
			}
			return gone[r.Claim]
		})
		if len(s.Reservations) == len(before.Status.Reservations) {
			return nil // a sweep was here first
		}
		err := k.deps.Client.Status().Patch(ctx, live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return err
		}
		live = &v1alpha1.NodePolicy{}
		if failed := k.deps.Client.Get(ctx, client.ObjectKeyFromObject(policy), live); failed != nil {
			return failed
		}
		return err
	})
	if client.IgnoreNotFound(err) != nil {
		k.log.Warn("a charge could not be taken back, and is given up by the next sweeps", "policy", policy.Name, "claims", len(claims), "err", err)
	}
}
