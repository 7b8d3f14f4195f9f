package claim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Swept is what a Sweep has done.
type Swept struct {
	// Settled reservations have their claim, Released ones will never have it.
	Settled, Released int
	// Orphans are machines without a claim that were deleted, Lost claims whose machine is gone, Nodes those of neither.
	Orphans, Lost, Nodes int
	// Given are claims of policies that are being deleted, whose deletion was begun.
	Given int
	// Astray says what was found out of order and left alone, and why. Providers are not asked each time: what was found last with
	// their machines is said until they are.
	Astray []Astray
}

// Astray is something out of order that nobody is sure enough about to act.
type Astray struct {
	// Provider is empty when it is no provider's.
	Provider string
	Message  string
}

// Sweep puts in order what a crash, a second leader or a provider has left behind: reservations without claims, policies that are
// being deleted, machines without claims, claims without machines, nodes without either. It reads past the cache and is to be
// called every few seconds; what concerns machines is asked of each provider once per Config.OrphanTimeout/2.
func (k *Keeper) Sweep(ctx context.Context) (Swept, error) {
	var s Swept
	var policies v1alpha1.NodePolicyList
	if err := k.deps.Client.List(ctx, &policies); err != nil {
		return s, fmt.Errorf("sweep: list policies: %w", err)
	}
	// After the policies: see charge.
	var list v1alpha1.NodeClaimList
	if err := k.deps.Client.List(ctx, &list); err != nil {
		return s, fmt.Errorf("sweep: list claims: %w", err)
	}
	claims := pointers(list.Items)
	var failures []error
	for i := range policies.Items {
		if err := k.sweepPolicy(ctx, &policies.Items[i], claims, &s); err != nil {
			failures = append(failures, err)
		}
	}
	k.homeless(policies.Items, claims, &s)
	if !k.machinesDue() {
		s.Astray = append(s.Astray, k.leftAlone(nil)...)
	} else {
		before := len(s.Astray)
		machines, complete, err := k.machines(ctx)
		failures = append(failures, err)
		failures = append(failures, k.sweepMachines(ctx, machines, claims, &s))
		if complete {
			failures = append(failures, k.sweepNodes(ctx, machines, claims, &s))
		}
		k.leftAlone(append([]Astray{}, s.Astray[before:]...))
	}
	k.prune(policies.Items, claims)
	for what, n := range map[string]int{"ReservationSettled": s.Settled, "ReservationReleased": s.Released, "Orphan": s.Orphans, "MachineGone": s.Lost, "Node": s.Nodes, "PolicyDeleted": s.Given} {
		k.deps.Metrics.swept.WithLabelValues(what).Add(float64(n))
	}
	return s, errors.Join(failures...)
}

// sweepPolicy settles a policy's ledger, and sees to the deletion of the policy.
func (k *Keeper) sweepPolicy(ctx context.Context, policy *v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim, s *Swept) error {
	if !policy.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(policy, v1alpha1.NodePolicyFinalizer) {
		return k.dismiss(ctx, policy, claims, s)
	}
	before := policy.DeepCopy()
	done := settled(claims)
	now := k.deps.Clock.Now()
	var released, kept []v1alpha1.Reservation
	for _, r := range policy.Status.Reservations {
		if _, ok := done[r.Claim]; ok {
			s.Settled++
			continue
		}
		late := now.Sub(r.At.Time) > time.Duration(k.cfg.ReservationTimeout) && k.lasting(time.Duration(k.cfg.ReservationTimeout)/2, "reservation "+r.Claim, now)
		if !late || slices.ContainsFunc(claims, func(c *v1alpha1.NodeClaim) bool { return c.Name == r.Claim }) {
			kept = append(kept, r)
			continue
		}
		var c v1alpha1.NodeClaim
		switch err := k.deps.Client.Get(ctx, client.ObjectKey{Name: r.Claim}, &c); {
		case apierrors.IsNotFound(err):
			released = append(released, r)
		case err != nil:
			return fmt.Errorf("sweep: read claim %s: %w", r.Claim, err)
		default:
			kept = append(kept, r)
		}
	}
	policy.Status.Reservations = kept
	policy.Status.Charged = Charged(policy, claims)
	if len(kept) == len(before.Status.Reservations) && sameCharge(&policy.Status.Charged, &before.Status.Charged) {
		return nil
	}
	// Only what was read is given up: a purchase made meanwhile makes the write fail.
	err := k.deps.Client.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // next time
	}
	if err != nil {
		return fmt.Errorf("sweep: write the ledger of NodePolicy %s: %w", policy.Name, err)
	}
	for _, r := range released {
		s.Released++
		k.log.Warn("a purchase was given up whose claim was never created", "policy", policy.Name, "claim", r.Claim)
	}
	return nil
}

