package kwok

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a simulated cloud on a real API server. Its name is of its own, so that tests do not see each other's machines.
type world struct {
	t        *testing.T
	client   client.Client
	clock    clock.WithDelayedExecution
	cfg      Config
	name     string
	policy   *v1alpha1.NodePolicy
	provider *Provider
}

func newWorld(t *testing.T, cfg Config, clk clock.WithDelayedExecution) *world {
	_, c := providertest.Cluster(t)
	id := "k" + time.Now().UTC().Format("150405.000000")[7:]
	w := &world{t: t, client: c, clock: clk, cfg: cfg, name: id,
		policy: &v1alpha1.NodePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: id},
			Spec: v1alpha1.NodePolicySpec{Template: v1alpha1.NodeTemplate{
				Labels: map[string]string{"team": "shop"}, Version: "v1.37.2", Image: "image-1",
				Taints:        []corev1.Taint{{Key: "only", Value: "shop", Effect: corev1.TaintEffectNoSchedule}},
				StartupTaints: []corev1.Taint{{Key: "prepare", Effect: corev1.TaintEffectNoSchedule}},
			}},
		}}
	w.provider = w.open(t)
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended by now
		var nodes corev1.NodeList
		require.NoError(t, c.List(ctx, &nodes, client.MatchingLabels{providerLabel: w.name}))
		for i := range nodes.Items {
			require.NoError(t, client.IgnoreNotFound(c.Delete(ctx, &nodes.Items[i])))
		}
		var claims v1alpha1.NodeClaimList
		require.NoError(t, c.List(ctx, &claims))
		for i := range claims.Items {
			claim := &claims.Items[i]
			if claim.Spec.Policy != w.policy.Name {
				continue
			}
			claim.Finalizers = nil
			require.NoError(t, c.Update(ctx, claim))
			require.NoError(t, client.IgnoreNotFound(c.Delete(ctx, claim)))
		}
	})
	return w
}

func (w *world) open(t *testing.T) *Provider {
	p, err := New(w.name, w.cfg, Dependencies{Client: w.client, Clock: w.clock, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func (w *world) nodes(t *testing.T) []corev1.Node {
	var nodes corev1.NodeList
	require.NoError(t, w.client.List(t.Context(), &nodes, client.MatchingLabels{providerLabel: w.name}))
	return nodes.Items
}

// record stores a claim as the controller does.
func (w *world) record(t *testing.T, claim *v1alpha1.NodeClaim) {
	stored := &v1alpha1.NodeClaim{}
	err := w.client.Get(t.Context(), client.ObjectKeyFromObject(claim), stored)
	if client.IgnoreNotFound(err) != nil {
		require.NoError(t, err)
	}
	if err != nil {
		fresh := claim.DeepCopy()
		fresh.ResourceVersion, fresh.DeletionTimestamp = "", nil
		require.NoError(t, w.client.Create(t.Context(), fresh))
		stored = fresh
	}
	claim.CreationTimestamp = stored.CreationTimestamp
	if claim.DeletionTimestamp != nil {
		require.NoError(t, w.client.Delete(t.Context(), stored))
	}
}

func (w *world) fixture(t *testing.T) providertest.Fixture {
	return providertest.Fixture{
		Provider: w.provider,
		Policy:   w.policy,
		Again:    func(t *testing.T) provider.Provider { return w.open(t) },
		Count:    func(t *testing.T) int { return len(w.nodes(t)) },
		Record:   w.record,
		SellOut: func(t *testing.T, offer cluster.Offer) {
			w.provider.cfg.Faults = []Fault{{Kind: FaultOutOfCapacity, Offer: offer.Name, Zone: offer.Zone}}
		},
		Vanish: func(t *testing.T, claim *v1alpha1.NodeClaim) {
			require.NoError(t, w.client.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: claim.Name}}))
		},
	}
}

func TestConformance(t *testing.T) {
	providertest.Suite(t, func(t *testing.T) providertest.Fixture {
		return newWorld(t, DefaultConfig(), clock.RealClock{}).fixture(t)
	})
}

// TestConformanceCatalog sells what a cloud's catalog of instance types has.
func TestConformanceCatalog(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "shared", "data", "nodes", "instance_types.json")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	providertest.Suite(t, func(t *testing.T) providertest.Fixture {
		return newWorld(t, Config{Catalog: path}, clock.RealClock{}).fixture(t)
	})
}

