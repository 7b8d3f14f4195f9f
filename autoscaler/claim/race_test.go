package claim_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

// TestTwoLeadersNeverExceedALimit has two processes at a time buy as much as they can, give back at random, and be replaced at random
// points, with a provider whose answers get lost.
func TestTwoLeadersNeverExceedALimit(t *testing.T) {
	t.Parallel()
	_, kube := providertest.Cluster(t)
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			const limit = 4
			w := newWorldOn(t, kube, "race", nodes(limit))
			random := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			chosen := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
			chance := func(n int) bool { return chosen(n) == 0 }
			w.cloud.lose = func() bool { return chance(4) }
			w.cloud.fail = func(*v1alpha1.NodeClaim) error {
				if chance(5) {
					return errors.New("the provider is busy")
				}
				if chance(8) {
					return &provider.OutOfCapacity{Err: errors.New("none left")}
				}
				return nil
			}
			bought := 0
			leader := func(turns int) {
				var k *claim.Keeper
				r := &reaper{}
				for range turns {
					if k == nil || r.dead() || chance(6) {
						r = &reaper{}
						if chance(2) {
							r.at = 1 + chosen(40)
						}
						k = w.keeper(r.cut)
					}
					claims, err := k.Buy(t.Context(), w.order(1+chosen(2)))
					var conflict *claim.Conflict
					var exceeded *claim.LimitExceeded
					if !errors.As(err, &conflict) && !errors.As(err, &exceeded) && !errors.Is(err, errDied) {
						assert.NoError(t, err)
					}
					mu.Lock()
					bought += len(claims)
					mu.Unlock()
					for _, c := range w.claims() {
						if chance(6) && c.Status.Phase == v1alpha1.ClaimReady {
							w.cloud.mu.Lock()
							w.cloud.drained[c.Name] = true
							w.cloud.mu.Unlock()
							_, _ = k.Drained(t.Context(), c, claim.DrainedInFull, "every pod has left")
						}
					}
					index := claim.NewNodeIndex(w.nodes())
					for _, c := range w.claims() {
						_, err := k.Reconcile(t.Context(), c, index.Find(c))
						w.alive(err)
					}
					_, err = k.Sweep(t.Context())
					w.alive(err)
					w.clock.Step(2 * time.Second)
				}
			}
			for range 5 {
				var both sync.WaitGroup
				both.Go(func() { leader(4) })
				both.Go(func() { leader(4) })
				both.Wait()
				w.cloud.boot()
			}
			assert.LessOrEqual(t, w.cloud.most, limit)
			assert.Positive(t, bought)

			// At the end everything is given back.
			k := w.keeper(uncut)
			w.cloud.lose, w.cloud.fail = nil, nil
			require.NoError(t, w.kube.Delete(t.Context(), w.read()))
			w.until(k, "the policy is gone", func() bool {
				for _, c := range w.claims() {
					w.cloud.drained[c.Name] = true
					_, err := k.Drained(t.Context(), c, claim.DrainedInFull, "every pod has left")
					require.NoError(t, err)
				}
				return w.read() == nil
			})
			for range 40 { // machines that nobody knows of are found
				if len(w.cloud.machines) == 0 {
					break
				}
				w.clock.Step(10 * time.Second)
				w.tick(k)
			}
			assert.Empty(t, w.cloud.machines)
			assert.Empty(t, w.claims())
			assert.Empty(t, w.cloud.wrong)
			assert.Empty(t, w.nodes())
		})
	}
}

// TestOnePlanIsBoughtOnce has many processes that planned from the same world buy at the same moment.
func TestOnePlanIsBoughtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "once", nil)
	_, err := w.keeper(uncut).Buy(t.Context(), w.order(1)) // the policy has its finalizer from now on
	require.NoError(t, err)
	order := w.order(2)
	var all sync.WaitGroup
	var mu sync.Mutex
	won, conflicts := 0, 0
	for range 8 {
		all.Go(func() {
			_, err := w.keeper(uncut).Buy(t.Context(), order)
			mu.Lock()
			defer mu.Unlock()
			var conflict *claim.Conflict
			switch {
			case err == nil:
				won++
			case errors.As(err, &conflict):
				conflicts++
			default:
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	assert.Equal(t, 1, won)
	assert.Equal(t, 7, conflicts)
	assert.Len(t, w.claims(), 3)
}
