package providertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// attempts is how often a call is repeated that may fail for the moment, as the controller would.
const attempts = 20

// Suite holds a provider to what package provider promises.
func Suite(t *testing.T, fixture func(t *testing.T) Fixture) {
	if fixture(t).Provider.Capabilities().ReadOnly {
		t.Run("read-only", func(t *testing.T) { readOnly(t, fixture(t)) })
		return
	}
	for _, part := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"offers can be planned with", offers},
		{"capabilities are honest", capabilities},
		{"a claim that nobody asked for has no machine", unknown},
		{"a machine comes, is listed, and goes", life},
		{"asking again makes no second machine", again},
		{"asking from many places at once makes one machine", together},
		{"two leaders make one machine for each claim", leaders},
		{"a lost answer makes no second machine", lostAnswer},
		{"a lost request is made up for", lostRequest},
		{"an offer that is sold out says so and costs nothing", soldOut},
		{"deleting before the machine runs leaves nothing", deleteEarly},
		{"deleting one leaves the others", deleteOne},
		{"a machine that vanished is not found", vanished},
		{"machines of others are listed without a claim and stay", foreign},
		{"what was asked for survives the process", restart},
		{"calls end with their context", ends},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, newWorld(t, fixture(t))) })
	}
}

// world is a fixture with the claims made in it.
type world struct {
	Fixture
	t      *testing.T
	offers []cluster.Offer
	serial int
}

func newWorld(t *testing.T, f Fixture) *world {
	t.Helper()
	offers, err := f.Provider.Offers(t.Context(), f.Policy)
	require.NoError(t, err)
	require.NotEmpty(t, offers, "the suite needs something to buy")
	return &world{Fixture: f, t: t, offers: slices.DeleteFunc(slices.Clone(offers), func(o cluster.Offer) bool { return !o.Available || o.Stock == 0 })}
}

// claim returns a new claim for the first offer.
func (w *world) claim() *v1alpha1.NodeClaim {
	w.serial++
	return Claim(fmt.Sprintf("%s-%d", w.Policy.Name, w.serial), w.Provider.Name(), w.Policy, w.offers[0])
}

func (w *world) settle() {
	if w.Settle != nil {
		w.Settle(w.t)
	}
}

// create asks until it is granted, and records what it was told as the controller does.
func (w *world) create(p provider.Provider, claim *v1alpha1.NodeClaim) provider.Machine {
	w.t.Helper()
	w.record(claim)
	machine, err := p.Create(w.t.Context(), claim)
	for range attempts {
		if err == nil {
			break
		}
		var sold *provider.OutOfCapacity
		require.False(w.t, errors.As(err, &sold), "%v", err)
		w.settle()
		machine, err = p.Create(w.t.Context(), claim)
	}
	require.NoError(w.t, err)
	assert.Equal(w.t, claim.Name, machine.Claim)
	w.learn(claim, machine)
	return machine
}

func (w *world) learn(claim *v1alpha1.NodeClaim, machine provider.Machine) {
	claim.Status.Phase = v1alpha1.ClaimLaunched
	if machine.ID != "" {
		claim.Status.ProviderID = machine.ID
	}
	if machine.State == provider.Running {
		claim.Status.NodeName = machine.NodeName
	}
	w.record(claim)
}

func (w *world) record(claim *v1alpha1.NodeClaim) {
	if w.Record != nil {
		w.Record(w.t, claim)
	}
}

// running creates, and waits until the machine runs and has an ID.
func (w *world) running(p provider.Provider, claim *v1alpha1.NodeClaim) provider.Machine {
	w.t.Helper()
	w.create(p, claim)
	var machine provider.Machine
	for range attempts {
		w.settle()
		var err error
		machine, err = p.Get(w.t.Context(), claim)
		require.NoError(w.t, err)
		w.learn(claim, machine)
		if machine.State == provider.Running && machine.ID != "" {
			return machine
		}
	}
	require.FailNow(w.t, "the machine does not run", "%+v", machine)
	return machine
}

