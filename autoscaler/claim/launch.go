package claim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// launch asks the provider for the machine.
func (k *Keeper) launch(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, now time.Time) (Result, error) {
	if c := meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionLaunched); c != nil && c.Status == metav1.ConditionFalse {
		return k.giveUp(ctx, claim, c.Reason, c.Message) // died between the refusal and the deletion
	}
	if wait := k.due(claim.Name, now); wait > 0 {
		return Result{Claim: claim, After: wait, Message: claim.Status.Message}, nil
	}
	if result, given, err := k.bootTimedOut(ctx, claim, now); given || err != nil {
		return result, err
	}
	if p.Capabilities().ReadOnly {
		return k.giveUp(ctx, claim, "ReadOnly", fmt.Sprintf("provider %s makes no machines", p.Name()))
	}
	if !isTrue(claim, v1alpha1.ConditionCharged) {
		charged, err := k.isCharged(ctx, claim)
		if err != nil {
			return Result{Claim: claim}, err
		}
		if !charged {
			return k.giveUp(ctx, claim, "Uncharged", "the policy's ledger does not know the claim: its purchase was given up")
		}
	}
	// From here until the answer is written there may be a machine, and whoever reads the claim must know. The write fails if
	// the claim is not the one that was read: deleted, or taken up by another leader.
	asked := k.deps.Clock.Now()
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		s.Phase = v1alpha1.ClaimPending
		setCondition(s, v1alpha1.ConditionCharged, metav1.ConditionTrue, "InLedger", "", asked)
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionLaunched) // so that the time is that of this call
		setCondition(s, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, "Asked", "the provider was asked, and its answer is not known", asked)
	})
	if err != nil {
		return Result{Claim: claim}, err
	}
	machine, err := k.call(ctx, asked, func(ctx context.Context) (provider.Machine, error) { return p.Create(ctx, claim.DeepCopy()) })
	if err != nil {
		return k.refused(ctx, p, claim, err)
	}
	k.succeeded(claim.Name)
	return k.launched(ctx, p, claim, machine)
}

// call gives a call to a provider its time, counted from when it was announced.
func (k *Keeper) call(ctx context.Context, announced time.Time, do func(context.Context) (provider.Machine, error)) (provider.Machine, error) {
	left := time.Duration(k.cfg.ProviderTimeout) - k.deps.Clock.Since(announced)
	if left <= 0 {
		return provider.Machine{}, errors.New("not called: too much time has passed since the call was announced")
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return do(ctx)
}

// isCharged reads whether the ledger has a reservation for a claim.
func (k *Keeper) isCharged(ctx context.Context, claim *v1alpha1.NodeClaim) (bool, error) {
	var policy v1alpha1.NodePolicy
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.Policy}, &policy)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read its policy: %w", err)
	}
	k.learn(&policy)
	return policy.DeletionTimestamp.IsZero() &&
		slices.ContainsFunc(policy.Status.Reservations, func(r v1alpha1.Reservation) bool { return r.Claim == claim.Name }), nil
}

// refused sorts the errors of a provider.
func (k *Keeper) refused(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, cause error) (Result, error) {
	now := k.deps.Clock.Now()
	var sold *provider.OutOfCapacity
	var invalid *provider.Invalid
	reason := ""
	switch {
	case errors.As(cause, &sold):
		reason = "OutOfCapacity"
		k.avoid(claim, "", cause.Error(), now)
	case errors.As(cause, &invalid):
		reason = "Invalid"
		k.avoid(claim, claim.Spec.Policy, cause.Error(), now)
		if err := k.accepts(ctx, claim.Spec.Policy, cause.Error()); err != nil {
			k.log.Warn("the policy could not be told that the provider refuses its claims", "policy", claim.Spec.Policy, "error", err)
		}
	case errors.Is(cause, provider.ErrUnsupported):
		reason = "Unsupported"
		k.avoid(claim, claim.Spec.Policy, cause.Error(), now)
	}
	if reason == "" {
		wait := k.failed(p, "Create", claim.Name, now)
		result, err := k.wait(ctx, claim, "the provider could not make the machine, and is asked again: "+bounded(cause.Error()), now)
		result.After = wait
		return result, err
	}
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		s.Message = bounded(cause.Error())
		setCondition(s, v1alpha1.ConditionLaunched, metav1.ConditionFalse, reason, bounded(cause.Error()), now)
	})
	if err != nil {
		return Result{Claim: claim}, err
	}
	return k.giveUp(ctx, claim, reason, cause.Error())
}

