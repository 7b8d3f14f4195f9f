package claim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

func (w *world) buy(k *claim.Keeper, n int) []*v1alpha1.NodeClaim {
	w.Helper()
	bought, err := k.Buy(w.Context(), w.order(n))
	require.NoError(w, err)
	require.Len(w, bought, n)
	return bought
}

func offerID(policy string) cluster.OfferID {
	o := offer()
	o.Policy = policy
	return o.ID()
}

func TestPurchasesAreRefused(t *testing.T) {
	t.Parallel()
	price := resource.MustParse("500m")
	w := newWorld(t, "refused", &v1alpha1.NodeLimits{PricePerHour: &price})
	k := w.keeper(uncut)
	w.buy(k, 1)
	conflict := func(o claim.Order, code string) {
		t.Helper()
		_, err := k.Buy(t.Context(), o)
		var c *claim.Conflict
		require.ErrorAs(t, err, &c)
		assert.Equal(t, code, c.Code, c.Message)
	}

	stale := w.order(1)
	policy := w.read()
	policy.Status.Reason = "something else was written"
	require.NoError(t, w.kube.Status().Update(t.Context(), policy))
	conflict(stale, "Changed")

	blind := w.order(1)
	blind.Known = map[string]struct{}{}
	conflict(blind, "Unknown")

	_, err := k.Buy(t.Context(), w.order(2))
	var limit *claim.LimitExceeded
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, claim.LimitExceeded{Policy: w.policy, Limit: "pricePerHour", Owned: "200m", Wanted: "600m", Max: "500m"}, *limit)
	left := claim.Left(w.read(), w.claims())
	assert.InDelta(t, 0.3, *left.PricePerHour, 1e-9)
	assert.Nil(t, left.Nodes)

	_, err = k.Buy(t.Context(), w.order(1, w.policy+"-1"))
	require.NoError(t, err)
	conflict(w.order(1, w.policy+"-1"), "Replaced")
	assert.EqualValues(t, 2, w.read().Status.Charged.Nodes)

	policy = w.read()
	policy.Status.Reservations = append(policy.Status.Reservations, v1alpha1.Reservation{Claim: w.policy + "-7", At: metav1.NewTime(w.clock.Now())})
	require.NoError(t, w.kube.Status().Update(t.Context(), policy))
	conflict(w.order(1), "Unfinished")
	for range 10 {
		w.tick(k)
	}
	assert.Empty(t, w.read().Status.Reservations, "the claims are settled, and what never came is released")

	other := w.order(1)
	other.Nodes[0].Offer.Policy = "another"
	_, err = k.Buy(t.Context(), other)
	assert.ErrorContains(t, err, "of policy another")
}

// TestAClaimThatWasGivenUpIsNotLaunched is about a leader that was stopped between the charge and the creation, and goes on later.
func TestAClaimThatWasGivenUpIsNotLaunched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "late", nodes(1))
	var late *v1alpha1.NodeClaim
	dying := w.keeper(func(what string) error {
		if what == "before create *v1alpha1.NodeClaim" {
			return errDied
		}
		return nil
	})
	_, err := dying.Buy(t.Context(), w.order(1))
	require.ErrorIs(t, err, errDied)
	require.Len(t, w.read().Status.Reservations, 1)
	late = &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: w.read().Status.Reservations[0].Claim, Finalizers: []string{v1alpha1.NodeClaimFinalizer}, Labels: map[string]string{v1alpha1.LabelNodePolicy: w.policy}}}
	late.Spec = v1alpha1.NodeClaimSpec{Policy: w.policy, Provider: "cloud-" + w.policy, Offer: v1alpha1.ClaimedOffer{Name: "m4"}}

	k := w.keeper(uncut)
	_, err = k.Buy(t.Context(), w.order(1))
	var conflict *claim.Conflict
	require.ErrorAs(t, err, &conflict, "what is not finished may still come")
	for range 10 {
		w.tick(k)
	}
	require.Empty(t, w.read().Status.Reservations)
	second := w.buy(k, 1)[0]
	assert.Equal(t, w.policy+"-2", second.Name)
	require.NoError(t, w.kube.Create(t.Context(), late), "the first leader wakes up")
	w.until(k, "the late claim is gone", func() bool { return w.claim(late.Name) == nil && w.ready(1) })
	assert.Equal(t, 1, w.cloud.most)
	assert.False(t, w.cloud.ever[late.Name])
}