// delete asks until the machine is gone.
func (w *world) delete(p provider.Provider, claim *v1alpha1.NodeClaim) {
	w.t.Helper()
	if claim.DeletionTimestamp == nil {
		now := metav1.Now()
		claim.DeletionTimestamp = &now
	}
	var err error
	for range attempts {
		if err = p.Delete(w.t.Context(), claim); errors.Is(err, provider.ErrNotFound) {
			return
		}
		w.settle()
	}
	require.FailNow(w.t, "the machine does not go", "%v", err)
}

// mine are the machines for claims, by claim, as the provider lists them.
func (w *world) mine(p provider.Provider) map[string][]provider.Machine {
	w.t.Helper()
	machines, err := p.List(w.t.Context())
	require.NoError(w.t, err)
	out := map[string][]provider.Machine{}
	for _, m := range machines {
		if m.Claim != "" {
			out[m.Claim] = append(out[m.Claim], m)
		}
	}
	return out
}

func (w *world) count() int { w.t.Helper(); return w.Count(w.t) }

func (w *world) need(what string, ok bool) {
	w.t.Helper()
	if !ok {
		w.t.Skipf("this world cannot %s", what)
	}
}

func offers(t *testing.T, w *world) {
	offers, err := w.Provider.Offers(t.Context(), w.Policy)
	require.NoError(t, err)
	checkOffers(t, w.Policy, offers)
}

func checkOffers(t *testing.T, policy *v1alpha1.NodePolicy, offers []cluster.Offer) {
	t.Helper()
	seen := map[cluster.OfferID]bool{}
	for _, o := range offers {
		assert.NotEmpty(t, o.Name)
		assert.Equal(t, policy.Name, o.Policy)
		assert.GreaterOrEqual(t, o.PricePerHour, 0.0, "%v", o.ID())
		assert.False(t, seen[o.ID()], "%v is offered twice", o.ID())
		seen[o.ID()] = true
		cpu, memory, pods := o.Allocatable["cpu"], o.Allocatable["memory"], o.Allocatable["pods"]
		assert.Positive(t, cpu.MilliValue(), "%v has no CPU", o.ID())
		assert.Positive(t, memory.Value(), "%v has no memory", o.ID())
		assert.Positive(t, pods.Value(), "%v takes no pods", o.ID())
		assert.NotContains(t, o.Labels, "kubernetes.io/hostname", "%v: each node has its own", o.ID())
		assert.Contains(t, []string{"on-demand", "spot", "reserved"}, o.CapacityType, "%v", o.ID())
		if o.Zone != "" {
			assert.Equal(t, o.Zone, o.Labels["topology.kubernetes.io/zone"], "%v", o.ID())
		}
		if !o.Available {
			assert.NotEmpty(t, o.Unavailable, "%v does not say why", o.ID())
		}
		for _, slice := range o.Slices {
			assert.Nil(t, slice.Spec.NodeName, "%v", o.ID())
		}
	}
}

func capabilities(t *testing.T, w *world) {
	able := w.Provider.Capabilities()
	repairer, ok := w.Provider.(provider.Repairer)
	assert.NotContains(t, able.Steps, v1alpha1.RepairReplace, "replacing is not the provider's")
	if !ok {
		assert.Empty(t, able.Steps)
		return
	}
	claim := w.claim()
	w.running(w.Provider, claim)
	for _, step := range []v1alpha1.RepairStep{v1alpha1.RepairRestartAgent, v1alpha1.RepairReboot} {
		err := repairer.Repair(t.Context(), claim, step)
		if slices.Contains(able.Steps, step) {
			assert.NotErrorIs(t, err, provider.ErrUnsupported, "%s", step)
		} else {
			assert.ErrorIs(t, err, provider.ErrUnsupported, "%s", step)
		}
	}
}

func unknown(t *testing.T, w *world) {
	claim := w.claim()
	_, err := w.Provider.Get(t.Context(), claim)
	assert.ErrorIs(t, err, provider.ErrNotFound)
	assert.ErrorIs(t, w.Provider.Delete(t.Context(), claim), provider.ErrNotFound)
	assert.Empty(t, w.mine(w.Provider))
	assert.Zero(t, w.count())
}