// launched writes down what the provider has made. A claim that is gone by now does not hold the machine, so the machine goes.
func (k *Keeper) launched(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, machine provider.Machine) (Result, error) {
	edit := func(s *v1alpha1.NodeClaimStatus) {
		if s.Phase == "" || s.Phase == v1alpha1.ClaimPending {
			s.Phase = v1alpha1.ClaimLaunched
		}
		s.ProviderID = pick(machine.ID, s.ProviderID)
		s.Message = pick(machine.Message, "waiting for the node")
		setCondition(s, v1alpha1.ConditionLaunched, metav1.ConditionTrue, "Made", machine.ID, k.deps.Clock.Now())
	}
	uid := claim.UID
	err := k.write(ctx, claim, edit)
	if apierrors.IsConflict(err) {
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			var live v1alpha1.NodeClaim
			if err := k.deps.Client.Get(ctx, client.ObjectKeyFromObject(claim), &live); err != nil {
				return err
			}
			if live.UID != uid {
				return apierrors.NewNotFound(v1alpha1.GroupVersion().WithResource("nodeclaims").GroupResource(), claim.Name)
			}
			live.DeepCopyInto(claim)
			if !claim.DeletionTimestamp.IsZero() {
				return nil // its deletion asks the provider for the machine
			}
			return k.write(ctx, claim, edit)
		})
	}
	if apierrors.IsNotFound(err) {
		// Only after a pause longer than the finalizer waits. Sweep would find the machine, too.
		k.deps.Metrics.swept.WithLabelValues("MachineOfDeletedClaim").Inc()
		_, deleteErr := k.call(ctx, k.deps.Clock.Now(), func(ctx context.Context) (provider.Machine, error) {
			return machine, p.Delete(ctx, claim.DeepCopy())
		})
		if deleteErr != nil && !errors.Is(deleteErr, provider.ErrNotFound) {
			k.log.Error("a machine was made for a claim that is gone, and is left to the next sweep", "claim", claim.Name, "machine", machine.ID, "error", deleteErr)
		}
		return Result{Claim: claim}, err
	}
	if err != nil {
		return Result{Claim: claim}, err
	}
	k.trust(claim, "") // sold again
	if err := k.accepts(ctx, claim.Spec.Policy, ""); err != nil {
		k.log.Warn("the policy could not be told that the provider accepts its claims", "policy", claim.Spec.Policy, "error", err)
	}
	return Result{Claim: claim, Step: StepLaunched, After: time.Duration(k.cfg.PollInterval), Message: claim.Status.Message}, nil
}

// accepts keeps a policy's condition Accepted. With an empty message a refusal is taken back, if there was one.
func (k *Keeper) accepts(ctx context.Context, name, message string) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var policy v1alpha1.NodePolicy
		if message == "" && !k.complained(name) {
			return nil
		}
		if err := k.deps.Client.Get(ctx, client.ObjectKey{Name: name}, &policy); err != nil {
			return client.IgnoreNotFound(err)
		}
		condition := metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: "Refused", Message: bounded(message),
			LastTransitionTime: metav1.NewTime(k.deps.Clock.Now()), ObservedGeneration: policy.Generation,
		}
		if message == "" {
			condition.Status, condition.Reason = metav1.ConditionTrue, "Accepted"
		}
		before := policy.DeepCopy()
		if !meta.SetStatusCondition(&policy.Status.Conditions, condition) {
			return nil
		}
		err := k.deps.Client.Status().Patch(ctx, &policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if err == nil {
			k.complain(name, message != "")
		}
		return err
	})
}

// complained says whether a policy may have been told of a refusal: by this process, or by one before it.
func (k *Keeper) complained(policy string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	told, known := k.told[policy]
	if !known {
		k.told[policy] = false
	}
	return told || !known
}

func (k *Keeper) complain(policy string, refused bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[policy] = refused
}

