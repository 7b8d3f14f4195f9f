package actuation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

func isResize(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/resize") }

func answer(err *apierrors.StatusError) *http.Response {
	body, _ := json.Marshal(err.Status())
	return &http.Response{StatusCode: int(err.Status().Code), Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body))}
}

func TestConflictsAreTriedAgainOnAFreshPod(t *testing.T) {
	w := newWorld(t)
	pod := w.deployment("web", 1)[0]
	var conflicts, calls atomic.Int32
	conflicts.Store(2)
	w.breaks(func(r *http.Request) (*http.Response, error) {
		if !isResize(r) {
			return nil, nil
		}
		calls.Add(1)
		if conflicts.Add(-1) >= 0 {
			return answer(apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, pod.Name, errors.New("changed"))), nil
		}
		return nil, nil
	})
	got := w.execute(w.target(1, pod), inPlace(pod, sizes("200m", "128Mi")))
	assert.Equal(t, decision.Pending, got.Result, got.Reason)
	assert.Equal(t, int32(3), calls.Load())
	assert.True(t, sameResources(sizes("200m", "128Mi"), w.pod(pod.Name).Spec.Containers[0].Resources))

	conflicts.Store(1000)
	pod = w.node(pod)
	got = w.execute(w.target(1, pod), inPlace(pod, sizes("300m", "128Mi")))
	assert.Equal(t, decision.PodAction{Pod: pod.Name, Method: decision.InPlace, Result: decision.Refused, Code: "Conflict", Reason: "the pod was changed by others 4 times at once"}, got)
}

func TestAnAPIServerThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	w.breaks(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })
	got := w.execute(w.target(2, pods...), inPlace(pods[0], want))
	assert.Equal(t, decision.Refused, got.Result)
	assert.Equal(t, "Unreachable", got.Code)
	assert.Contains(t, got.Reason, "no route")

	// An eviction that was not answered may have happened, and costs what it costs.
	w.breaks(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/eviction") {
			return nil, errors.New("connection reset")
		}
		return nil, nil
	})
	w.clock.Step(time.Minute)
	got = w.execute(w.target(2, pods...), recreate(pods[0], want))
	assert.Equal(t, "Unreachable", got.Code, got.Reason)
	w.fault.Store(nil)
	assert.Equal(t, "Interval", w.execute(w.target(2, pods...), recreate(pods[1], want)).Code)
}