func sameCharge(a, b *v1alpha1.NodeCharge) bool {
	return a.CPU.Cmp(b.CPU) == 0 && a.Memory.Cmp(b.Memory) == 0 && a.Nodes == b.Nodes && a.PricePerHour.Cmp(b.PricePerHour) == 0
}

// dismiss sees a policy off that is being deleted. Its claims are deleted first, which drains their nodes wherever the pods have
// another place; unless the policy says that its nodes are to be kept, or has only ever recommended.
func (k *Keeper) dismiss(ctx context.Context, policy *v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim, s *Swept) error {
	keep := policy.Annotations[v1alpha1.AnnotationKeepNodes] == "true" || policy.Spec.Mode != v1alpha1.Apply
	left := 0
	for _, c := range claims {
		if c.Spec.Policy != policy.Name {
			continue
		}
		if keep && isTrue(c, v1alpha1.ConditionLaunched) {
			continue
		}
		left++
		if c.DeletionTimestamp.IsZero() {
			if err := k.Delete(ctx, c); err != nil {
				return fmt.Errorf("sweep: NodePolicy %s is being deleted: %w", policy.Name, err)
			}
			s.Given++
		}
	}
	if left > 0 {
		return nil
	}
	before := policy.DeepCopy()
	controllerutil.RemoveFinalizer(policy, v1alpha1.NodePolicyFinalizer)
	err := k.deps.Client.Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("sweep: let NodePolicy %s go: %w", policy.Name, err)
	}
	return nil
}

// homeless are claims whose policy is gone: they were kept on purpose, and go when somebody deletes them.
func (k *Keeper) homeless(policies []v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim, s *Swept) {
	n := 0
	for _, c := range claims {
		if !slices.ContainsFunc(policies, func(p v1alpha1.NodePolicy) bool { return p.Name == c.Spec.Policy }) {
			if n++; n <= 10 {
				s.Astray = append(s.Astray, Astray{c.Spec.Provider, fmt.Sprintf("claim %s: its NodePolicy %s is gone; it is kept until it is deleted", c.Name, c.Spec.Policy)})
			}
		}
	}
	k.deps.Metrics.lost.WithLabelValues("", "claims without policy").Set(float64(n))
}

// machines are what every provider has made, by provider. It is incomplete when one of them did not answer.
func (k *Keeper) machines(ctx context.Context) (map[string][]provider.Machine, bool, error) {
	out := map[string][]provider.Machine{}
	var failures []error
	for name, p := range k.deps.Providers {
		if p.Capabilities().ReadOnly {
			continue
		}
		call, cancel := context.WithTimeout(ctx, time.Duration(k.cfg.ProviderTimeout))
		list, err := p.List(call)
		cancel()
		if err != nil {
			k.deps.Metrics.failures.WithLabelValues(name, "List").Inc()
			failures = append(failures, fmt.Errorf("sweep: list the machines of provider %s: %w", name, err))
			continue
		}
		out[name] = list
	}
	return out, len(failures) == 0, errors.Join(failures...)
}

// sweepMachines looks for machines without claims and claims without machines.
func (k *Keeper) sweepMachines(ctx context.Context, machines map[string][]provider.Machine, claims []*v1alpha1.NodeClaim, s *Swept) error {
	var failures []error
	byName := make(map[string]*v1alpha1.NodeClaim, len(claims))
	for _, c := range claims {
		byName[c.Name] = c
	}
	for name, list := range machines {
		has := make(map[string]struct{}, len(list))
		var orphans []provider.Machine
		for _, m := range list {
			has[m.Claim] = struct{}{}
			if m.Claim != "" && byName[m.Claim] == nil {
				orphans = append(orphans, m)
			}
		}
		var lost []*v1alpha1.NodeClaim
		for _, c := range claims {
			_, ok := has[c.Name]
			if ok {
				k.seen("claim " + c.Name)
			}
			if !ok && c.Spec.Provider == name && isTrue(c, v1alpha1.ConditionLaunched) && c.DeletionTimestamp.IsZero() {
				lost = append(lost, c)
			}
		}
		k.deps.Metrics.lost.WithLabelValues(name, "machines without claim").Set(float64(len(orphans)))
		k.deps.Metrics.lost.WithLabelValues(name, "claims without machine").Set(float64(len(lost)))
		if len(orphans) > k.cfg.MaxOrphans {
			s.Astray = append(s.Astray, Astray{name, fmt.Sprintf("provider %s: %d machines have no claim: so many are left alone", name, len(orphans))})
			orphans = nil
		}
		if len(lost) > k.cfg.MaxOrphans {
			s.Astray = append(s.Astray, Astray{name, fmt.Sprintf("provider %s: it does not list the machines of %d claims: so many are left alone", name, len(lost))})
			lost = nil
		}
		for _, m := range orphans {
			failures = append(failures, k.orphan(ctx, k.deps.Providers[name], m, s))
		}
		for _, c := range lost {
			failures = append(failures, k.lose(ctx, k.deps.Providers[name], c, s))
		}
	}
	return errors.Join(failures...)
}

