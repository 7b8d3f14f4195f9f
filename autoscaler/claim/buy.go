package claim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Conflict means that the world is no longer the one that the purchase was planned for: plan anew. Nothing was charged.
type Conflict struct {
	Policy string
	// Code is Changed, Unknown, Unfinished, Elsewhere, Replaced or Deleted.
	Code, Message string
}

func (e *Conflict) Error() string { return fmt.Sprintf("NodePolicy %s: %s", e.Policy, e.Message) }

// Order is a purchase.
type Order struct {
	// Policy is the one that was planned from: if it was written since, by whomever, the purchase is refused.
	Policy *v1alpha1.NodePolicy
	// Nodes are what to buy, all under the policy.
	Nodes []cluster.NewNode
	// Reason is put before the reasons of the nodes.
	Reason string
	// Replaces are the claims that are given back once the nodes are ready. A claim that is being replaced already is not
	// replaced again.
	Replaces []string
	// Known are the claims, of all policies, that the plan has counted with: if there is another one by now, the purchase is
	// refused, and so it is when one has been charged to another policy. Nil means that this is not looked at.
	Known map[string]struct{}
}

// Buy charges a purchase to the policy and creates its claims. It is all or nothing as far as the charge goes: errors are a *Conflict,
// a *LimitExceeded, or what the API server said. Claims that could not be created after the charge are missing in the answer, which
// comes with an error then; what they were charged is given back by Sweep at the latest.
func (k *Keeper) Buy(ctx context.Context, order Order) ([]*v1alpha1.NodeClaim, error) {
	if len(order.Nodes) == 0 {
		return nil, nil
	}
	policy := order.Policy.DeepCopy()
	claims, err := k.charge(ctx, policy, &order)
	if err != nil {
		k.deps.Metrics.refusals.WithLabelValues(refusal(err)).Inc()
		return nil, fmt.Errorf("buy %d nodes: %w", len(order.Nodes), err)
	}
	made := make([]*v1alpha1.NodeClaim, len(claims))
	failures := make([]error, len(claims))
	var group errgroup.Group
	group.SetLimit(creators)
	for i, c := range claims {
		group.Go(func() error {
			var err error
			if made[i], err = k.create(ctx, c); err != nil {
				made[i], failures[i] = nil, fmt.Errorf("create claim %s: %w", c.Name, err)
				return nil
			}
			k.bear(c.Name)
			return nil
		})
	}
	_ = group.Wait()
	bought := slices.DeleteFunc(made, func(c *v1alpha1.NodeClaim) bool { return c == nil })
	k.deps.Metrics.steps.WithLabelValues(string(StepBought)).Add(float64(len(bought)))
	return bought, errors.Join(failures...)
}

// bear notes that a claim was made by this process, just now.
func (k *Keeper) bear(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries[name] = &tries{seen: k.deps.Clock.Now(), born: true}
}

// creators is how many claims of a purchase are created at the same time.
const creators = 16