func TestAnOfferThatIsSoldOutIsAvoided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sold", nil)
	k := w.keeper(uncut)
	w.cloud.fail = func(*v1alpha1.NodeClaim) error { return &provider.OutOfCapacity{Err: errors.New("no m4 in a")} }
	bought := w.buy(k, 2)
	w.until(k, "given up", func() bool { return len(w.claims()) == 0 })
	why, avoided := k.Avoided(offerID(w.policy), w.clock.Now())
	assert.True(t, avoided)
	assert.Contains(t, why, "no m4 in a")
	_, avoided = k.Avoided(offerID("another policy"), w.clock.Now())
	assert.True(t, avoided, "what is sold out is sold out for everybody")
	elsewhere := offerID(w.policy)
	elsewhere.Zone = "b"
	_, avoided = k.Avoided(elsewhere, w.clock.Now())
	assert.False(t, avoided)

	first := avoidedFor(k, w)
	assert.GreaterOrEqual(t, first, time.Minute-30*time.Second)
	w.clock.Step(first)
	w.buy(k, 1)
	w.until(k, "given up", func() bool { return len(w.claims()) == 0 })
	assert.Greater(t, avoidedFor(k, w), 90*time.Second, "longer the second time")
	w.clock.Step(avoidedFor(k, w))
	w.cloud.fail = nil
	w.buy(k, 1)
	w.until(k, "ready", func() bool { return w.ready(1) })
	_, avoided = k.Avoided(offerID(w.policy), w.clock.Now())
	assert.False(t, avoided)
	assert.False(t, w.cloud.ever[bought[0].Name])
}

// avoidedFor is how long the offer is avoided yet.
func avoidedFor(k *claim.Keeper, w *world) time.Duration {
	var d time.Duration
	for ; d < 3*time.Hour; d += time.Second {
		if _, avoided := k.Avoided(offerID(w.policy), w.clock.Now().Add(d)); !avoided {
			break
		}
	}
	return d
}

func TestARefusalForGoodIsToldToThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "invalid", nil)
	k := w.keeper(uncut)
	w.cloud.fail = func(*v1alpha1.NodeClaim) error { return &provider.Invalid{Err: errors.New("no such image")} }
	w.buy(k, 1)
	w.until(k, "given up", func() bool { return len(w.claims()) == 0 })
	condition := meta.FindStatusCondition(w.read().Status.Conditions, v1alpha1.ConditionAccepted)
	require.NotNil(t, condition)
	assert.Equal(t, metav1.ConditionFalse, condition.Status)
	assert.Contains(t, condition.Message, "no such image")
	_, avoided := k.Avoided(offerID("another policy"), w.clock.Now())
	assert.False(t, avoided, "another policy has another template")

	w.cloud.fail = nil
	k = w.keeper(uncut) // another process
	w.buy(k, 1)
	w.until(k, "ready", func() bool { return w.ready(1) })
	assert.True(t, meta.IsStatusConditionTrue(w.read().Status.Conditions, v1alpha1.ConditionAccepted))
}

func TestANodeThatNeverRegistersIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "boot", nil)
	w.config.BootTimeout = 60e9
	w.cloud.dead = true
	k := w.keeper(uncut)
	c := w.buy(k, 1)[0]
	w.until(k, "launched", func() bool { return len(w.cloud.machines) == 1 })
	w.until(k, "given up", func() bool { return w.claim(c.Name) == nil })
	assert.Empty(t, w.cloud.machines)
	why, avoided := k.Avoided(offerID(w.policy), w.clock.Now())
	assert.True(t, avoided)
	assert.Contains(t, why, "not ready within 1m0s")
	_, avoided = k.Avoided(offerID("another policy"), w.clock.Now())
	assert.False(t, avoided)
}