func life(t *testing.T, w *world) {
	claim := w.claim()
	machine := w.running(w.Provider, claim)
	assert.Equal(t, claim.Spec.Offer.Group, machine.Group)
	if w.Provider.Capabilities().Named {
		assert.NotEmpty(t, machine.NodeName)
	}
	listed := w.mine(w.Provider)[claim.Name]
	require.Len(t, listed, 1)
	assert.Equal(t, machine.ID, listed[0].ID)
	assert.Equal(t, 1, w.count())

	w.delete(w.Provider, claim)
	_, err := w.Provider.Get(t.Context(), claim)
	assert.ErrorIs(t, err, provider.ErrNotFound)
	assert.Empty(t, w.mine(w.Provider))
	assert.Zero(t, w.count())
}

func again(t *testing.T, w *world) {
	claim := w.claim()
	first := w.create(w.Provider, claim)
	for range 3 {
		second := w.create(w.Provider, claim)
		if first.ID != "" {
			assert.Equal(t, first.ID, second.ID)
		}
	}
	machine := w.running(w.Provider, claim)
	assert.Equal(t, machine.ID, w.create(w.Provider, claim).ID)
	assert.Equal(t, 1, w.count())
}

func together(t *testing.T, w *world) {
	claim := w.claim()
	w.record(claim)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { _, _ = w.Provider.Create(t.Context(), claim.DeepCopy()) })
	}
	wait.Wait()
	w.running(w.Provider, claim)
	assert.Equal(t, 1, w.count())
}

func leaders(t *testing.T, w *world) {
	w.need("be worked on from two places", w.Again != nil)
	other := w.Again(t)
	claims := []*v1alpha1.NodeClaim{w.claim(), w.claim(), w.claim()}
	var wait sync.WaitGroup
	for _, claim := range claims {
		w.record(claim)
		for _, p := range []provider.Provider{w.Provider, other} {
			wait.Go(func() { _, _ = p.Create(t.Context(), claim.DeepCopy()) })
		}
	}
	wait.Wait()
	ids := map[string]bool{}
	for _, claim := range claims {
		ids[w.running(w.Provider, claim).ID] = true
	}
	assert.Len(t, ids, len(claims), "no two claims have the same machine")
	assert.Equal(t, len(claims), w.count())
	for _, claim := range claims {
		m, err := other.Get(t.Context(), claim)
		require.NoError(t, err)
		assert.Equal(t, claim.Status.ProviderID, m.ID, "both leaders see the same assignment")
	}
}

func lostAnswer(t *testing.T, w *world) {
	w.need("lose answers", w.LoseAnswer != nil)
	claim := w.claim()
	w.record(claim)
	w.LoseAnswer(t)
	_, _ = w.Provider.Create(t.Context(), claim)
	p := w.Provider
	if w.Again != nil {
		p = w.Again(t)
	}
	w.running(p, claim)
	assert.Equal(t, 1, w.count())
	next := w.claim()
	w.running(p, next)
	assert.Equal(t, 2, w.count())
}

func lostRequest(t *testing.T, w *world) {
	w.need("lose requests", w.LoseRequest != nil)
	claim := w.claim()
	w.record(claim)
	w.LoseRequest(t)
	_, _ = w.Provider.Create(t.Context(), claim)
	w.running(w.Provider, claim)
	assert.Equal(t, 1, w.count())
}

func soldOut(t *testing.T, w *world) {
	w.need("sell offers out", w.SellOut != nil)
	claim := w.claim()
	w.record(claim)
	w.SellOut(t, w.offers[0])
	_, err := w.Provider.Create(t.Context(), claim)
	var sold *provider.OutOfCapacity
	require.ErrorAs(t, err, &sold)
	assert.Equal(t, w.offers[0].ID(), sold.Offer)
	w.delete(w.Provider, claim)
	assert.Zero(t, w.count())
	assert.Empty(t, w.mine(w.Provider))
}

func deleteEarly(t *testing.T, w *world) {
	claim := w.claim()
	w.create(w.Provider, claim)
	w.delete(w.Provider, claim)
	w.settle()
	assert.Zero(t, w.count())
	assert.Empty(t, w.mine(w.Provider))
}

