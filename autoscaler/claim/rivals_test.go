package claim_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// rivals are policies under which different leaders buy, on an API server in memory.
func rivals(t *testing.T, hook interceptor.Funcs, policies ...*v1alpha1.NodePolicy) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.NodePolicy{}, &v1alpha1.NodeClaim{}).WithInterceptorFuncs(hook)
	for _, p := range policies {
		b.WithObjects(p)
	}
	return b.Build()
}

func named(name string) *v1alpha1.NodePolicy {
	p := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.NodePolicyFinalizer}}}
	p.Spec.Mode, p.Spec.Provider.Name = v1alpha1.Apply, "cloud"
	return p
}

func leaderOn(kube client.Client) *claim.Keeper {
	return claim.New(claim.Dependencies{Client: kube, Clock: clocktesting.NewFakeClock(metav1.Now().Time), Logger: slog.New(slog.DiscardHandler),
		Metrics: claim.NewMetrics(prometheus.NewRegistry()), Config: claim.DefaultConfig()})
}

func orderOf(t *testing.T, kube client.Client, policy string, known ...string) claim.Order {
	t.Helper()
	var p v1alpha1.NodePolicy
	require.NoError(t, kube.Get(t.Context(), client.ObjectKey{Name: policy}, &p))
	o := claim.Order{Policy: &p, Known: map[string]struct{}{}, Nodes: []cluster.NewNode{{Offer: offer()}, {Offer: offer()}}}
	for _, k := range known {
		o.Known[k] = struct{}{}
	}
	return o
}

// A leader that finds that another one is buying under another policy, perhaps for the same pods, goes back before it has made a claim.
func TestAPurchaseUnderAnotherPolicyIsSeen(t *testing.T) {
	t.Parallel()
	rival := &v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "a-1", Labels: map[string]string{v1alpha1.LabelNodePolicy: "a"}}, Spec: v1alpha1.NodeClaimSpec{Policy: "a"}}
	for name, test := range map[string]struct {
		charged, made bool
		known         []string
		bought        bool
	}{
		"nobody else buys":                        {bought: true},
		"charged, and no claim yet":               {charged: true},
		"a claim that was made during the charge": {made: true},
		"charged and made":                        {charged: true, made: true},
		"known to the plan":                       {charged: true, made: true, known: []string{"a-1"}, bought: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := named("a")
			if test.charged {
				a.Status.Reservations = []v1alpha1.Reservation{{Claim: "a-1", At: metav1.Now(), Charge: v1alpha1.NodeCharge{Nodes: 1}}}
			}
			made := sync.OnceValue(func() error { return nil })
			hook := interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := made(); err != nil {
					return err
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			}}
			kube := rivals(t, hook, a, named("b"))
			made = sync.OnceValue(func() error {
				if test.made {
					return kube.Create(t.Context(), rival.DeepCopy())
				}
				return nil
			})
			claims, err := leaderOn(kube).Buy(t.Context(), orderOf(t, kube, "b", test.known...))
			var b v1alpha1.NodePolicy
			require.NoError(t, kube.Get(t.Context(), client.ObjectKey{Name: "b"}, &b))
			if test.bought {
				require.NoError(t, err)
				assert.Len(t, claims, 2)
				assert.Equal(t, int32(2), b.Status.Charged.Nodes)
				return
			}
			var conflict *claim.Conflict
			require.ErrorAs(t, err, &conflict)
			assert.Equal(t, "Elsewhere", conflict.Code)
			assert.Empty(t, claims)
			assert.Empty(t, b.Status.Reservations, "the charge was taken back")
			assert.Zero(t, b.Status.Charged.Nodes)
			assert.True(t, b.Status.Charged.CPU.IsZero())
			assert.True(t, b.Status.Charged.PricePerHour.IsZero())
		})
	}
}

// Two leaders that have planned from the same world, and each under a policy of its own, never both buy.
func TestTwoLeadersDoNotBuyTheSameUnderTwoPolicies(t *testing.T) {
	t.Parallel()
	for range 50 {
		kube := rivals(t, interceptor.Funcs{}, named("a"), named("b"))
		orders := []claim.Order{orderOf(t, kube, "a"), orderOf(t, kube, "b")}
		errs := make([]error, len(orders))
		var both sync.WaitGroup
		for i, order := range orders {
			both.Go(func() { _, errs[i] = leaderOn(kube).Buy(t.Context(), order) })
		}
		both.Wait()
		won := 0
		for _, err := range errs {
			var conflict *claim.Conflict
			if err == nil {
				won++
			} else if !errors.As(err, &conflict) {
				require.NoError(t, err)
			}
		}
		assert.LessOrEqual(t, won, 1)
		var claims v1alpha1.NodeClaimList
		require.NoError(t, kube.List(t.Context(), &claims))
		assert.Len(t, claims.Items, 2*won)
	}
}

// What was remembered of policies goes with them.
func TestPoliciesThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	kube := rivals(t, interceptor.Funcs{}, named("a"), named("b"))
	k := leaderOn(kube)
	for _, name := range []string{"a", "b"} {
		order := orderOf(t, kube, name)
		order.Known = nil
		_, err := k.Buy(t.Context(), order)
		require.NoError(t, err)
	}
	_, err := k.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, k.PoliciesRemembered())
	gone := named("a")
	require.NoError(t, kube.Get(t.Context(), client.ObjectKey{Name: "a"}, gone))
	gone.Finalizers = nil
	require.NoError(t, kube.Update(t.Context(), gone))
	require.NoError(t, kube.Delete(t.Context(), gone))
	_, err = k.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, k.PoliciesRemembered())
}