func TestANodeIsReadyOnceItHasWhatWasPromised(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "gpu", nil)
	policy := w.read()
	policy.Spec.Template.StartupTaints = []corev1.Taint{{Key: "network-agent", Effect: corev1.TaintEffectNoSchedule}}
	require.NoError(t, w.kube.Update(t.Context(), policy))
	k := w.keeper(uncut)
	order := w.order(1)
	order.Nodes[0].Offer.Allocatable["example.com/gpu"] = resource.MustParse("2")
	bought, err := k.Buy(t.Context(), order)
	require.NoError(t, err)
	name := bought[0].Name
	w.until(k, "registered", func() bool { return w.claim(name).Status.Phase == v1alpha1.ClaimRegistered })
	w.tick(k)
	node := w.claim(name).Status.NodeName
	assert.Contains(t, w.claim(name).Status.Message, "network-agent")

	w.edit(node, func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}
	})
	w.until(k, "the taint is not put on again", func() bool {
		return w.claim(name).Status.Message == "the node has 0 of 2 example.com/gpu that its offer promised"
	})
	var n corev1.Node
	require.NoError(t, w.kube.Get(t.Context(), client.ObjectKey{Name: node}, &n))
	before := n.DeepCopy()
	n.Status.Allocatable["example.com/gpu"], n.Status.Capacity["example.com/gpu"] = resource.MustParse("2"), resource.MustParse("2")
	n.Status.Allocatable[corev1.ResourceMemory] = resource.MustParse("15Gi")
	require.NoError(t, w.kube.Status().Patch(t.Context(), &n, client.MergeFrom(before)))
	w.until(k, "ready", func() bool { return w.ready(1) })
	ready := meta.FindStatusCondition(w.claim(name).Status.Conditions, v1alpha1.ConditionReady)
	assert.Equal(t, "the node has less than its offer promised: memory 15Gi of 16Gi", ready.Message)

	w.status(node, corev1.ConditionFalse)
	w.until(k, "not ready", func() bool {
		return !meta.IsStatusConditionTrue(w.claim(name).Status.Conditions, v1alpha1.ConditionReady)
	})
	w.clock.Step(time.Hour)
	w.tick(k)
	assert.Nil(t, w.claim(name).DeletionTimestamp, "a node that was ready once is a matter of repair")
}

func TestAMachineWithoutAClaimIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "orphan", nil)
	k := w.keeper(uncut)
	c := w.buy(k, 1)[0]
	w.until(k, "ready", func() bool { return w.ready(1) })
	foreign := &machine{node: true, Machine: provider.Machine{ID: "cloud://other", State: provider.Running}}
	w.cloud.machines["other"] = foreign
	lost := &machine{node: true, Machine: provider.Machine{ID: "cloud://lost", Claim: w.policy + "-99", State: provider.Running}}
	w.cloud.machines[w.policy+"-99"] = lost
	w.cloud.drained[lost.Claim] = true

	w.tick(k)
	w.clock.Step(30 * time.Second)
	w.tick(k)
	assert.Equal(t, provider.Running, lost.State, "not before a minute has passed")
	for range 4 {
		w.clock.Step(30 * time.Second)
		w.tick(k)
	}
	assert.NotContains(t, w.cloud.machines, w.policy+"-99")
	assert.Contains(t, w.cloud.machines, "other", "what others made is theirs")
	assert.Contains(t, w.cloud.machines, c.Name)
}

func TestManyMachinesWithoutClaimsAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "storm", nil)
	k := w.keeper(uncut)
	for i := range w.config.MaxOrphans + 1 {
		name := fmt.Sprintf("%s-%d", w.policy, 100+i)
		w.cloud.machines[name] = &machine{node: true, Machine: provider.Machine{ID: name, Claim: name, State: provider.Running}}
	}
	var swept claim.Swept
	for range 10 {
		var err error
		swept, err = k.Sweep(t.Context())
		require.NoError(t, err)
		w.clock.Step(40 * time.Second)
	}
	assert.Len(t, w.cloud.machines, w.config.MaxOrphans+1)
	require.Len(t, swept.Astray, 1)
	assert.Contains(t, swept.Astray[0].Message, "11 machines have no claim")
}

func TestAProviderThatForgetsAMachineIsNotBelievedWhileItsNodeIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "liar", nil)
	k := w.keeper(uncut)
	c := w.buy(k, 1)[0]
	w.until(k, "ready", func() bool { return w.ready(1) })
	w.cloud.hide = true
	for range 6 {
		w.clock.Step(40 * time.Second)
		w.tick(k)
	}
	require.NotNil(t, w.claim(c.Name))
	assert.Nil(t, w.claim(c.Name).DeletionTimestamp)

	// The machine is really gone, and its kubelet silent.
	delete(w.cloud.machines, c.Name)
	node := w.claim(c.Name).Status.NodeName
	w.status(node, corev1.ConditionUnknown)
	for range 6 {
		w.clock.Step(40 * time.Second)
		w.tick(k)
	}
	assert.Nil(t, w.claim(c.Name))
	assert.Nil(t, w.node(node))
}

func TestADeadNodeWithoutClaimAndMachineIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "relic", nil)
	k := w.keeper(uncut)
	name := "node-" + w.policy + "-98"
	w.register(name, "cloud://relic")
	w.edit(name, func(n *corev1.Node) { n.Labels[v1alpha1.LabelNodeClaim] = w.policy + "-98" })
	sweep := func() {
		for range 5 {
			w.clock.Step(40 * time.Second)
			_, err := k.Sweep(t.Context())
			require.NoError(t, err)
		}
	}
	sweep()
	require.NotNil(t, w.node(name), "a node that works is left alone")
	w.status(name, corev1.ConditionUnknown)
	sweep()
	assert.Nil(t, w.node(name))
}

