package claim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// register puts the claim's labels, annotations and taints on its node and takes the taint off that has kept all pods away until
// then: in one write, so that no pod ever sees a part of it. The result says when to call again unless there was nothing to do.
func (k *Keeper) register(ctx context.Context, p provider.Provider, claim *v1alpha1.NodeClaim, node *corev1.Node) (Result, error) {
	if isTrue(claim, v1alpha1.ConditionRegistered) && node.Labels[v1alpha1.LabelNodeClaim] == claim.Name && !tainted(node, v1alpha1.TaintUnregistered) {
		return Result{}, nil
	}
	var live corev1.Node // the cache may hold less than there is, and older
	if err := k.deps.Client.Get(ctx, client.ObjectKey{Name: node.Name}, &live); err != nil {
		if apierrors.IsNotFound(err) {
			return Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: "the node is gone"}, nil
		}
		return Result{Claim: claim}, fmt.Errorf("read node %s: %w", node.Name, err)
	}
	if !live.DeletionTimestamp.IsZero() || !Matches(claim, &live) {
		return Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: fmt.Sprintf("node %s is not the claim's", node.Name)}, nil
	}
	before := live.DeepCopy()
	dress(claim, &live, p.Capabilities().Taints)
	if err := k.deps.Client.Patch(ctx, &live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		if apierrors.IsNotFound(err) {
			return Result{Claim: claim, After: time.Duration(k.cfg.PollInterval), Message: "the node is gone"}, nil
		}
		return Result{Claim: claim}, fmt.Errorf("register node %s: %w", node.Name, err)
	}
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		if s.Phase == v1alpha1.ClaimPending || s.Phase == v1alpha1.ClaimLaunched || s.Phase == "" {
			s.Phase = v1alpha1.ClaimRegistered
		}
		s.NodeName, s.ProviderID = live.Name, pick(live.Spec.ProviderID, s.ProviderID)
		s.Message = "the node has registered"
		setCondition(s, v1alpha1.ConditionRegistered, metav1.ConditionTrue, "Registered", "node "+live.Name, k.deps.Clock.Now())
	})
	return Result{Claim: claim, Step: StepRegistered, After: time.Millisecond, Message: claim.Status.Message}, err
}

// dress gives a node what its claim says.
func dress(claim *v1alpha1.NodeClaim, node *corev1.Node, tainted bool) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	for key, value := range claim.Spec.Labels {
		// What a kubelet or a cloud's controller says of the machine is the truth, whatever was promised.
		if _, there := node.Labels[key]; !there || !observed(key) {
			node.Labels[key] = value
		}
	}
	for key, value := range claim.Spec.Annotations {
		node.Annotations[key] = value
	}
	for _, t := range claim.Spec.Taints {
		addTaint(node, t)
	}
	// Startup taints are taken off by others: they are put on once, and only if the provider has not done that.
	if node.Annotations[v1alpha1.AnnotationRegistered] != claim.Name && !tainted {
		for _, t := range claim.Spec.StartupTaints {
			addTaint(node, t)
		}
	}
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.TaintUnregistered })
	node.Labels[v1alpha1.LabelNodePolicy] = claim.Spec.Policy
	node.Labels[v1alpha1.LabelNodeClaim] = claim.Name
	node.Annotations[v1alpha1.AnnotationRegistered] = claim.Name
}

// observed labels describe the machine, and are not a matter of configuration.
func observed(label string) bool {
	domain, _, _ := strings.Cut(label, "/")
	return domain == "kubernetes.io" || domain == "k8s.io" || strings.HasSuffix(domain, ".kubernetes.io") && domain != "node-restriction.kubernetes.io" && domain != "node-role.kubernetes.io" || strings.HasSuffix(domain, ".k8s.io")
}

func addTaint(node *corev1.Node, taint corev1.Taint) {
	i := slices.IndexFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taint.Key && t.Effect == taint.Effect })
	if i < 0 {
		node.Spec.Taints = append(node.Spec.Taints, taint)
		return
	}
	node.Spec.Taints[i].Value = taint.Value
}

func tainted(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// ready keeps the condition Ready, and gives a node up that never becomes ready.
func (k *Keeper) ready(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node, now time.Time) (Result, error) {
	reason, message, err := k.unprepared(ctx, claim, node)
	if err != nil {
		return Result{Claim: claim}, err
	}
	was := isTrue(claim, v1alpha1.ConditionReady)
	switch {
	case reason == "" && was && claim.Status.Phase != v1alpha1.ClaimRegistered:
		return Result{Claim: claim}, nil
	case reason == "":
		return k.becomeReady(ctx, claim, node, now)
	case began(claim):
		return k.unready(ctx, claim, reason, message, now)
	}
	if result, given, err := k.bootTimedOut(ctx, claim, now); given || err != nil {
		return result, err
	}
	return k.wait(ctx, claim, message, now)
}

// began says whether the node has ever taken pods: from then on it is a matter of repair.
func began(claim *v1alpha1.NodeClaim) bool {
	return meta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ConditionReady) != nil
}

