package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/decision"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// maxEffects is how many effects of one change are kept.
const maxEffects = 16

// effect notes something that followed the pod's last change.
func (p *pod) effect(e sizing.Effect) {
	// Statuses have whole seconds.
	if p.changed.IsZero() || e.Time.Before(p.changed.Truncate(time.Second)) || len(p.effects) >= maxEffects {
		return
	}
	p.effects = append(p.effects, e)
}

func (p *pod) has(kind sizing.EffectKind, container string) bool {
	return slices.ContainsFunc(p.effects, func(e sizing.Effect) bool { return e.Kind == kind && e.Container == container })
}

const (
	// throttlingRise is by how much the share of throttled periods must rise after a change to count as an effect of it.
	throttlingRise = 0.1
	// throttlingRounds is how many measurements must have been made since.
	throttlingRounds = 4
)

// throttling compares the share of throttled periods before and after a change.
type throttling struct {
	level  float64 // over some measurements
	known  bool
	before float64
	sum    float64
	rounds int
}

func (t *throttling) add(_ time.Time, share float64) {
	if !t.known {
		t.level, t.known = share, true
	}
	t.level += (share - t.level) / throttlingRounds
	t.sum += share
	t.rounds++
}

// change begins the comparison.
func (t *throttling) change() { t.before, t.sum, t.rounds = t.level, 0, 0 }

func (f *Feeder) noteThrottling(w *workload, p *pod, c *container, now time.Time) {
	t := &c.throttling
	if p.changed.IsZero() || t.rounds < throttlingRounds || p.has(sizing.EffectThrottling, c.name) {
		return
	}
	if after := t.sum / float64(t.rounds); after >= t.before+throttlingRise {
		p.effect(sizing.Effect{Kind: sizing.EffectThrottling, Container: c.name, Time: now,
			Reason: fmt.Sprintf("%s was held back by its CPU limit in %.0f%% of periods since, %.0f%% before", c.name, 100*after, 100*t.before)})
	}
}

// restartGrace is how long after a change a restart of a container counts as part of it whose resize policy asks for one.
const restartGrace = 2 * time.Minute

// noteRestart notes that a container was restarted, for another reason than memory.
func (p *pod) noteRestart(spec *corev1.Container, ended *corev1.ContainerStateTerminated) {
	at := ended.FinishedAt.Time
	asked := slices.ContainsFunc(spec.ResizePolicy, func(r corev1.ContainerResizePolicy) bool { return r.RestartPolicy == corev1.RestartContainer })
	if asked && at.Sub(p.changed) < restartGrace && !p.has(sizing.EffectRestart, spec.Name) {
		return
	}
	p.effect(sizing.Effect{Kind: sizing.EffectRestart, Container: spec.Name, Time: at,
		Reason: fmt.Sprintf("%s ended with code %d (%s) and was restarted", spec.Name, ended.ExitCode, ended.Reason)})
}

// healthState is what a health query said.
type healthState struct {
	known, bad bool
	value, max float64
}

// healthEvery is the time between two looks at health queries.
const healthEvery = 5 * time.Second

// pollHealth asks the health queries of a workload's policies.
func (f *Feeder) pollHealth(ctx context.Context, w *workload) {
	type question struct {
		id    ID
		query string
		max   float64
	}
	var questions []question
	w.mu.Lock()
	for id, s := range w.subs {
		if h := s.target.Health; h != nil {
			questions = append(questions, question{id, h.PromQL, h.Max.AsApproximateFloat64()})
		}
	}
	w.mu.Unlock()
	for _, q := range questions {
		reading := f.deps.Signals.Tick().PromQL(ctx, q.query, time.Duration(f.cfg.StaleAfter))
		if reading.State != decision.Fresh {
			continue // unknown health is no effect, and what it was stays what it was
		}
		now := f.deps.Clock.Now()
		w.mu.Lock()
		if s := w.subs[q.id]; s != nil {
			s.health = healthState{known: true, bad: reading.Value > q.max, value: reading.Value, max: q.max}
			w.noteHealth(s.health, now)
		}
		w.mu.Unlock()
	}
}

func (w *workload) noteHealth(h healthState, now time.Time) {
	if !h.bad {
		return
	}
	for _, p := range w.pods {
		if p.healthy && !p.has(sizing.EffectHealth, "") {
			p.effect(sizing.Effect{Kind: sizing.EffectHealth, Time: now,
				Reason: fmt.Sprintf("the health query gives %.4g, more than %.4g, which it did not before", h.value, h.max)})
		}
	}
}

// wasHealthy reports whether no health query was above its maximum and one was known.
func (w *workload) wasHealthy() bool {
	known := false
	for _, s := range w.subs {
		if s.health.bad {
			return false
		}
		known = known || s.health.known
	}
	return known
}