func TestPodsThatCameAfterTheDrainKeepTheMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "after", nil)
	k := w.keeper(uncut)
	c := w.buy(k, 1)[0]
	w.until(k, "ready", func() bool { return w.ready(1) })
	node := w.claim(c.Name).Status.NodeName
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "late-" + w.policy}}
	pod.Spec = corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}
	pod.Spec.AutomountServiceAccountToken = new(bool)
	require.NoError(t, w.kube.Create(t.Context(), pod))
	remove := func() {
		_ = w.kube.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0))
	}
	t.Cleanup(remove)
	_, err := k.Drained(t.Context(), w.claim(c.Name), claim.DrainedInFull, "every pod has left")
	require.NoError(t, err)
	w.until(k, "the drain is taken back", func() bool {
		return meta.IsStatusConditionFalse(w.claim(c.Name).Status.Conditions, v1alpha1.ConditionDrained)
	})
	assert.Contains(t, w.cloud.machines, c.Name)
	remove()
	w.cloud.drained[c.Name] = true
	_, err = k.Drained(t.Context(), w.claim(c.Name), claim.DrainedInFull, "every pod has left")
	require.NoError(t, err)
	w.until(k, "gone", func() bool { return w.claim(c.Name) == nil })
	assert.Empty(t, w.cloud.wrong)
}

func TestDeletingAPolicy(t *testing.T) {
	t.Parallel()
	t.Run("gives its nodes back once they are drained", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "gives", nil)
		k := w.keeper(uncut)
		c := w.buy(k, 1)[0]
		w.until(k, "ready", func() bool { return w.ready(1) })
		require.NoError(t, w.kube.Delete(t.Context(), w.read()))
		for range 3 {
			w.tick(k)
		}
		require.NotNil(t, w.read(), "the ledger is kept")
		assert.NotNil(t, w.claim(c.Name).DeletionTimestamp)
		assert.Len(t, w.cloud.machines, 1)
		_, err := k.Buy(t.Context(), w.order(1))
		var conflict *claim.Conflict
		require.ErrorAs(t, err, &conflict)
		w.cloud.drained[c.Name] = true
		_, err = k.Drained(t.Context(), w.claim(c.Name), claim.DrainedInFull, "every pod has left")
		require.NoError(t, err)
		w.until(k, "gone", func() bool { return w.read() == nil })
		assert.Empty(t, w.cloud.machines)
	})
	t.Run("keeps its nodes when it says so", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "keeps", nil)
		k := w.keeper(uncut)
		c := w.buy(k, 1)[0]
		w.until(k, "ready", func() bool { return w.ready(1) })
		policy := w.read()
		policy.Annotations = map[string]string{v1alpha1.AnnotationKeepNodes: "true"}
		require.NoError(t, w.kube.Update(t.Context(), policy))
		require.NoError(t, w.kube.Delete(t.Context(), w.read()))
		w.until(k, "gone", func() bool { return w.read() == nil })
		assert.Nil(t, w.claim(c.Name).DeletionTimestamp)
		w.tick(k)
		assert.Len(t, w.cloud.machines, 1)
	})
}

func TestPodsThatRunOnANodeThatLacksDevicesAreDrainedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "devices", nil)
	k := w.keeper(uncut)
	order := w.order(1)
	order.Nodes[0].Offer.Allocatable["example.com/gpu"] = resource.MustParse("2")
	bought, err := k.Buy(t.Context(), order)
	require.NoError(t, err)
	name := bought[0].Name
	w.until(k, "registered", func() bool { return w.claim(name).Status.Phase == v1alpha1.ClaimRegistered })
	node := w.claim(name).Status.NodeName
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "early-" + w.policy}}
	pod.Spec = corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}
	pod.Spec.AutomountServiceAccountToken = new(bool)
	require.NoError(t, w.kube.Create(t.Context(), pod))
	t.Cleanup(func() { _ = w.kube.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)) })
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodRunning
	require.NoError(t, w.kube.Status().Patch(t.Context(), pod, client.MergeFrom(before)))

	w.clock.Step(time.Hour) // the devices never come
	w.until(k, "given up, and waiting for the drain", func() bool {
		c := w.claim(name)
		return c.DeletionTimestamp != nil && strings.Contains(c.Status.Message, "waiting for the node to be drained")
	})
	assert.Contains(t, w.cloud.machines, name)

	require.NoError(t, w.kube.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.cloud.drained[name] = true
	w.until(k, "gone", func() bool { return w.claim(name) == nil })
	assert.Empty(t, w.cloud.wrong)
}