// TestConformanceBooting is the same with machines that take a minute until they have a node.
func TestConformanceBooting(t *testing.T) {
	providertest.Suite(t, func(t *testing.T) providertest.Fixture {
		clk := clocktesting.NewFakeClock(time.Now())
		w := newWorld(t, Config{Boot: model.Duration(time.Minute)}, clk)
		f := w.fixture(t)
		f.Settle = func(*testing.T) { clk.Step(2 * time.Minute) }
		return f
	})
}

func TestNodeIsAsItsClaimSays(t *testing.T) {
	w := newWorld(t, DefaultConfig(), clock.RealClock{})
	offers, err := w.provider.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	claim := providertest.Claim(w.name+"-1", w.name, w.policy, offers[0])
	machine, err := w.provider.Create(t.Context(), claim)
	require.NoError(t, err)
	assert.Equal(t, "kwok://"+claim.Name, machine.ID)

	node := w.nodes(t)[0]
	assert.Equal(t, machine.ID, node.Spec.ProviderID)
	for key, value := range offers[0].Labels {
		assert.Equal(t, value, node.Labels[key], key)
	}
	assert.Equal(t, "shop", node.Labels["team"])
	assert.Equal(t, w.policy.Name, node.Labels[v1alpha1.LabelNodePolicy])
	assert.Equal(t, claim.Name, node.Labels[v1alpha1.LabelNodeClaim])
	assert.Equal(t, "v1.37.2", node.Status.NodeInfo.KubeletVersion)
	assert.Equal(t, "image-1", machine.Image)
	for name, q := range offers[0].Allocatable {
		got := node.Status.Allocatable[name]
		assert.True(t, q.Equal(got), "%s: %s and %s", name, q.String(), got.String())
	}
	var keys []string
	for _, taint := range node.Spec.Taints {
		keys = append(keys, taint.Key)
	}
	assert.Subset(t, keys, []string{"only", "prepare"})
}

