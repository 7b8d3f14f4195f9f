package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// errDead is what a process hears that has died: nothing that it does has an effect any more.
var errDead = errors.New("the process has died")

// mortal is a process that dies at a given step: before a write to the cluster or a request to the cloud, or after it took effect.
// Nothing of it reaches anybody afterwards.
type mortal struct {
	step, dies atomic.Int64
}

// pass reports whether a request takes effect, and whether its answer is heard.
func (m *mortal) pass() (effect, heard bool) {
	n := m.step.Add(1)
	return n < m.dies.Load() || n == m.dies.Load() && n%2 == 0, n < m.dies.Load()
}

func (m *mortal) write(do func() error) error {
	effect, heard := m.pass()
	var err error = errDead
	if effect {
		err = do()
	}
	if !heard {
		return errDead
	}
	return err
}

// dying opens a provider in a process that dies at a step.
func (w *world) dying(t *testing.T, at int) *Provider {
	m := &mortal{}
	m.dies.Store(int64(at))
	c := interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return m.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return m.write(func() error { return c.Update(ctx, o, opts...) })
		},
	})
	p, err := New("metal", Config{Address: w.address}, Dependencies{Client: c, Namespace: "kube-system", Clock: w.clock, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = m
	return p
}

// alive is a process that does not die.
func (w *world) alive(t *testing.T) *Provider {
	w.mu.Lock()
	w.gate = nil
	w.mu.Unlock()
	return w.open(t)
}

// bought asks as the controller does until the machine runs.
func (w *world) bought(t *testing.T, p *Provider, claim *v1alpha1.NodeClaim) {
	t.Helper()
	var err error
	for range 20 {
		_, err = p.Create(t.Context(), claim)
		w.pass(t)
		if err == nil {
			m, err := p.Get(t.Context(), claim)
			if err == nil && m.State == provider.Running && m.ID != "" {
				return
			}
		}
	}
	require.FailNow(t, "the machine does not come", "%v", err)
}

// gone asks until the machine has gone.
func (w *world) gone(t *testing.T, p *Provider, claim *v1alpha1.NodeClaim) {
	t.Helper()
	var err error
	for range 20 {
		if err = p.Delete(t.Context(), claim); errors.Is(err, provider.ErrNotFound) {
			return
		}
		w.pass(t)
	}
	require.FailNow(t, "the machine does not go", "%v", err)
}

// TestDyingAtEveryStep: a process dies at each step of a purchase and of a deletion, and the next one finds one machine for each claim.
func TestDyingAtEveryStep(t *testing.T) {
	for at := 1; at <= 8; at++ {
		t.Run(fmt.Sprintf("purchase, step %d", at), func(t *testing.T) {
			w := newWorld(t)
			first, second := w.claim(t, w.alive(t), "web-1"), w.claim(t, w.alive(t), "web-2")
			w.bought(t, w.alive(t), first)
			_, _ = w.dying(t, at).Create(t.Context(), second)
			p := w.alive(t)
			w.bought(t, p, second)
			assert.Equal(t, 2, w.machines())
			w.gone(t, p, first)
			assert.Equal(t, 1, w.machines())
			_, err := p.Get(t.Context(), second)
			assert.NoError(t, err)
		})
		t.Run(fmt.Sprintf("deletion, step %d", at), func(t *testing.T) {
			w := newWorld(t)
			p := w.alive(t)
			first, second := w.claim(t, p, "web-1"), w.claim(t, p, "web-2")
			w.bought(t, p, first)
			w.bought(t, p, second)
			_ = w.dying(t, at).Delete(t.Context(), first)
			p = w.alive(t)
			w.gone(t, p, first)
			w.pass(t)
			assert.Equal(t, 1, w.machines())
			_, err := p.Get(t.Context(), second)
			assert.NoError(t, err)
		})
		t.Run(fmt.Sprintf("order taken back, step %d", at), func(t *testing.T) {
			w := newWorld(t)
			p := w.alive(t)
			first, second := w.claim(t, p, "web-1"), w.claim(t, p, "web-2")
			w.bought(t, p, first)
			_, err := p.Create(t.Context(), second)
			require.NoError(t, err)
			_ = w.dying(t, at).Delete(t.Context(), second)
			p = w.alive(t)
			w.clock.Step(2 * time.Minute)
			w.gone(t, p, second)
			w.pass(t)
			assert.Equal(t, 1, w.machines())
			_, err = p.Get(t.Context(), first)
			assert.NoError(t, err)
		})
	}
}

// TestHistories: whatever two leaders do, whichever of them dies when, and whichever answers are lost, in the end there is one machine
// for each claim, and none besides.
func TestHistories(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			leaders := []*Provider{w.alive(t), w.alive(t)}
			claims := map[string]*v1alpha1.NodeClaim{}
			serial := 0
			for range 40 {
				p := leaders[random.IntN(2)]
				switch random.IntN(8) {
				case 0, 1, 2:
					serial++
					claim := w.claim(t, leaders[0], fmt.Sprintf("web-%d", serial))
					claims[claim.Name] = claim
					_, _ = p.Create(t.Context(), claim)
				case 3:
					for _, claim := range claims {
						_, _ = p.Create(t.Context(), claim)
						break
					}
				case 4:
					for name, claim := range claims {
						w.gone(t, p, claim)
						delete(claims, name)
						break
					}
				case 5:
					w.mu.Lock()
					w.loseAnswer = random.IntN(2) == 0
					w.loseCall = !w.loseAnswer
					w.mu.Unlock()
				case 6:
					serial++
					claim := w.claim(t, leaders[0], fmt.Sprintf("web-%d", serial))
					claims[claim.Name] = claim
					_, _ = w.dying(t, 1+random.IntN(4)).Create(t.Context(), claim)
					leaders[0] = w.alive(t)
				case 7:
					w.pass(t)
				}
			}
			p := leaders[random.IntN(2)]
			w.mu.Lock()
			w.loseAnswer, w.loseCall = false, false
			for _, pool := range w.groups {
				pool.max = 100
			}
			w.mu.Unlock()
			ids := map[string]string{}
			for name, claim := range claims {
				w.bought(t, p, claim)
				m, err := p.Get(t.Context(), claim)
				require.NoError(t, err)
				require.Empty(t, ids[m.ID], "%s and %s have the same machine", ids[m.ID], name)
				ids[m.ID] = name
			}
			assert.Equal(t, len(claims), w.machines())
			machines, err := p.List(t.Context())
			require.NoError(t, err)
			assert.Len(t, machines, len(claims))
		})
	}
}

// dead requests reach nobody.
func dead() error { return status.Error(codes.Unavailable, errDead.Error()) }