func (k *Keeper) becomeReady(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node, now time.Time) (Result, error) {
	first := !began(claim)
	short := shortfall(claim, node)
	err := k.write(ctx, claim, func(s *v1alpha1.NodeClaimStatus) {
		if s.Phase == v1alpha1.ClaimRegistered {
			s.Phase = v1alpha1.ClaimReady
		}
		s.Message = ""
		setCondition(s, v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", short, now)
	})
	if err != nil {
		return Result{Claim: claim}, err
	}
	if first {
		k.deps.Metrics.boots.Observe(max(0, now.Sub(claim.CreationTimestamp.Time).Seconds()))
		k.trust(claim, claim.Spec.Policy)
		if short != "" {
			k.deps.Metrics.swept.WithLabelValues("SmallerThanPromised").Inc()
		}
	}
	return Result{Claim: claim, Step: StepReady, Message: pick(short, "the node takes pods")}, nil
}

// unprepared says what a node lacks to take the pods that it was bought for.
func (k *Keeper) unprepared(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node) (reason, message string, err error) {
	if nodeCondition(node, corev1.NodeReady) != corev1.ConditionTrue {
		return "NodeNotReady", "the node is not ready", nil
	}
	for _, t := range node.Spec.Taints {
		switch {
		case slices.ContainsFunc(claim.Spec.StartupTaints, func(s corev1.Taint) bool { return s.Key == t.Key && s.Effect == t.Effect }):
			return "StartupTaint", fmt.Sprintf("startup taint %s is still there", t.Key), nil
		case initial(t.Key):
			return "Taint", fmt.Sprintf("taint %s is still there", t.Key), nil
		}
	}
	for name, promised := range claim.Spec.Offer.Allocatable {
		if !extended(name) || promised.IsZero() {
			continue
		}
		if got := node.Status.Allocatable[name]; got.Cmp(promised) < 0 && !began(claim) {
			return "Resources", fmt.Sprintf("the node has %s of %s %s that its offer promised", got.String(), promised.String(), name), nil
		}
	}
	if began(claim) {
		return "", "", nil
	}
	return k.undriven(ctx, claim, node)
}

// undriven says which drivers of devices have not published any yet.
func (k *Keeper) undriven(ctx context.Context, claim *v1alpha1.NodeClaim, node *corev1.Node) (reason, message string, err error) {
	promised := claim.Annotations[v1alpha1.AnnotationDevices]
	if promised == "" {
		return "", "", nil
	}
	var published resourcev1.ResourceSliceList
	if err := k.deps.Client.List(ctx, &published, client.MatchingFields{resourcev1.ResourceSliceSelectorNodeName: node.Name}); err != nil {
		return "", "", fmt.Errorf("list the devices of node %s: %w", node.Name, err)
	}
	for driver := range strings.SplitSeq(promised, ",") {
		if !slices.ContainsFunc(published.Items, func(s resourcev1.ResourceSlice) bool { return s.Spec.Driver == driver }) {
			return "Devices", fmt.Sprintf("driver %s has not published the devices that the offer promised", driver), nil
		}
	}
	return "", "", nil
}

// initial taints are on nodes that are not ready for pods yet, whatever their condition says.
func initial(key string) bool {
	switch key {
	case v1alpha1.TaintUnregistered, corev1.TaintNodeNotReady, corev1.TaintNodeNetworkUnavailable, "node.cloudprovider.kubernetes.io/uninitialized":
		return true
	}
	return false
}

// extended resources come with device plugins, some time after the node.
func extended(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage, corev1.ResourceStorage:
		return false
	}
	return !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) && !strings.HasPrefix(string(name), corev1.ResourceAttachableVolumesPrefix)
}

// shortfall says what a node has less of than was promised.
func shortfall(claim *v1alpha1.NodeClaim, node *corev1.Node) string {
	var short []string
	for name, promised := range claim.Spec.Offer.Allocatable {
		if got, ok := node.Status.Allocatable[name]; ok && got.Cmp(promised) < 0 {
			short = append(short, fmt.Sprintf("%s %s of %s", name, got.String(), promised.String()))
		}
	}
	if len(short) == 0 {
		return ""
	}
	slices.Sort(short)
	return "the node has less than its offer promised: " + strings.Join(short, ", ")
}