func deleteOne(t *testing.T, w *world) {
	a, b, c := w.claim(), w.claim(), w.claim()
	for _, claim := range []*v1alpha1.NodeClaim{a, b, c} {
		w.running(w.Provider, claim)
	}
	w.delete(w.Provider, b)
	assert.Equal(t, 2, w.count())
	for _, claim := range []*v1alpha1.NodeClaim{a, c} {
		m, err := w.Provider.Get(t.Context(), claim)
		require.NoError(t, err)
		assert.Equal(t, claim.Status.ProviderID, m.ID)
	}
	assert.ErrorIs(t, w.Provider.Delete(t.Context(), b), provider.ErrNotFound)
	assert.Equal(t, 2, w.count())
}

func vanished(t *testing.T, w *world) {
	w.need("take machines away", w.Vanish != nil)
	claim, other := w.claim(), w.claim()
	w.running(w.Provider, claim)
	w.running(w.Provider, other)
	w.Vanish(t, claim)
	var err error
	for range attempts {
		w.settle()
		// A provider may first hold a list that lacks a machine for a mistake.
		if _, err = w.Provider.Get(t.Context(), claim); err != nil {
			break
		}
	}
	assert.ErrorIs(t, err, provider.ErrNotFound)
	w.delete(w.Provider, claim)
	_, err = w.Provider.Get(t.Context(), other)
	assert.NoError(t, err)
	assert.Len(t, w.mine(w.Provider), 1)
}

func foreign(t *testing.T, w *world) {
	w.need("grow by hand", w.Resize != nil)
	w.Resize(t, w.offers[0])
	w.settle()
	_, err := w.Provider.List(t.Context())
	require.NoError(t, err)
	claim := w.claim()
	w.running(w.Provider, claim)
	machines, err := w.Provider.List(t.Context())
	require.NoError(t, err)
	var others []string
	for _, m := range machines {
		if m.Claim == "" {
			others = append(others, m.ID)
		}
	}
	assert.Len(t, others, 1)
	assert.NotContains(t, others, claim.Status.ProviderID)
	w.delete(w.Provider, claim)
	machines, err = w.Provider.List(t.Context())
	require.NoError(t, err)
	require.Len(t, machines, 1)
	assert.Equal(t, others[0], machines[0].ID)
}

func restart(t *testing.T, w *world) {
	w.need("be opened again", w.Again != nil)
	claim, waiting := w.claim(), w.claim()
	machine := w.running(w.Provider, claim)
	w.create(w.Provider, waiting)
	p := w.Again(t)
	m, err := p.Get(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, machine.ID, m.ID)
	w.running(p, waiting)
	assert.Equal(t, 2, w.count())
	w.delete(p, claim)
	assert.Equal(t, 1, w.count())
}

func ends(t *testing.T, w *world) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	claim := w.claim()
	for name, call := range map[string]func() error{
		"Create": func() error { _, err := w.Provider.Create(ctx, claim); return err },
		"Delete": func() error { return w.Provider.Delete(ctx, claim) },
		"List":   func() error { _, err := w.Provider.List(ctx); return err },
	} {
		done := make(chan error, 1)
		go func() { done <- call() }()
		select {
		case err := <-done:
			assert.Error(t, err, "%s succeeded although nobody waits for it", name)
		case <-time.After(30 * time.Second):
			assert.Fail(t, "does not end with its context", name)
		}
	}
	w.settle()
	assert.Zero(t, w.count())
}

func readOnly(t *testing.T, f Fixture) {
	offers, err := f.Provider.Offers(t.Context(), f.Policy)
	require.NoError(t, err)
	checkOffers(t, f.Policy, offers)
	assert.Empty(t, f.Provider.Capabilities().Steps)
	claim := Claim(f.Policy.Name+"-1", f.Provider.Name(), f.Policy, cluster.Offer{Name: "any", CapacityType: "on-demand"})
	_, err = f.Provider.Create(t.Context(), claim)
	assert.ErrorIs(t, err, provider.ErrUnsupported)
	assert.ErrorIs(t, f.Provider.Delete(t.Context(), claim), provider.ErrUnsupported)
	_, err = f.Provider.Get(t.Context(), claim)
	assert.ErrorIs(t, err, provider.ErrNotFound)
	before := f.Count(t)
	machines, err := f.Provider.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, machines, before)
	for _, m := range machines {
		assert.Empty(t, m.Claim, "what others made is nobody's claim's")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Provider.List(ctx)
	assert.Error(t, err)
}