// orphan deletes a machine whose claim has been gone for a while.
func (k *Keeper) orphan(ctx context.Context, p provider.Provider, m provider.Machine, s *Swept) error {
	now := k.deps.Clock.Now()
	key := "machine " + p.Name() + " " + m.Claim
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: m.Claim}, &v1alpha1.NodeClaim{})
	if err == nil {
		k.seen(key)
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("sweep: read claim %s: %w", m.Claim, err)
	}
	if !k.lasting(time.Duration(k.cfg.OrphanTimeout), key, now) {
		return nil
	}
	node, err := k.nodeOf(ctx, m)
	if err != nil {
		return err
	}
	if node != nil && nodeCondition(node, corev1.NodeReady) == corev1.ConditionTrue {
		var pods corev1.PodList
		if err := k.deps.Client.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node.Name}); err != nil {
			return fmt.Errorf("sweep: list the pods of node %s: %w", node.Name, err)
		}
		if i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return movable(&p) }); i >= 0 {
			s.Astray = append(s.Astray, Astray{p.Name(), fmt.Sprintf("machine %s (node %s): its claim %s is gone, and pod %s/%s runs on it: it is left alone", m.ID, node.Name, m.Claim, pods.Items[i].Namespace, pods.Items[i].Name)})
			return nil
		}
	}
	claim := &v1alpha1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: m.Claim, DeletionTimestamp: &metav1.Time{Time: now}},
		Spec:       v1alpha1.NodeClaimSpec{Provider: p.Name(), Offer: v1alpha1.ClaimedOffer{Group: m.Group}},
		Status:     v1alpha1.NodeClaimStatus{ProviderID: m.ID, NodeName: m.NodeName, Phase: v1alpha1.ClaimTerminating},
	}
	_, err = k.call(ctx, k.deps.Clock.Now(), func(ctx context.Context) (provider.Machine, error) { return m, p.Delete(ctx, claim) })
	if errors.Is(err, provider.ErrNotFound) {
		k.seen(key)
		return nil
	}
	if err != nil {
		k.deps.Metrics.failures.WithLabelValues(p.Name(), "Delete").Inc()
		return fmt.Errorf("sweep: delete machine %s of claim %s, which is gone: %w", m.ID, m.Claim, err)
	}
	if m.State == provider.Deleting {
		return nil // it was on its way already
	}
	s.Orphans++
	k.log.Warn("a machine without a claim is deleted", "provider", p.Name(), "machine", m.ID, "claim", m.Claim, "node", m.NodeName)
	return nil
}

// nodeOf finds the node of a machine, nil when there is none.
func (k *Keeper) nodeOf(ctx context.Context, m provider.Machine) (*corev1.Node, error) {
	var labelled corev1.NodeList
	if err := k.deps.Client.List(ctx, &labelled, client.MatchingLabels{v1alpha1.LabelNodeClaim: m.Claim}); err != nil {
		return nil, fmt.Errorf("sweep: find the node of machine %s: %w", m.ID, err)
	}
	if len(labelled.Items) > 0 {
		return &labelled.Items[0], nil
	}
	if m.NodeName == "" {
		return nil, nil
	}
	var node corev1.Node
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: m.NodeName}, &node)
	if apierrors.IsNotFound(err) || err == nil && m.ID != "" && node.Spec.ProviderID != "" && node.Spec.ProviderID != m.ID {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: read node %s: %w", m.NodeName, err)
	}
	return &node, nil
}

// lose deletes a claim whose machine is gone: the provider says so twice, and the node has nothing to say against it.
func (k *Keeper) lose(ctx context.Context, p provider.Provider, c *v1alpha1.NodeClaim, s *Swept) error {
	if !began(c) {
		return nil // it is asked for again until its time to boot is over
	}
	key := "claim " + c.Name
	_, err := k.call(ctx, k.deps.Clock.Now(), func(ctx context.Context) (provider.Machine, error) { return p.Get(ctx, c.DeepCopy()) })
	if !errors.Is(err, provider.ErrNotFound) {
		k.seen(key)
		return nil
	}
	node, err := k.liveNode(ctx, c, nil)
	if err != nil {
		return err
	}
	if node != nil && nodeCondition(node, corev1.NodeReady) == corev1.ConditionTrue {
		s.Astray = append(s.Astray, Astray{p.Name(), fmt.Sprintf("claim %s: provider %s does not know its machine, but node %s is ready: it is left alone", c.Name, p.Name(), node.Name)})
		k.seen(key)
		return nil
	}
	now := k.deps.Clock.Now()
	if !k.lasting(time.Duration(k.cfg.OrphanTimeout), key, now) {
		return nil
	}
	c = c.DeepCopy()
	err = k.write(ctx, c, func(st *v1alpha1.NodeClaimStatus) {
		st.Message = "the machine is gone"
		setCondition(st, v1alpha1.ConditionLaunched, metav1.ConditionFalse, reasonGone, "the provider does not know the machine any more", now)
	})
	if err == nil {
		err = k.Delete(ctx, c)
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep: claim %s has lost its machine: %w", c.Name, err)
	}
	s.Lost++
	k.log.Warn("a machine is gone that nobody gave back", "claim", c.Name, "machine", c.Status.ProviderID, "node", c.Status.NodeName)
	return nil
}