// await watches over a machine whose node is not there: not yet, or not any more.
func (k *Keeper) await(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, now time.Time) (Result, error) {
	if began(claim) {
		// Sweep asks the provider whether the machine is gone, too. A kubelet may register its node again at any time.
		return k.unready(ctx, claim, "NodeMissing", "the node is gone", now)
	}
	if result, given, err := k.bootTimedOut(ctx, claim, now); given || err != nil {
		return result, err
	}
	if wait := k.due(claim.Name, now); wait > 0 {
		return Result{Claim: claim, After: wait, Message: claim.Status.Message}, nil
	}
	machine, err := k.call(ctx, now, func(ctx context.Context) (provider.Machine, error) { return p.Get(ctx, claim.DeepCopy()) })
	switch {
	case errors.Is(err, provider.ErrNotFound):
		// Some providers forget what they were asked for when they are restarted. Asking again, announced again, makes no second
		// machine.
		err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
			s.Phase, s.Message = v1alpha1.ClaimPending, "the machine has vanished, and the provider is asked again"
			setCondition(s, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, "Vanished", "the provider does not know the machine any more", now)
		})
		return Result{Claim: claim, After: k.failed(p, "Get", claim.Name, now), Message: claim.Status.Message}, err
	case err != nil:
		wait := k.failed(p, "Get", claim.Name, now)
		return Result{Claim: claim, After: wait, Message: err.Error()}, nil
	}
	k.succeeded(claim.Name)
	switch {
	case machine.State == provider.Broken:
		k.avoid(claim, claim.Spec.Policy, "a machine broke before it had a node: "+machine.Message, now)
		return k.giveUp(ctx, claim, "Broken", "the machine will never run: "+machine.Message)
	case machine.State == provider.Deleting:
		return k.giveUp(ctx, claim, "Vanished", "somebody else deletes the machine")
	case machine.ID != "" && machine.ID != claim.Status.ProviderID:
		err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) { s.ProviderID = machine.ID })
		return Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: claim.Status.Message}, err
	}
	return k.wait(ctx, claim, pick(machine.Message, "waiting for the node"), now)
}

// bootTimedOut gives a claim up whose node takes too long.
func (k *Keeper) bootTimedOut(ctx context.Context, claim *v1alpha1.NodeClaim, now time.Time) (Result, bool, error) {
	allowed, err := k.bootTimeout(ctx, claim.Spec.Policy, now)
	if err != nil {
		return Result{Claim: claim}, false, err
	}
	k.mu.Lock()
	seen, born := now, false
	if t := k.tries[claim.Name]; t != nil {
		seen, born = t.seen, t.born
	}
	k.mu.Unlock()
	// Times in objects come from clocks of others: this process goes by its own where it can, and has to have waited for a while
	// itself where it cannot.
	watched := now.Sub(seen)
	if watched < allowed && (born || watched < min(allowed, bootWitness) || now.Sub(claim.CreationTimestamp.Time) < allowed) {
		return Result{}, false, nil
	}
	message := fmt.Sprintf("the node was not ready within %s: %s", allowed, pick(claim.Status.Message, "it never registered"))
	k.avoid(claim, claim.Spec.Policy, message, now)
	result, err := k.giveUp(ctx, claim, "BootTimeout", message)
	return result, true, err
}

// bootWitness is how long this process must have seen a claim before it calls it late.
const bootWitness = 30 * time.Second

// bootTimeout is how long a policy's nodes may take. It is read again now and then.
func (k *Keeper) bootTimeout(ctx context.Context, name string, now time.Time) (time.Duration, error) {
	k.mu.Lock()
	known, ok := k.boots[name]
	k.mu.Unlock()
	if ok && now.Sub(known.read) < time.Minute {
		return known.value, nil
	}
	var policy v1alpha1.NodePolicy
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: name}, &policy)
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("read its policy: %w", err)
	}
	policy.Name = name
	k.learn(&policy)
	return k.bootTimeout(ctx, name, k.deps.Clock.Now())
}

// unready writes that a node that was there takes no pods now.
func (k *Keeper) unready(ctx context.Context, claim *v1alpha1.NodeClaim, reason, message string, now time.Time) (Result, error) {
	c := meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionReady)
	if c != nil && c.Status == metav1.ConditionFalse && c.Reason == reason {
		return Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: message}, nil
	}
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		setCondition(s, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, bounded(message), now)
		s.Message = bounded(message)
	})
	return Result{Claim: claim, Step: StepNotReady, After: time.Duration(k.cfg.PollInterval), Message: message}, err
}

// bounded cuts messages of others to what a status should hold.
func bounded(message string) string {
	const most = 1024
	if len(message) <= most {
		return message
	}
	cut := most
	for cut > 0 && message[cut]&0xC0 == 0x80 {
		cut--
	}
	return message[:cut] + "…"
}

func pick(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// nodeCondition is the status of a node's condition, Unknown when it has none.
func nodeCondition(node *corev1.Node, kind corev1.NodeConditionType) corev1.ConditionStatus {
	for _, c := range node.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}