// hold makes calls that are picked wait until they are let go.
func (w *world) hold(picked func(*http.Request) bool) (held *atomic.Int32, release func()) {
	gate := make(chan struct{})
	held = &atomic.Int32{}
	w.breaks(func(r *http.Request) (*http.Response, error) {
		if picked(r) {
			held.Add(1)
			defer held.Add(-1)
			select {
			case <-gate:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		return nil, nil
	})
	return held, func() { close(gate) }
}

// whileSlow calls Execute and lets the time pass for which it waits.
func (w *world) whileSlow(ctx context.Context, t Target, steps ...sizing.Step) []decision.PodAction {
	done := make(chan []decision.PodAction, 1)
	go func() { done <- w.x.Execute(ctx, t, steps) }()
	for {
		select {
		case actions := <-done:
			return actions
		case <-time.After(20 * time.Millisecond):
			w.clock.Step(time.Duration(w.config.Wait))
		}
	}
}

func TestASlowAPIServerHoldsNothingUp(t *testing.T) {
	w := newWorld(t)
	w.config.Workers = 2
	w.restart()
	pods := w.deployment("web", 5)
	held, release := w.hold(isResize)
	var steps []sizing.Step
	for _, pod := range pods[:4] {
		steps = append(steps, inPlace(pod, sizes("200m", "128Mi")))
	}
	target := w.target(5, pods...)
	actions := w.whileSlow(t.Context(), target, steps...)
	codes := map[string]int{}
	for _, a := range actions {
		assert.Equal(t, decision.Pending, a.Result)
		codes[a.Code]++
	}
	assert.Equal(t, map[string]int{"Sent": 2, "Queued": 2}, codes)

	w.eventually("both are sent", func() bool { return held.Load() == 2 })

	// As long as nothing was answered, nobody waits: the clock stands still.
	actions = w.x.Execute(t.Context(), target, steps)
	assert.Equal(t, "Sent", actions[0].Code)
	assert.Equal(t, int32(2), held.Load(), "nothing is sent twice, and no more than two at a time")

	// A kill for memory does not stand in line.
	killed := inPlace(pods[4], sizes("100m", "128Mi"))
	killed.Urgent = true
	actions = w.x.Execute(t.Context(), target, []sizing.Step{killed})
	assert.Equal(t, "Sent", actions[0].Code)
	w.eventually("sent", func() bool { return held.Load() == 3 })

	release()
	w.x.Wait()
	actions = w.x.Execute(t.Context(), target, nil)
	require.Len(t, actions, 3, "what came of those that nobody asks for any more")
	for _, a := range actions {
		assert.Equal(t, decision.Pending, a.Result)
		assert.Equal(t, "Unseen", a.Code)
	}
}

func TestAnEvictionThatIsAnsweredLateIsTold(t *testing.T) {
	w := newWorld(t)
	pods := w.deployment("web", 2)
	want := sizes("200m", "128Mi")
	w.webhook(want)
	_, release := w.hold(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/eviction") })
	actions := w.whileSlow(t.Context(), w.target(2, pods...), recreate(pods[0], want))
	assert.Equal(t, "Sent", actions[0].Code)
	release()
	w.x.Wait()
	actions = w.x.Execute(t.Context(), w.target(2, pods[1]), nil)
	assert.Equal(t, []decision.PodAction{{Pod: pods[0].Name, Method: decision.Evict, Result: decision.Done, Reason: "evicted"}}, actions)
	assert.Empty(t, w.x.Execute(t.Context(), w.target(2, pods[1]), nil))
}

func TestNothingGoesOnWhenSomebodyElseLeads(t *testing.T) {
	w := newWorld(t)
	pod := w.deployment("web", 1)[0]
	_, release := w.hold(func(*http.Request) bool { return true })
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	w.whileSlow(ctx, w.target(1, pod), inPlace(pod, sizes("200m", "128Mi")))
	cancel()
	w.x.Wait()
	assert.Equal(t, pod.Generation, w.pod(pod.Name).Generation)
}

func TestThePodCannotBeNotedAndIsResizedAnyway(t *testing.T) {
	w := newWorld(t)
	pod := w.deployment("web", 1)[0]
	w.breaks(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && !isResize(r) {
			return answer(apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod.Name, errors.New("no"))), nil
		}
		return nil, nil
	})
	got := w.execute(w.target(1, pod), inPlace(pod, sizes("200m", "128Mi")))
	assert.Equal(t, decision.Pending, got.Result)
	at, from := w.x.Changed(pod)
	assert.WithinDuration(t, w.clock.Now(), at, 0)
	assert.True(t, sameResources(sizes("100m", "64Mi"), from["main"]))
}

func TestANodeThatIsTooSmall(t *testing.T) {
	w := newWorld(t)
	pod := w.deployment("web", 1)[0]
	huge := sizes("100", "64Mi")
	got := w.execute(w.target(1, pod), inPlace(pod, huge))
	assert.Equal(t, decision.Infeasible, got.Result, "%+v", got)
	assert.Equal(t, "NodeCapacity", got.Code)
	assert.Contains(t, got.Reason, "node didn't have enough allocatable resources: cpu")
}

func TestTheBrakeStopsAllButKills(t *testing.T) {
	w := newWorld(t)
	w.config.ChangedAtLeast = 2
	w.restart()
	pods := w.deployment("web", 4)
	target := w.target(4, pods...)
	want := sizes("200m", "128Mi")
	steps := []sizing.Step{inPlace(pods[0], want), inPlace(pods[1], want), inPlace(pods[2], want)}
	pending, blocked := 0, 0
	for _, a := range w.x.Execute(t.Context(), target, steps) {
		switch a.Result {
		case decision.Pending:
			pending++
		case decision.Blocked:
			blocked++
			assert.Equal(t, "Brake", a.Code)
			assert.Equal(t, "2 of 4 pods were changed within 1h0m0s, and no more than 2 may be", a.Reason)
		}
	}
	assert.Equal(t, []int{2, 1}, []int{pending, blocked})
	brake := w.x.Brake(w.clock.Now())
	assert.Equal(t, sizing.Brake{Open: false, Reason: "2 of 4 pods were changed within 1h0m0s, and no more than 2 may be"}, brake)
	killed := inPlace(pods[3], sizes("100m", "128Mi"))
	killed.Urgent = true
	assert.Equal(t, decision.Pending, w.x.Execute(t.Context(), target, []sizing.Step{killed})[0].Result)

	// Another process finds it in the pods.
	w.restart()
	now := make([]*corev1.Pod, len(pods))
	for i := range pods {
		now[i] = w.pod(pods[i].Name)
	}
	w.x.Execute(t.Context(), w.target(4, now...), nil)
	assert.False(t, w.x.Brake(w.clock.Now()).Open)
	w.clock.Step(time.Hour)
	assert.True(t, w.x.Brake(w.clock.Now()).Open)
}