// sweepNodes deletes nodes that were ours, are dead, and have neither a claim nor a machine.
func (k *Keeper) sweepNodes(ctx context.Context, machines map[string][]provider.Machine, claims []*v1alpha1.NodeClaim, s *Swept) error {
	var nodes metav1.PartialObjectMetadataList
	nodes.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	if err := k.deps.Client.List(ctx, &nodes, client.HasLabels{v1alpha1.LabelNodeClaim}); err != nil {
		return fmt.Errorf("sweep: list nodes: %w", err)
	}
	known := map[string]struct{}{}
	for _, c := range claims {
		known[c.Name] = struct{}{}
	}
	for _, list := range machines {
		for _, m := range list {
			known[m.Claim], known["node "+m.NodeName] = struct{}{}, struct{}{}
		}
	}
	var failures []error
	for i := range nodes.Items {
		n := &nodes.Items[i]
		_, claimed := known[n.Labels[v1alpha1.LabelNodeClaim]]
		_, running := known["node "+n.Name]
		if !claimed && !running {
			failures = append(failures, k.deadNode(ctx, n, s))
		}
	}
	return errors.Join(failures...)
}

func (k *Keeper) deadNode(ctx context.Context, n *metav1.PartialObjectMetadata, s *Swept) error {
	key := "node " + n.Name
	var node corev1.Node
	err := k.deps.Client.Get(ctx, client.ObjectKey{Name: n.Name}, &node)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = k.deps.Client.Get(ctx, client.ObjectKey{Name: node.Labels[v1alpha1.LabelNodeClaim]}, &v1alpha1.NodeClaim{})
	}
	if err == nil || nodeCondition(&node, corev1.NodeReady) == corev1.ConditionTrue {
		k.seen(key)
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("sweep: node %s: %w", n.Name, err)
	}
	if !k.lasting(time.Duration(k.cfg.OrphanTimeout), key, k.deps.Clock.Now()) {
		return nil
	}
	err = k.deps.Client.Delete(ctx, &node, client.Preconditions{UID: &node.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("sweep: delete node %s: %w", n.Name, err)
	}
	s.Nodes++
	k.log.Warn("a dead node without a claim and without a machine is deleted", "node", n.Name)
	return nil
}

// lasting says whether something has been found out of order for some time, without interruption.
func (k *Keeper) lasting(least time.Duration, key string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	first, ok := k.gone[key]
	if !ok {
		k.gone[key] = now
		return false
	}
	return now.Sub(first) >= least
}

// seen says that something is in order.
func (k *Keeper) seen(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.gone, key)
}

// machinesDue says whether providers are to be asked again.
func (k *Keeper) machinesDue() bool {
	now := k.deps.Clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.listed.IsZero() && now.Sub(k.listed) < time.Duration(k.cfg.OrphanTimeout)/2 {
		return false
	}
	k.listed = now
	return true
}

// leftAlone keeps what was found astray with machines, or says what was found last.
func (k *Keeper) leftAlone(found []Astray) []Astray {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found != nil {
		k.astray = found
	}
	return k.astray
}

// prune forgets what is no more.
func (k *Keeper) prune(policies []v1alpha1.NodePolicy, claims []*v1alpha1.NodeClaim) {
	named := make(map[string]struct{}, len(policies))
	for i := range policies {
		named[policies[i].Name] = struct{}{}
	}
	present := make(map[string]struct{}, len(claims))
	for _, c := range claims {
		present[c.Name] = struct{}{}
	}
	now := k.deps.Clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.tries {
		if _, ok := present[name]; !ok {
			delete(k.tries, name)
		}
	}
	maps.DeleteFunc(k.told, func(policy string, _ bool) bool { _, ok := named[policy]; return !ok })
	maps.DeleteFunc(k.boots, func(policy string, _ bootTimeout) bool { _, ok := named[policy]; return !ok })
	for key, first := range k.gone {
		if now.Sub(first) > 10*time.Duration(k.cfg.OrphanTimeout) {
			delete(k.gone, key)
		}
	}
	k.fade(now)
}