// charge writes the claims to the ledger and returns them as they are to be created.
func (k *Keeper) charge(ctx context.Context, policy *v1alpha1.NodePolicy, order *Order) ([]*v1alpha1.NodeClaim, error) {
	if !policy.DeletionTimestamp.IsZero() {
		return nil, &Conflict{policy.Name, "Deleted", "it is being deleted"}
	}
	if err := k.hold(ctx, policy); err != nil {
		return nil, err
	}
	// Read after the policy was: a claim that was charged before is there, or still in the reservations, and one that was
	// charged since makes the write below fail.
	var list v1alpha1.NodeClaimList
	if err := k.deps.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list claims: %w", err)
	}
	existing := pointers(list.Items)
	if err := admit(policy, order, existing); err != nil {
		return nil, err
	}
	hash, err := policy.TemplateHash()
	if err != nil {
		return nil, err
	}
	sequence := policy.Status.Sequence
	for _, c := range existing {
		sequence = max(sequence, sequenceOf(policy.Name, c.Name))
	}
	owned := Charged(policy, existing)
	wanted := v1alpha1.NodeCharge{CPU: owned.CPU.DeepCopy(), Memory: owned.Memory.DeepCopy(), PricePerHour: owned.PricePerHour.DeepCopy(), Nodes: owned.Nodes}
	settled := settled(existing)
	before := policy.DeepCopy()
	policy.Status.Reservations = slices.DeleteFunc(policy.Status.Reservations, func(r v1alpha1.Reservation) bool { _, ok := settled[r.Claim]; return ok })
	var claims []*v1alpha1.NodeClaim
	now := metav1.NewTime(k.deps.Clock.Now())
	for i := range order.Nodes {
		sequence++
		c := newClaim(policy, name(policy.Name, sequence), hash, &order.Nodes[i], order)
		claims = append(claims, c)
		charge := Charge(&c.Spec.Offer)
		add(&wanted, charge)
		policy.Status.Reservations = append(policy.Status.Reservations, v1alpha1.Reservation{Claim: c.Name, Charge: charge, At: now})
	}
	if err := within(policy, owned, wanted); err != nil {
		return nil, err
	}
	policy.Status.Sequence, policy.Status.Charged = sequence, wanted
	if err := k.deps.Client.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return nil, changed(policy.Name, "charge", err)
	}
	if err := k.alone(ctx, policy, order, claims); err != nil {
		k.discharge(ctx, policy, claims)
		return nil, err
	}
	k.learn(policy)
	return claims, nil
}

// hold puts the finalizer on a policy, so that its ledger outlives its claims.
func (k *Keeper) hold(ctx context.Context, policy *v1alpha1.NodePolicy) error {
	if controllerutil.ContainsFinalizer(policy, v1alpha1.NodePolicyFinalizer) {
		return nil
	}
	before := policy.DeepCopy()
	controllerutil.AddFinalizer(policy, v1alpha1.NodePolicyFinalizer)
	if err := k.deps.Client.Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return changed(policy.Name, "put the finalizer on it", err)
	}
	return nil
}

func changed(policy, what string, err error) error {
	switch {
	case apierrors.IsConflict(err):
		return &Conflict{policy, "Changed", "it has changed since the plan was made"}
	case apierrors.IsNotFound(err):
		return &Conflict{policy, "Deleted", "it is gone"}
	}
	return fmt.Errorf("NodePolicy %s: %s: %w", policy, what, err)
}

// admit says whether the plan knew what there is.
func admit(policy *v1alpha1.NodePolicy, order *Order, existing []*v1alpha1.NodeClaim) error {
	present := make(map[string]struct{}, len(existing))
	for _, c := range existing {
		present[c.Name] = struct{}{}
		if _, ok := order.Known[c.Name]; order.Known != nil && !ok {
			return &Conflict{policy.Name, "Unknown", fmt.Sprintf("the plan did not know of claim %s", c.Name)}
		}
		for _, r := range order.Replaces {
			if slices.Contains(c.Spec.Replaces, r) && c.DeletionTimestamp.IsZero() {
				return &Conflict{policy.Name, "Replaced", fmt.Sprintf("claim %s is being replaced by %s already", r, c.Name)}
			}
		}
	}
	// What was charged and never came to be may be about to: a plan that does not count with it would buy it twice.
	for _, r := range policy.Status.Reservations {
		if _, ok := present[r.Claim]; !ok {
			return &Conflict{policy.Name, "Unfinished", fmt.Sprintf("the purchase of claim %s is not finished, and is given up soon unless it is", r.Claim)}
		}
	}
	for i := range order.Nodes {
		if p := order.Nodes[i].Offer.Policy; p != "" && p != policy.Name {
			return fmt.Errorf("NodePolicy %s: offer %s is of policy %s", policy.Name, order.Nodes[i].Offer.Name, p)
		}
	}
	return nil
}