func TestRebootGivesPowerBack(t *testing.T) {
	w := newWorld(t, DefaultConfig(), clock.RealClock{})
	offers, err := w.provider.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	claim := providertest.Claim(w.name+"-1", w.name, w.policy, offers[0])
	_, err = w.provider.Create(t.Context(), claim)
	require.NoError(t, err)
	node := w.nodes(t)[0]
	node.Labels[powerLabel] = "off"
	require.NoError(t, w.client.Patch(t.Context(), &node, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"`+powerLabel+`":"off"}}}`))))
	require.NoError(t, w.provider.Repair(t.Context(), claim, v1alpha1.RepairReboot))
	assert.NotContains(t, w.nodes(t)[0].Labels, powerLabel)
	claim.Name = "nobody"
	assert.ErrorIs(t, w.provider.Repair(t.Context(), claim, v1alpha1.RepairReboot), provider.ErrNotFound)
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		check func(t *testing.T, w *world, claim *v1alpha1.NodeClaim, m provider.Machine, err error)
	}{
		"an error": {Fault{Kind: FaultError}, func(t *testing.T, w *world, _ *v1alpha1.NodeClaim, _ provider.Machine, err error) {
			assert.Error(t, err)
			assert.Empty(t, w.nodes(t))
		}},
		"never registers": {Fault{Kind: FaultNeverRegisters}, func(t *testing.T, w *world, claim *v1alpha1.NodeClaim, m provider.Machine, err error) {
			require.NoError(t, err)
			assert.Equal(t, provider.Running, m.State)
			assert.Empty(t, w.nodes(t))
			listed, err := w.provider.List(t.Context())
			require.NoError(t, err)
			assert.Contains(t, listed, m)
			assert.ErrorIs(t, w.provider.Delete(t.Context(), claim), provider.ErrNotFound)
			_, err = w.provider.Get(t.Context(), claim)
			assert.ErrorIs(t, err, provider.ErrNotFound)
		}},
		"never ready": {Fault{Kind: FaultNeverReady}, func(t *testing.T, w *world, claim *v1alpha1.NodeClaim, _ provider.Machine, err error) {
			require.NoError(t, err)
			node := w.nodes(t)[0]
			assert.NotEqual(t, "kwok", node.Labels["type"])
			assert.NotContains(t, node.Annotations, fakeAnnotation)
			require.NoError(t, w.provider.Delete(t.Context(), claim))
		}},
		"broken": {Fault{Kind: FaultBroken}, func(t *testing.T, w *world, _ *v1alpha1.NodeClaim, m provider.Machine, err error) {
			require.NoError(t, err)
			assert.Equal(t, provider.Broken, m.State)
			assert.NotEmpty(t, m.Message)
		}},
		"elsewhere": {Fault{Kind: FaultError, Zone: "mars"}, func(t *testing.T, w *world, _ *v1alpha1.NodeClaim, _ provider.Machine, err error) {
			assert.NoError(t, err)
			assert.Len(t, w.nodes(t), 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{Faults: []Fault{c.fault}}, clock.RealClock{})
			offers, err := w.provider.Offers(t.Context(), w.policy)
			require.NoError(t, err)
			claim := providertest.Claim(w.name+"-1", w.name, w.policy, offers[0])
			m, err := w.provider.Create(t.Context(), claim)
			c.check(t, w, claim, m, err)
		})
	}
}

func TestStockIsLimited(t *testing.T) {
	instance := General()[0]
	instance.Stock, instance.Zones, instance.Prices = 1, []string{"a"}, map[string]float64{"spot": 0.1}
	w := newWorld(t, Config{Instances: []Instance{instance}}, clock.RealClock{})
	offers, err := w.provider.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.Equal(t, 1, offers[0].Stock)
	first := providertest.Claim(w.name+"-1", w.name, w.policy, offers[0])
	_, err = w.provider.Create(t.Context(), first)
	require.NoError(t, err)
	offers, err = w.provider.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	assert.False(t, offers[0].Available)
	_, err = w.provider.Create(t.Context(), providertest.Claim(w.name+"-2", w.name, w.policy, offers[0]))
	var sold *provider.OutOfCapacity
	assert.ErrorAs(t, err, &sold)
	require.NoError(t, w.provider.Delete(t.Context(), first))
	offers, err = w.provider.Offers(t.Context(), w.policy)
	require.NoError(t, err)
	assert.True(t, offers[0].Available)
}

func TestFaultsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.yaml")
	p := &Provider{cfg: Config{FaultsFile: path}}
	claim := &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.NodeClaimSpec{Offer: v1alpha1.ClaimedOffer{Zone: "a"}}}
	fault, err := p.fault(claim)
	require.NoError(t, err)
	assert.Empty(t, fault, "a file that is missing is no fault")
	require.NoError(t, os.WriteFile(path, []byte("- {zone: a, kind: OutOfCapacity}\n"), 0o600))
	fault, err = p.fault(claim)
	require.NoError(t, err)
	assert.Equal(t, FaultOutOfCapacity, fault)
	require.NoError(t, os.WriteFile(path, []byte("- {zone: a, kind: Meteor}\n"), 0o600))
	_, err = p.fault(claim)
	assert.ErrorContains(t, err, "kind")
}

func TestStrikesAPartOfTheClaims(t *testing.T) {
	f := Fault{Kind: FaultError, Percent: 30}
	hit := 0
	for i := range 1000 {
		name := "policy-" + time.Duration(i).String()
		if f.strikes(name) {
			hit++
		}
		assert.Equal(t, f.strikes(name), f.strikes(name))
	}
	assert.InDelta(t, 300, hit, 60)
}

func TestValidate(t *testing.T) {
	assert.NoError(t, DefaultConfig().Validate())
	good := General()[0]
	for want, c := range map[string]Config{
		"boot":                         {Boot: -1},
		"faults[0].kind":               {Faults: []Fault{{Kind: "Meteor"}}},
		"faults[0].percent":            {Faults: []Fault{{Kind: FaultError, Percent: 101}}},
		"instances[0].name":            {Instances: []Instance{{}}},
		"instances[0].zones":           {Instances: []Instance{{Name: "a"}}},
		"instances[0].prices":          {Instances: []Instance{{Name: "a", Zones: Zones}}},
		"instances[0].resources.cpu":   {Instances: []Instance{{Name: "a", Zones: Zones, Prices: good.Prices}}},
		"instances[0].prices: \"old\"": {Instances: []Instance{{Name: "a", Zones: Zones, Resources: good.Resources, Prices: map[string]float64{"old": 1}}}},
		"instances[0].prices.spot":     {Instances: []Instance{{Name: "a", Zones: Zones, Resources: good.Resources, Prices: map[string]float64{"spot": -1}}}},
	} {
		assert.ErrorContains(t, c.Validate(), want)
	}
}
