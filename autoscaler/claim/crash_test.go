package claim_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

// reaper ends a process at its nth point.
type reaper struct {
	mu    sync.Mutex
	at    int // 0: never
	count int
	where string
}

func (r *reaper) cut(what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.at == 0 || r.count < r.at {
		return nil
	}
	if r.where == "" {
		r.where = what
	}
	return errDied
}

func (r *reaper) dead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.where != ""
}

// story is what the loop over nodes does with two nodes: it buys them, replaces the first by a new one, and gives all of them back
// with the policy. All that it knows it reads from the API server each time, so any process can go on with it.
type story struct {
	*world
	replaced bool // the wish that survives processes
	deleted  bool
}

func (s *story) plan(k *claim.Keeper) {
	policy := s.read()
	if policy == nil {
		return
	}
	claims := s.claims()
	if !policy.DeletionTimestamp.IsZero() {
		for _, c := range claims {
			s.drain(k, c)
		}
		return
	}
	expected := 0 // as a plan counts: what is there or comes, less what is being replaced
	for _, c := range claims {
		if c.DeletionTimestamp.IsZero() && c.Status.Disruption == nil && len(c.Spec.Replaces) == 0 {
			expected++
		}
	}
	first := s.policy + "-1"
	switch old := find(claims, first); {
	case expected < 2 && !s.replaced:
		s.buy(k, 2-expected)
	case s.replaced && !s.deleted:
		s.replace(k, claims, old)
	case !s.replaced && s.ready(2) && len(claims) == 2:
		s.replaced = true
	}
}

func find(claims []*v1alpha1.NodeClaim, name string) *v1alpha1.NodeClaim {
	i := slices.IndexFunc(claims, func(c *v1alpha1.NodeClaim) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return claims[i]
}

func (s *story) buy(k *claim.Keeper, n int, replaces ...string) {
	s.Helper()
	_, err := k.Buy(s.Context(), s.order(n, replaces...))
	if err != nil && !errors.Is(err, errDied) {
		var conflict *claim.Conflict
		require.ErrorAs(s, err, &conflict)
	}
}

// replace buys the successor, waits for it, drains the old node and gives it back.
func (s *story) replace(k *claim.Keeper, claims []*v1alpha1.NodeClaim, old *v1alpha1.NodeClaim) {
	s.Helper()
	if old == nil {
		for _, c := range claims {
			if !c.DeletionTimestamp.IsZero() {
				return
			}
		}
		s.deleted = true
		require.NoError(s, client.IgnoreNotFound(s.kube.Delete(s.Context(), s.read())))
		return
	}
	if old.Status.Disruption == nil {
		_, err := k.Disrupt(s.Context(), old, v1alpha1.ClaimDisruption{Reason: v1alpha1.DisruptDrifted, Message: "another image"})
		s.tolerate(err)
		return
	}
	successors := claim.Replacements(claims, old.Name)
	if len(successors) == 0 {
		s.buy(k, 1, old.Name)
		return
	}
	if successors[0].Status.Phase == v1alpha1.ClaimReady {
		s.drain(k, old)
	}
}

func (s *story) drain(k *claim.Keeper, c *v1alpha1.NodeClaim) {
	s.Helper()
	_, err := k.Draining(s.Context(), c, "evicting")
	s.tolerate(err)
	if err != nil {
		return
	}
	s.cloud.mu.Lock()
	s.cloud.drained[c.Name] = true
	s.cloud.mu.Unlock()
	if c := s.claim(c.Name); c != nil {
		_, err = k.Drained(s.Context(), c, claim.DrainedInFull, "every pod has left")
		s.tolerate(err)
	}
}

func (s *story) tolerate(err error) {
	s.Helper()
	if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		s.alive(err)
	}
}

func (s *story) over() bool { return s.deleted && s.read() == nil }

// check holds the end of the story against what must be.
func (s *story) check(what string) {
	s.Helper()
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	assert.Empty(s, s.cloud.wrong, what)
	assert.Empty(s, s.cloud.machines, "%s: orphan machines", what)
	assert.LessOrEqual(s, s.cloud.most, 3, "%s: more machines than the two and the one that replaces one of them", what)
	assert.Empty(s, s.claims(), what)
	assert.Empty(s, s.nodes(), what)
}

// TestNothingIsLostOrBoughtTwiceWhereverAProcessDies lets the process die before each call and after each write of the whole life of
// two nodes, and another one take over.
func TestNothingIsLostOrBoughtTwiceWhereverAProcessDies(t *testing.T) {
	t.Parallel()
	_, kube := providertest.Cluster(t)
	play := func(t *testing.T, at int, lossy bool) *reaper {
		s := &story{world: newWorldOn(t, kube, "crash", nodes(5))} // the limit is not what keeps it from buying twice
		if lossy {
			s.cloud.lose = func() bool { return true }
		}
		r := &reaper{at: at}
		k, succeeded := s.keeper(r.cut), false
		for range 150 {
			if s.over() {
				break
			}
			s.plan(k)
			s.tick(k)
			if r.dead() && !succeeded {
				k, succeeded = s.keeper(uncut), true
			}
		}
		require.True(t, s.over(), "the story does not end after death %s: %s", r.where, s.state())
		s.check(r.where)
		return r
	}
	points := play(t, 0, false).count
	stride, first := 8, 1+int(time.Now().Unix()%8) // another part of them each time
	if os.Getenv("YAGURA_TEST_EXHAUSTIVE") == "true" {
		stride, first = 1, 1
	}
	t.Logf("%d points, from %d in steps of %d; all of them with YAGURA_TEST_EXHAUSTIVE=true", points, first, stride)
	for at := first; at <= points; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			play(t, at, at%2 == 0)
		})
	}
}