// settled are claims that need no reservation any more: they count themselves, and what providers are asked hangs on them alone.
func settled(claims []*v1alpha1.NodeClaim) map[string]struct{} {
	out := map[string]struct{}{}
	for _, c := range claims {
		if isTrue(c, v1alpha1.ConditionCharged) {
			out[c.Name] = struct{}{}
		}
	}
	return out
}

// create makes a claim, or finds it made.
func (k *Keeper) create(ctx context.Context, c *v1alpha1.NodeClaim) (*v1alpha1.NodeClaim, error) {
	wanted := c.Spec.DeepCopy()
	err := k.deps.Client.Create(ctx, c)
	if !apierrors.IsAlreadyExists(err) {
		return c, err
	}
	var there v1alpha1.NodeClaim
	if err := k.deps.Client.Get(ctx, client.ObjectKey{Name: c.Name}, &there); err != nil {
		return nil, err
	}
	if !apiequality.Semantic.DeepEqual(&there.Spec, wanted) {
		return nil, fmt.Errorf("there is another claim of that name")
	}
	return &there, nil
}

func newClaim(policy *v1alpha1.NodePolicy, name, hash string, node *cluster.NewNode, order *Order) *v1alpha1.NodeClaim {
	t, offer := &policy.Spec.Template, &node.Offer
	labels := map[string]string{}
	maps.Copy(labels, offer.Labels)
	maps.Copy(labels, t.Labels)
	delete(labels, corev1.LabelHostname)
	annotations := map[string]string{}
	if drivers := drivers(offer); len(drivers) > 0 {
		annotations[v1alpha1.AnnotationDevices] = strings.Join(drivers, ",")
	}
	return &v1alpha1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: []string{v1alpha1.NodeClaimFinalizer}, Annotations: annotations,
			Labels: map[string]string{v1alpha1.LabelNodePolicy: policy.Name},
		},
		Spec: v1alpha1.NodeClaimSpec{
			Policy: policy.Name, Provider: policy.Spec.Provider.Name,
			Offer: v1alpha1.ClaimedOffer{
				Name: offer.Name, Group: offer.Group, Zone: offer.Zone, CapacityType: offer.CapacityType,
				PricePerHour: Price(offer.PricePerHour), Allocatable: offer.Allocatable.DeepCopy(),
			},
			Labels: labels, Annotations: maps.Clone(t.Annotations), Taints: taints(t.Taints), StartupTaints: taints(t.StartupTaints),
			Version: t.Version, Image: t.Image, TemplateHash: hash,
			Reason: reason(order.Reason, node.Reason), Replaces: slices.Clone(order.Replaces),
		},
	}
}

func reason(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// taints are without the times at which they were put somewhere, which would make equal claims differ.
func taints(in []corev1.Taint) []corev1.Taint {
	out := slices.Clone(in)
	for i := range out {
		out[i].TimeAdded = nil
	}
	return out
}

func drivers(offer *cluster.Offer) []string {
	var out []string
	for i := range offer.Slices {
		out = append(out, offer.Slices[i].Spec.Driver)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func refusal(err error) string {
	var conflict *Conflict
	var limit *LimitExceeded
	switch {
	case errors.As(err, &conflict):
		return "Conflict" + conflict.Code
	case errors.As(err, &limit):
		return "LimitExceeded"
	}
	return "APIServer"
}

func pointers(items []v1alpha1.NodeClaim) []*v1alpha1.NodeClaim {
	out := make([]*v1alpha1.NodeClaim, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// bootTimeout is a policy's, as read at some time.
type bootTimeout struct {
	value time.Duration
	read  time.Time
}

// learn remembers how long a policy's nodes may take to boot.
func (k *Keeper) learn(policy *v1alpha1.NodePolicy) {
	value := time.Duration(k.cfg.BootTimeout)
	if r := policy.Spec.Repair; r != nil && r.BootTimeout != nil {
		value = r.BootTimeout.Duration
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.boots[policy.Name] = bootTimeout{value: value, read: k.deps.Clock.Now()}
}
